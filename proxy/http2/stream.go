package http2

// Stream is one request and its answer on a connection. Owner and Expect are the caller's to set.
type Stream struct {
	ID uint32
	// Owner is who is told of events; without one what comes is thrown away.
	Owner any
	// Expect is how many bytes of content the other side has announced, -1 for no announcement.
	Expect int64
	// Answered: on a client's stream, the final head has come; the next one is the trailers.
	Answered bool

	got    int64
	send   int64 // what we may send
	recv   int64 // what the other side may send
	credit int64 // taken off recv, used, and not given back yet
	owed   int64 // taken off the connection's window until it is used
	remote bool  // the other side has ended
	local  bool  // we have
	closed bool  // the connection has forgotten it
}

// Ended reports whether we have sent the end of our side.
func (s *Stream) Ended() bool { return s.local }

// RemoteEnded reports whether the other side has sent its end.
func (s *Stream) RemoteEnded() bool { return s.remote }

// Closed reports whether both sides have ended or the stream was reset.
func (s *Stream) Closed() bool { return s.closed }

// Pool keeps Streams that are free, for all connections of a thread.
type Pool struct{ free []*Stream }

func (p *Pool) get() *Stream {
	if n := len(p.free); n > 0 {
		s := p.free[n-1]
		p.free = p.free[:n-1]
		return s
	}
	return &Stream{}
}

func (p *Pool) put(s *Stream) {
	if len(p.free) < 4096 {
		p.free = append(p.free, s)
	}
}

func (c *Conn) add(id uint32) *Stream {
	s := c.pool.get()
	*s = Stream{ID: id, Expect: -1, send: int64(c.Peer.Window), recv: int64(c.local.Window)}
	c.ids, c.streams = append(c.ids, id), append(c.streams, s)
	return s
}

func (c *Conn) index(id uint32) int {
	for i := len(c.ids) - 1; i >= 0; i-- {
		if c.ids[i] == id {
			return i
		}
	}
	return -1
}

func (c *Conn) find(id uint32) *Stream {
	if i := c.index(id); i >= 0 {
		return c.streams[i]
	}
	return nil
}

// forget takes a stream off the connection. What still comes for one that we have reset was on its way.
func (c *Conn) forget(s *Stream, reset bool) {
	i, last := c.index(s.ID), len(c.ids)-1
	c.ids[i], c.streams[i] = c.ids[last], c.streams[last]
	c.ids, c.streams[last] = c.ids[:last], nil
	c.streams = c.streams[:last]
	if c.data.s == s {
		c.data.s = nil
	}
	c.remember(s.ID, reset)
	s.closed = true
	if s.Owner == nil {
		c.pool.put(s)
	}
}

// past is a stream that is over.
type past struct {
	id    uint32
	reset bool // by us
}

func (c *Conn) remember(id uint32, reset bool) {
	c.past[c.pastAt] = past{id, reset}
	c.pastAt = (c.pastAt + 1) % len(c.past)
}

// over is what is remembered of a stream that is over.
func (c *Conn) over(id uint32) (known, reset bool) {
	for _, p := range c.past {
		if p.id == id && id != 0 {
			return true, p.reset
		}
	}
	return false, false
}

// bucket lets through as much as comes at a rate, and a burst.
type bucket struct {
	level float64
	at    int64
}

// take is false when the bucket is empty. rate is per second, now in nanoseconds.
func (b *bucket) take(now int64, burst, rate float64) bool {
	if b.at == 0 {
		b.level = burst
	} else {
		b.level = min(burst, b.level+float64(now-b.at)/1e9*rate)
	}
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

// give fills the bucket by what pays for itself.
func (b *bucket) give(n float64) { b.level += n }
