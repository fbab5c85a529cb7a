package http2

// What our side sends.

// Window is how many bytes of content may be sent on a stream now, in one frame.
func (c *Conn) Window(s *Stream) int {
	return int(max(min(s.send, c.send, int64(c.Peer.FrameSize)), 0))
}

// Starved reports whether it is the stream's own window that holds it up.
func (s *Stream) Starved() bool { return s.send <= 0 }

// Open makes a new stream of a client; nil: the server takes no more.
func (c *Conn) Open() *Stream {
	if !c.Takes() {
		return nil
	}
	if c.last == 0 {
		c.last = 1
	} else {
		c.last += 2
	}
	return c.add(c.last)
}

// Takes reports whether the server takes another stream.
func (c *Conn) Takes() bool {
	return !c.dead && !c.away && len(c.ids) < c.Limit() && c.last < 1<<31-3
}

// Limit is how many streams may be open at once.
func (c *Conn) Limit() int { return int(min(c.Peer.MaxStreams, c.local.MaxStreams)) }

// OpenHeaders begins a header block: its fields are appended behind.
func (c *Conn) OpenHeaders(dst []byte) []byte {
	dst = append(dst, make([]byte, FrameHeaderLen)...)
	if !c.told {
		c.told = true
		dst = append(dst, noTable)
	}
	return dst
}

// CloseHeaders makes a frame of the header block that began at dst[at:], or several of one that is too long for the other
// side.
func (c *Conn) CloseHeaders(dst []byte, at int, s *Stream, end bool) []byte {
	h := FrameHeader{Length: len(dst) - at - FrameHeaderLen, Type: FrameHeaders, Stream: s.ID}
	if end {
		h.Flags = FlagEndStream
	}
	for most := int(c.Peer.FrameSize); h.Length > most; {
		rest := FrameHeader{Length: h.Length - most, Type: FrameContinuation, Stream: s.ID}
		h.Length = most
		h.put(dst[at:])
		at += FrameHeaderLen + most
		dst = append(dst, make([]byte, FrameHeaderLen)...)
		copy(dst[at+FrameHeaderLen:], dst[at:])
		h = rest
	}
	h.Flags |= FlagEndHeaders
	h.put(dst[at:])
	if end {
		c.endLocal(s)
	}
	return dst
}

// AppendData writes a DATA frame of no more than Window bytes; an empty one ends the stream whatever the window.
func (c *Conn) AppendData(dst []byte, s *Stream, p []byte, end bool) []byte {
	h := FrameHeader{Length: len(p), Type: FrameData, Stream: s.ID}
	if end {
		h.Flags = FlagEndStream
	}
	s.send -= int64(len(p))
	c.send -= int64(len(p))
	c.noise.give(noisePaid)
	dst = append(h.Append(dst), p...)
	if end {
		c.endLocal(s)
	}
	return dst
}

func (c *Conn) endLocal(s *Stream) {
	s.local = true
	if s.remote {
		c.forget(s, false)
	}
}

// Reset ends a stream at once. PROTOCOL_ERROR is for a malformed message: who sends many is told to calm down.
func (c *Conn) Reset(dst []byte, s *Stream, code ErrCode) []byte {
	if s.closed || c.dead {
		return dst
	}
	if code == ProtocolError && !c.resets.take(c.now, resetBurst, resetRate) {
		_, dst = c.failed(dst, EnhanceYourCalm)
		return dst
	}
	dst = appendReset(dst, s.ID, code)
	c.forget(s, true)
	return dst
}

// Release is the owner's good-bye to a stream, which must not be used afterwards. With our end sent, what the other side
// still sends is checked and thrown away; otherwise the stream is reset.
func (c *Conn) Release(dst []byte, s *Stream, code ErrCode) []byte {
	if !s.closed && !s.local {
		dst = c.Reset(dst, s, code)
	}
	s.Owner = nil
	if s.closed {
		c.pool.put(s)
	}
	return dst
}

// Orphans appends a reset of each stream whose owner has left while the other side goes on sending: it may stop.
func (c *Conn) Orphans(dst []byte) []byte {
	for i := len(c.streams) - 1; i >= 0 && cap(dst)-len(dst) > OutRoom; i-- {
		if s := c.streams[i]; s.Owner == nil {
			dst = c.Reset(dst, s, NoError)
		}
	}
	return dst
}

// Owned calls f for each stream that has an owner. f may release it.
func (c *Conn) Owned(f func(*Stream)) {
	for i := len(c.streams) - 1; i >= 0; i-- {
		if i < len(c.streams) && c.streams[i].Owner != nil {
			f(c.streams[i])
		}
	}
}

// Leave writes a GOAWAY that announces the end while new streams are still taken, and a PING, whose answer tells that
// the other side has read it (RFC 9113 section 6.8).
func (c *Conn) Leave(dst []byte) []byte {
	return appendPing(appendGoAway(dst, MaxWindow, NoError), 0, []byte("farewell"))
}

// Ping writes a PING, whose answer nobody waits for: a connection that is gone is found out by it.
func (c *Conn) Ping(dst []byte) []byte { return appendPing(dst, 0, []byte("anybody?")) }

// GoAway writes the final GOAWAY: streams that come later are not looked at.
func (c *Conn) GoAway(dst []byte, code ErrCode) []byte {
	c.refuse, c.away = true, true
	last := c.last
	if c.client {
		last = 0
	}
	return appendGoAway(dst, last, code)
}
