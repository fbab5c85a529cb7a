package rule

// A TLS ClientHello as it stands in the first bytes of a connection (RFC 8446 section 4.1.2, RFC 6066 section 3), read
// strictly and without copying. It may be cut into several records.

// maxHello bounds the handshake message that is looked at, in bytes.
const maxHello = 16384

// Hello is what a ClientHello says.
type Hello struct {
	Type    byte   // of the handshake message; 1: ClientHello
	Version uint16 // the highest that is offered
	SNI     []byte // name of the server that the client wants; empty: none
}

// ParseHello looks at the beginning of a stream. done is false while more bytes are needed; ok is false for what is no
// TLS handshake. join is room to put together what several records hold.
func ParseHello(b, join []byte) (h Hello, ok, done bool) {
	msg, ok, done := handshake(b, join)
	if !ok || !done {
		return h, ok, done
	}
	h.Type = msg[0]
	if h.Type != 1 {
		return h, true, true
	}
	r := reader{b: msg[4:], good: true}
	h.Version = r.u16()
	r.skip(32)                  // random
	r.skip(int(r.u8()))         // legacy_session_id
	if n := r.u16(); n%2 == 1 { // cipher_suites
		return h, false, true
	} else {
		r.skip(int(n))
	}
	r.skip(int(r.u8())) // legacy_compression_methods
	if len(r.b) > 0 {
		ext := reader{b: r.take(int(r.u16())), good: true}
		h.extensions(&ext)
		r.good = r.good && ext.good
	}
	return h, r.good && len(r.b) == 0, true
}

// handshake puts together the first handshake message.
func handshake(b, join []byte) (msg []byte, ok, done bool) {
	got := 0 // bytes of the message in front of the record at hand
	for {
		switch {
		case len(b) > 0 && b[0] != 22, len(b) > 1 && b[1] != 3:
			return nil, false, true
		case len(b) < 5:
			return nil, true, false
		}
		n := int(b[3])<<8 | int(b[4])
		if n == 0 || n > maxHello {
			return nil, false, true
		}
		part := b[5:min(5+n, len(b))]
		if got == 0 {
			if whole, ok, known := message(part); known && (!ok || whole <= len(part)) {
				return part[:min(whole, len(part))], ok, true
			} else if known && whole > n && len(part) < n {
				return nil, true, false
			}
		}
		if len(part) < n {
			return nil, true, false
		}
		if got+n > cap(join) {
			return nil, false, true
		}
		join = append(join[:got], part...)
		got += n
		b = b[5+n:]
		if whole, ok, known := message(join); known && (!ok || whole <= got) {
			return join[:min(whole, got)], ok, true
		}
		if len(b) == 0 {
			return nil, true, false
		}
	}
}

// message is how long the handshake message is that begins here.
func message(b []byte) (n int, ok, known bool) {
	if len(b) < 4 {
		return 0, true, false
	}
	n = 4 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
	return n, n <= maxHello, true
}

func (h *Hello) extensions(r *reader) {
	for len(r.b) > 0 && r.good {
		kind := r.u16()
		e := reader{b: r.take(int(r.u16())), good: true}
		switch kind {
		case 0: // server_name
			h.serverName(&e)
		case 43: // supported_versions
			list := e.take(int(e.u8()))
			for len(list) >= 2 {
				if v := uint16(list[0])<<8 | uint16(list[1]); list[0] == 3 && v > h.Version {
					h.Version = v
				}
				list = list[2:]
			}
		}
		r.good = r.good && e.good
	}
}

func (h *Hello) serverName(r *reader) {
	list := reader{b: r.take(int(r.u16())), good: true}
	for len(list.b) > 0 && list.good {
		kind := list.u8()
		name := list.take(int(list.u16()))
		if kind == 0 && h.SNI == nil && hostName(name) {
			h.SNI = name
		}
	}
	r.good = r.good && list.good
}

// hostName: letters, digits, hyphens, underscores and dots, as a name that is looked up may have.
func hostName(b []byte) bool {
	for _, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return len(b) > 0 && len(b) < 256
}

// reader takes fields off a byte string; good turns false when one is missing.
type reader struct {
	b    []byte
	good bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.good, r.b = false, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return uint16(b[0])<<8 | uint16(b[1])
	}
	return 0
}
