package http2

// Messages as they come in: header blocks and DATA.

// unpad takes padding off a payload (RFC 9113 section 6.1).
func unpad(h FrameHeader, p []byte) ([]byte, bool) {
	if h.Flags&FlagPadded == 0 {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}

func (c *Conn) headers(h FrameHeader, p, out []byte, now int64) (Event, []byte) {
	p, ok := unpad(h, p)
	if !ok {
		return c.failed(out, ProtocolError)
	}
	b := block{id: h.Stream, end: h.Flags&FlagEndStream != 0}
	if h.Flags&FlagPriority != 0 {
		if len(p) < 5 {
			return c.failed(out, FrameSizeError)
		}
		b.selfish = be32(p)&MaxWindow == h.Stream
		p = p[5:]
	}
	if code := c.admitStream(h.Stream); code != NoError {
		return c.failed(out, code)
	}
	if h.Flags&FlagEndHeaders == 0 {
		c.fragment = append(c.fragment[:0], p...)
		b.open = true
		c.block = b
		return Event{}, out
	}
	return c.message(b, p, out, now)
}

// admitStream checks a stream's number when a header block begins on it. One that is over is a mistake worth the whole
// connection, unless we have reset it and the block was on its way.
func (c *Conn) admitStream(id uint32) ErrCode {
	if c.find(id) != nil {
		return NoError
	}
	if c.client || id&1 == 0 {
		if known, _ := c.over(id); known {
			return NoError
		}
		return ProtocolError
	}
	if id > c.last {
		c.last = id
		return NoError
	}
	switch known, reset := c.over(id); {
	case reset:
		return NoError
	case known:
		return StreamClosed
	}
	return ProtocolError
}

func (c *Conn) continuation(h FrameHeader, p, out []byte, now int64) (Event, []byte) {
	if !c.block.open {
		return c.failed(out, ProtocolError)
	}
	c.block.continuations++
	if c.block.continuations > maxContinuations || len(c.fragment)+len(p) > maxBlock {
		return c.failed(out, EnhanceYourCalm)
	}
	c.fragment = append(c.fragment, p...)
	if h.Flags&FlagEndHeaders == 0 {
		return Event{}, out
	}
	c.block.open = false
	whole := c.fragment
	c.fragment = nil
	return c.message(c.block, whole, out, now)
}

// message takes a whole header block. It is decoded in any case: the table depends on it.
func (c *Conn) message(b block, p, out []byte, now int64) (Event, []byte) {
	if !c.decoder.Decode(p, c.list, c.listLimit()) {
		return c.failed(out, CompressionError)
	}
	s := c.find(b.id)
	switch {
	case s != nil && s.remote:
		return c.streamError(s, b.id, StreamClosed, out, now)
	case b.selfish:
		return c.streamError(s, b.id, ProtocolError, out, now)
	case s != nil && (!c.client || s.Answered):
		return c.trailers(s, b, out, now)
	case s != nil: // an answer
		return c.head(s, b, out)
	case c.client || c.refuse:
		return Event{}, out
	}
	if known, _ := c.over(b.id); known {
		return Event{}, out
	}
	if len(c.ids) >= int(c.local.MaxStreams) {
		return c.streamError(nil, b.id, RefusedStream, out, now)
	}
	c.noise.give(noisePaid)
	return c.head(c.add(b.id), b, out)
}

func (c *Conn) listLimit() int {
	if c.local.HeaderListSize != 0 {
		return int(c.local.HeaderListSize)
	}
	return maxBlock
}

func (c *Conn) head(s *Stream, b block, out []byte) (Event, []byte) {
	if b.end {
		c.endRemote(s)
	}
	return Event{Kind: EventHeaders, Stream: s, End: b.end}, out
}

func (c *Conn) trailers(s *Stream, b block, out []byte, now int64) (Event, []byte) {
	if !b.end || s.Expect >= 0 && s.got != s.Expect {
		return c.streamError(s, b.id, ProtocolError, out, now)
	}
	owned := s.Owner != nil
	c.endRemote(s)
	if !owned {
		return Event{}, out
	}
	return Event{Kind: EventTrailers, Stream: s, End: true}, out
}

func (c *Conn) endRemote(s *Stream) {
	s.remote = true
	if s.local {
		c.forget(s, false)
	}
}

// beginData checks a DATA frame when its header is here; its content goes on in pieces.
func (c *Conn) beginData(h FrameHeader, in, out []byte, now int64) (Event, int, []byte) {
	used, pad := FrameHeaderLen, 0
	if h.Flags&FlagPadded != 0 {
		if h.Length == 0 {
			return c.fail(out, ProtocolError)
		}
		if len(in) <= FrameHeaderLen {
			return Event{Kind: EventMore}, 0, out
		}
		used++
		if pad = int(in[FrameHeaderLen]); pad >= h.Length {
			return c.fail(out, ProtocolError)
		}
	}
	content := h.Length - pad - (used - FrameHeaderLen)
	if c.recv -= int64(h.Length); c.recv < 0 {
		return c.fail(out, FlowControlError)
	}
	s := c.find(h.Stream)
	if s == nil && c.idle(h.Stream) {
		return c.fail(out, ProtocolError)
	}
	if h.Length == 0 && h.Flags&FlagEndStream == 0 && !c.noise.take(now, noiseBurst, noiseRate) {
		return c.fail(out, EnhanceYourCalm)
	}
	c.data = dataFrame{open: true, s: s, left: content, pad: pad, end: h.Flags&FlagEndStream != 0}
	if code := c.admitData(h, s, content); code != NoError {
		c.data.s, c.data.open = nil, content+pad > 0
		if _, reset := c.over(h.Stream); s == nil && reset {
			return Event{}, used, c.consumedConn(out, int64(used-FrameHeaderLen))
		}
		var ev Event
		if ev, out = c.streamError(s, h.Stream, code, out, now); ev.Kind == EventError {
			return ev, 0, out
		}
		return ev, used, c.consumedConn(out, int64(used-FrameHeaderLen))
	}
	out = c.consumedConn(c.Consumed(out, s, used-FrameHeaderLen), int64(used-FrameHeaderLen))
	ev, n, out := c.piece(in[used:], out) // also of a frame that is empty: its end counts
	if ev.Kind == EventMore {
		ev.Kind = EventNone
	}
	return ev, used + n, out
}

// admitData checks a DATA frame against its stream.
func (c *Conn) admitData(h FrameHeader, s *Stream, content int) ErrCode {
	if s == nil || s.remote {
		return StreamClosed
	}
	if s.recv -= int64(h.Length); s.recv < 0 {
		return FlowControlError
	}
	s.got += int64(content)
	if s.Expect >= 0 && (s.got > s.Expect || h.Flags&FlagEndStream != 0 && s.got != s.Expect) {
		return ProtocolError
	}
	return NoError
}

// piece hands on what there is of the present DATA frame.
func (c *Conn) piece(in, out []byte) (Event, int, []byte) {
	d := &c.data
	n := min(d.left, len(in))
	d.left -= n
	skip := 0
	if d.left == 0 {
		skip = min(d.pad, len(in)-n)
		d.pad -= skip
	}
	if n+skip == 0 && d.left+d.pad > 0 {
		return Event{Kind: EventMore}, 0, out
	}
	s, end := d.s, d.end && d.left == 0
	d.open = d.left+d.pad > 0
	d.end = d.end && !end
	out = c.Consumed(out, s, skip)
	owned := s != nil && s.Owner != nil
	if back := int64(n + skip); owned && c.Frugal {
		s.owed += int64(n)
		out = c.consumedConn(out, int64(skip))
	} else {
		out = c.consumedConn(out, back)
	}
	if end && s != nil {
		c.endRemote(s)
	}
	if !owned || n == 0 && !end {
		return Event{}, n + skip, out
	}
	c.noise.give(noisePaid)
	return Event{Kind: EventData, Stream: s, Data: in[:n], End: end}, n + skip, out
}

// Consumed gives back n bytes of content that its owner has done with. s may be over.
func (c *Conn) Consumed(out []byte, s *Stream, n int) []byte {
	if s != nil && !s.remote && !s.closed {
		s.credit += int64(n)
		if s.credit >= int64(c.local.Window)/2 {
			s.recv += s.credit
			out = appendWindowUpdate(out, s.ID, uint32(s.credit))
			s.credit = 0
		}
	}
	if s != nil && s.owed > 0 {
		back := min(s.owed, int64(n))
		s.owed -= back
		out = c.consumedConn(out, back)
	}
	return out
}

func (c *Conn) consumedConn(out []byte, n int64) []byte {
	if c.credit += n; c.credit >= connWindow/4 {
		c.recv += c.credit
		out = appendWindowUpdate(out, 0, uint32(c.credit))
		c.credit = 0
	}
	return out
}
