package http2

// EventKind is what happened to a connection.
type EventKind uint8

const (
	// EventNone: a frame was read that is nobody's business but the connection's.
	EventNone EventKind = iota
	// EventMore: more bytes are needed.
	EventMore
	// EventHeaders: the head of a message is in the List: of a new stream (server), or of an answer (client).
	EventHeaders
	// EventTrailers: trailers are in the List. The other side has ended.
	EventTrailers
	// EventData: a piece of content, which counts against its stream's window until Consumed is told.
	EventData
	// EventReset: the stream is over, by the other side's word or, if Ours, because of a mistake of its.
	EventReset
	// EventWindow: more may be sent, on one stream or, if it is nil, on any.
	EventWindow
	// EventGoAway: the other side takes no new streams; it has not worked on those above Last.
	EventGoAway
	// EventPong: our Ping was answered.
	EventPong
	// EventError: the connection is over; its GOAWAY has been written.
	EventError
)

// Event is what Next found.
type Event struct {
	Kind   EventKind
	Stream *Stream
	Data   []byte // part of the bytes given to Next
	End    bool   // the other side has ended
	Ours   bool
	Code   ErrCode
	Last   uint32
}

const (
	// OutRoom is how many bytes Next and the other methods may write, heads and data aside.
	OutRoom = 128
	// connWindow is how much may be on its way on a connection. It is given back as content comes, so that a stream whose
	// owner takes nothing holds up no other one: what streams keep is bounded by their own windows and by their number.
	connWindow = 1 << 20
	// maxBlock bounds a header block in all its frames, maxContinuations those after the first. What is longer could
	// never become an HTTP/1 head.
	maxBlock         = 1 << 16
	maxContinuations = 32
	// resetBurst and resetRate (a second) are how many streams may end before their time, noiseBurst and noiseRate how
	// many frames may carry nothing. Each message pays for noisePaid of them: who works may talk.
	resetBurst, resetRate = 500, 50
	noiseBurst, noiseRate = 2000, 200
	noisePaid             = 4
)

// Conn is one connection's state. It belongs to one thread.
type Conn struct {
	Peer Settings // the other side's
	// Frugal: memory is short. What comes from now on counts against the connection's window, too, until it is Consumed.
	Frugal bool

	local    Settings
	client   bool
	pool     *Pool
	list     *List
	decoder  Decoder
	ids      []uint32 // of streams, in the same order
	streams  []*Stream
	past     [32]past
	pastAt   int
	last     uint32 // highest stream of a client
	send     int64
	recv     int64
	credit   int64
	resets   bucket
	noise    bucket
	fragment []byte // a header block whose end has not come
	block    block
	data     dataFrame
	greeted  bool // the preface and the first SETTINGS have come
	preface  bool // the preface has come
	told     bool // noTable was said
	away     bool // either side said GOAWAY
	refuse   bool // we did: no new stream is looked at
	dead     bool
	now      int64 // of the last frame
}

// block is the header block that comes in.
type block struct {
	open          bool
	id            uint32
	end, selfish  bool
	continuations int
}

// dataFrame is the DATA frame that comes in.
type dataFrame struct {
	open      bool
	s         *Stream // nil: nobody's
	left, pad int
	end       bool
}

// NewServer makes the state of a connection whose other side is a client.
func NewServer(local Settings, pool *Pool, list *List) *Conn {
	return newConn(local, pool, list, false)
}

// NewClient makes the state of a connection whose other side is a server.
func NewClient(local Settings, pool *Pool, list *List) *Conn { return newConn(local, pool, list, true) }

func newConn(local Settings, pool *Pool, list *List, client bool) *Conn {
	c := &Conn{Peer: defaults, local: local, client: client, pool: pool, list: list, send: DefaultWindow, recv: DefaultWindow, preface: client}
	c.decoder.SetTableSize(local.TableSize)
	return c
}

// Greet writes what our side begins with.
func (c *Conn) Greet(dst []byte) []byte {
	if c.client {
		dst = append(dst, Preface...)
	}
	dst = c.local.append(dst, c.client)
	if n := max(connWindow, int64(c.local.Window)) - c.recv; n > 0 {
		c.recv += n
		dst = appendWindowUpdate(dst, 0, uint32(n))
	}
	return dst
}

// Streams is how many streams are open.
func (c *Conn) Streams() int { return len(c.ids) }

// Sendable reports whether the connection's window lets anything through.
func (c *Conn) Sendable() bool { return c.send > 0 }

// Dead reports whether the connection is over: a GOAWAY with an error has been written.
func (c *Conn) Dead() bool { return c.dead }

// Greeted reports whether the other side's first SETTINGS have come: before that Peer holds defaults.
func (c *Conn) Greeted() bool { return c.greeted }

// Midway reports whether a header block has begun and not ended.
func (c *Conn) Midway() bool { return c.block.open }

// Coming is how many bytes of the present DATA frame are still to come.
func (c *Conn) Coming() int { return c.data.left + c.data.pad }

// Next reads the next frame, or a piece of one, from the start of in. n is how many bytes were used; what the connection
// answers is appended to out, which takes OutRoom bytes. now is in nanoseconds.
func (c *Conn) Next(in, out []byte, now int64) (ev Event, n int, _ []byte) {
	c.now = now
	if c.dead {
		return Event{Kind: EventError}, 0, out
	}
	if c.data.open {
		return c.piece(in, out)
	}
	if !c.preface {
		yes, maybe := HasPreface(in)
		if yes {
			c.preface = true
			return Event{}, len(Preface), out
		}
		if maybe {
			return Event{Kind: EventMore}, 0, out
		}
		return c.fail(out, ProtocolError)
	}
	if len(in) < FrameHeaderLen {
		return Event{Kind: EventMore}, 0, out
	}
	h := ParseFrameHeader(in)
	if code := c.admit(h); code != NoError {
		return c.fail(out, code)
	}
	if h.Type == FrameData {
		return c.beginData(h, in, out, now)
	}
	if len(in) < FrameHeaderLen+h.Length {
		return Event{Kind: EventMore}, 0, out
	}
	ev, out = c.frame(h, in[FrameHeaderLen:FrameHeaderLen+h.Length], out, now)
	return ev, FrameHeaderLen + h.Length, out
}

// admit checks what can be told from a frame's header alone.
func (c *Conn) admit(h FrameHeader) ErrCode {
	switch {
	case h.Length > int(c.local.FrameSize):
		return FrameSizeError
	case !c.greeted && (h.Type != FrameSettings || h.Flags&FlagAck != 0):
		return ProtocolError
	case c.block.open && (h.Type != FrameContinuation || h.Stream != c.block.id):
		return ProtocolError
	}
	switch h.Type {
	case FrameData, FrameHeaders, FramePriority, FrameRSTStream, FrameContinuation:
		if h.Stream == 0 {
			return ProtocolError
		}
	case FrameSettings, FramePing, FrameGoAway:
		if h.Stream != 0 {
			return ProtocolError
		}
	case FramePushPromise:
		return ProtocolError
	}
	return c.admitLength(h)
}

func (c *Conn) admitLength(h FrameHeader) ErrCode {
	bad := false
	switch h.Type {
	case FramePriority:
		bad = h.Length != 5
	case FrameRSTStream, FrameWindowUpdate:
		bad = h.Length != 4
	case FramePing:
		bad = h.Length != 8
	case FrameGoAway:
		bad = h.Length < 8
	case FrameSettings:
		bad = h.Length%6 != 0 || h.Flags&FlagAck != 0 && h.Length != 0
	}
	if bad {
		return FrameSizeError
	}
	return NoError
}

func (c *Conn) frame(h FrameHeader, p, out []byte, now int64) (Event, []byte) {
	switch h.Type {
	case FrameHeaders:
		return c.headers(h, p, out, now)
	case FrameContinuation:
		return c.continuation(h, p, out, now)
	case FrameRSTStream:
		return c.reset(h, p, out, now)
	case FrameGoAway:
		c.away = true
		return Event{Kind: EventGoAway, Last: be32(p) & MaxWindow, Code: ErrCode(be32(p[4:]))}, out
	}
	if !c.noise.take(now, noiseBurst, noiseRate) {
		return c.failed(out, EnhanceYourCalm)
	}
	switch h.Type {
	case FrameSettings:
		return c.settings(h, p, out)
	case FrameWindowUpdate:
		return c.windowUpdate(h, p, out, now)
	case FramePing:
		if h.Flags&FlagAck != 0 {
			return Event{Kind: EventPong}, out
		}
		return Event{}, appendPing(out, FlagAck, p)
	case FramePriority:
		if be32(p)&MaxWindow == h.Stream {
			return c.streamError(c.find(h.Stream), h.Stream, ProtocolError, out, now)
		}
	}
	return Event{}, out
}

// idle reports whether a stream has never been opened.
func (c *Conn) idle(id uint32) bool { return id > c.last || id&1 == 0 }

func (c *Conn) reset(h FrameHeader, p, out []byte, now int64) (Event, []byte) {
	s := c.find(h.Stream)
	if s == nil {
		if c.idle(h.Stream) {
			return c.failed(out, ProtocolError)
		}
		if !c.noise.take(now, noiseBurst, noiseRate) {
			return c.failed(out, EnhanceYourCalm)
		}
		return Event{}, out
	}
	if !c.client && !s.local && !c.resets.take(now, resetBurst, resetRate) {
		return c.failed(out, EnhanceYourCalm)
	}
	owned := s.Owner != nil
	c.forget(s, false)
	if !owned {
		return Event{}, out
	}
	return Event{Kind: EventReset, Stream: s, Code: ErrCode(be32(p))}, out
}

func (c *Conn) settings(h FrameHeader, p, out []byte) (Event, []byte) {
	if h.Flags&FlagAck != 0 {
		return Event{}, out
	}
	c.greeted = true
	before := int64(c.Peer.Window)
	if code := c.Peer.apply(p); code != NoError {
		return c.failed(out, code)
	}
	delta := int64(c.Peer.Window) - before
	for _, s := range c.streams {
		if s.send += delta; s.send > MaxWindow {
			return c.failed(out, FlowControlError)
		}
	}
	return Event{Kind: EventWindow}, FrameHeader{Type: FrameSettings, Flags: FlagAck}.Append(out)
}

func (c *Conn) windowUpdate(h FrameHeader, p, out []byte, now int64) (Event, []byte) {
	n := int64(be32(p) & MaxWindow)
	if h.Stream == 0 {
		if n == 0 {
			return c.failed(out, ProtocolError)
		}
		if c.send += n; c.send > MaxWindow {
			return c.failed(out, FlowControlError)
		}
		return Event{Kind: EventWindow}, out
	}
	s := c.find(h.Stream)
	switch {
	case s == nil && c.idle(h.Stream):
		return c.failed(out, ProtocolError)
	case s == nil:
		return Event{}, out
	case n == 0:
		return c.streamError(s, s.ID, ProtocolError, out, now)
	}
	if s.send += n; s.send > MaxWindow {
		return c.streamError(s, s.ID, FlowControlError, out, now)
	}
	return Event{Kind: EventWindow, Stream: s}, out
}

// fail ends the connection.
func (c *Conn) fail(out []byte, code ErrCode) (Event, int, []byte) {
	ev, out := c.failed(out, code)
	return ev, 0, out
}

func (c *Conn) failed(out []byte, code ErrCode) (Event, []byte) {
	c.dead = true
	last := c.last
	if c.client {
		last = 0 // nothing of a server's was worked on
	}
	return Event{Kind: EventError, Code: code}, appendGoAway(out, last, code)
}

// streamError resets one stream, known or not. Who makes us do so too often is told to calm down.
func (c *Conn) streamError(s *Stream, id uint32, code ErrCode, out []byte, now int64) (Event, []byte) {
	if s == nil && c.idle(id) {
		return c.failed(out, code)
	}
	if !c.resets.take(now, resetBurst, resetRate) {
		return c.failed(out, EnhanceYourCalm)
	}
	out = appendReset(out, id, code)
	if s == nil {
		c.remember(id, true)
		return Event{}, out
	}
	owned := s.Owner != nil
	c.forget(s, true)
	if !owned {
		return Event{}, out
	}
	return Event{Kind: EventReset, Stream: s, Code: code, Ours: true}, out
}
