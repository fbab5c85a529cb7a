package engine

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/compress"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Answers that are compressed on their way to the client. The coding is chosen when the request's rules are through, whether
// the answer has it is decided at its head, and its body goes through an encoder in place of pump. What the encoder holds
// back is brought out whenever the server pauses, so that a slow answer reaches the client as it comes.

const (
	// pressPiece is how much content goes into an encoder before what comes out is sent.
	pressPiece = 16384
	// pressLead is the room in front of an encoder's output for a chunk's size.
	pressLead = 10
	// pressMost is how many answers a loop compresses at a time unless maxzlibmem says otherwise.
	pressMost = 64
	// pressLook is how often the share of the CPU that a loop takes is looked at.
	pressLook = int64(250 * time.Millisecond)
)

// pressing is an answer that is being compressed.
type pressing struct {
	enc    *compress.Encoder
	trail  *buffer // its trailers, as lines
	at     int     // how much of enc.Out has gone
	framed bool    // enc.Out is a chunk that has to go before there is a next one
	inside bool    // the encoder may hold content back
	ended  bool    // everything is in enc.Out
}

// pressTune is what compression may take; it is the same for all proxies.
type pressTune struct {
	level int
	rate  uint64 // bytes a second of one loop; 0: no bound
	cpu   int64  // percent of one loop's time; 0: no bound
	most  int    // answers at a time of one loop
}

func compileTune(t proxy.Tune, loops int) pressTune {
	p := pressTune{level: max(t.Level, 1), rate: uint64(t.Rate) << 10 / uint64(loops), cpu: int64(t.CPU % 100), most: pressMost}
	if t.Memory > 0 {
		p.most = int(int64(t.Memory) << 20 / compress.Cost / int64(loops))
	}
	if t.Rate > 0 {
		p.rate = max(p.rate, 1)
	}
	return p
}

func compileCompression(c *proxy.Compression) *compress.Settings {
	if c == nil {
		return nil
	}
	s := &compress.Settings{Types: compress.Lower(c.Types), Offload: c.Offload}
	for _, w := range c.Algos {
		if coding, ok := compress.Parse(w); ok {
			s.Codings = append(s.Codings, coding)
		}
	}
	return s
}

// compression is what a request's proxies say: the backend before the frontend, for codings and types each.
func (t *txn) compression() (codings []compress.Coding, types []string, offload bool) {
	for _, s := range [...]*compress.Settings{t.bc.compress, t.fc.compress} {
		if s == nil {
			continue
		}
		if codings == nil {
			codings = s.Codings
		}
		if types == nil && len(s.Types) > 0 {
			types = s.Types
		}
		offload = offload || s.Offload
	}
	return codings, types, offload
}

// wish chooses the coding that the answer may have, from what the client accepts.
func (s *session) wish() {
	t := s.t
	if t.bc.compress == nil && t.fc.compress == nil || t.minor == 0 || t.method == http1.CONNECT {
		return
	}
	codings, _, offload := t.compression()
	if len(codings) == 0 {
		return
	}
	m, w := &t.asked, &s.l.wish
	m.Head, m.In = &t.head, s.client.in.data()
	w.Reset()
	for i := range m.Fields() {
		name, value, ok := m.Field(i)
		switch {
		case ok && http1.EqualFold(name, "accept-encoding"):
			w.Line(value)
		case ok && http1.EqualFold(name, "user-agent") && compress.Old(value):
			return
		}
	}
	if t.coding = w.Best(codings); t.coding == compress.None || !offload {
		return
	}
	for i := range m.Fields() {
		if name, _, ok := m.Field(i); ok && http1.EqualFold(name, "accept-encoding") {
			if m.Edits == nil {
				m.Edits = s.l.takeEdits()
			}
			m.Drop(m.Edits, i)
		}
	}
}

var (
	contentEncoding = []byte("content-encoding")
	vary            = []byte("vary")
	acceptEncoding  = []byte("Accept-Encoding")
)

// press decides whether an answer is compressed, and prepares it.
func (s *session) press(h *http1.Head, in []byte) {
	t, l := s.t, s.l
	if t.coding == compress.None || t.method == http1.HEAD || !compress.Status(t.status) || h.Minor == 0 || t.res.done || t.closingBody() {
		return
	}
	m := &l.answered
	m.Head, m.In = h, in
	_, types, _ := t.compression()
	var fit compress.Fit
	tag := -1
	for i := range m.Fields() {
		name, value, ok := m.Field(i)
		if !ok {
			continue
		}
		fit.Field(name, value, types)
		if http1.EqualFold(name, "etag") && compress.Strong(value) {
			tag = i
		}
	}
	if !fit.OK(types) || !l.mayPress(&t.fc.tune) || !s.marked(tag) {
		return
	}
	enc := l.encoders.Take(t.coding, t.fc.tune.level, pressLead)
	if enc == nil {
		return
	}
	t.press = l.newPressing(enc)
	s.eachSide(func(c *counters) { c.compRsp++ })
}

// closingBody: the answer's length is known by its end alone.
func (t *txn) closingBody() bool { return t.res.kind == byClose || t.res.kind == noBody }

// marked writes into the head that the content is compressed. An entity tag that promises the same bytes is weakened.
func (s *session) marked(tag int) bool {
	m, l := &s.l.answered, s.l
	e := m.Edits
	if e == nil {
		e = l.takeEdits()
		m.Edits = e
	}
	if tag >= 0 {
		_, value, _ := m.Field(tag)
		l.scratch = append(append(l.scratch[:0], "W/"...), value...)
		if !m.Set(e, tag, l.scratch) {
			return false
		}
	}
	if !m.Put(e, contentEncoding, codingTokens[s.t.coding]) {
		return false
	}
	return m.Put(e, vary, acceptEncoding)
}

var codingTokens = func() (out [8][]byte) {
	for c := compress.Gzip; c <= compress.Zstd; c++ {
		out[c] = []byte(c.Token())
	}
	return out
}()

// mayPress reports whether one more answer may be compressed: within the number of encoders, their memory, what may go into
// them a second and the loop's time.
func (l *loop) mayPress(t *pressTune) bool {
	switch {
	case l.encoders.Used() >= t.most:
		return false
	case l.e.memory != 0 && l.spoken()+compress.Cost > l.share():
		return false
	case t.rate != 0 && l.pressed.read(l.now) >= t.rate:
		return false
	}
	return t.cpu == 0 || l.usage() < t.cpu
}

// usage is the percent of its time that the loop's thread was running, lately.
func (l *loop) usage() int64 {
	if past := l.now - l.lookedAt; past >= pressLook {
		var u unix.Rusage
		if unix.Getrusage(unix.RUSAGE_THREAD, &u) == nil {
			ran := u.Utime.Nano() + u.Stime.Nano()
			l.busy = (ran - l.ran) * 100 / past
			l.ran, l.lookedAt = ran, l.now
		}
	}
	return l.busy
}

func (l *loop) newPressing(enc *compress.Encoder) *pressing {
	var p *pressing
	if n := len(l.pressings); n > 0 {
		p = l.pressings[n-1]
		l.pressings = l.pressings[:n-1]
	} else {
		p = &pressing{}
	}
	p.enc = enc
	return p
}

// freePressing takes an encoder back, whatever became of the answer.
func (l *loop) freePressing(p **pressing) {
	if *p == nil {
		return
	}
	l.encoders.Give((*p).enc)
	l.free(&(*p).trail)
	**p = pressing{}
	l.pressings = append(l.pressings, *p)
	*p = nil
}

// pumpPressed moves an answer's body on through its encoder.
func (s *session) pumpPressed() flow {
	t, l, src := s.t, s.l, s.server
	p, b := t.press, &t.res
	for range budget {
		if f, ok := s.sendPressed(); !ok {
			return f
		}
		if p.ended {
			l.spare(src)
			return flowDone
		}
		if src.in != nil && src.in.r < src.in.w && !b.done {
			if !s.pressContent(src.in, b) {
				return flowFault
			}
			if b.done {
				s.kept() // before the client can ask again
				s.endPressed()
			}
			continue
		}
		n, r := l.fill(src, b.big)
		switch r {
		case ioBlock:
			if p.inside {
				s.flushPressed()
				continue
			}
			return flowRead
		case ioEOF:
			return flowEnd
		case ioError:
			return flowSource
		}
		b.stretch(n)
		s.touched(src)
	}
	l.later(s)
	return flowTurn
}

// pressContent hands a piece of what has come to the encoder, its framing taken out. false: it is malformed.
func (s *session) pressContent(in *buffer, b *body) bool {
	data := in.data()
	if b.kind == byLength {
		n := int(min(b.left, int64(len(data)), pressPiece))
		s.pressIn(data[:n])
		in.consume(n)
		b.left -= int64(n)
		b.done, b.big = b.left == 0, b.left > smallBuffer
		return true
	}
	for at := 0; at < len(data) && at < pressPiece; {
		rest := data[at:]
		if !b.chunks.InData() { // line by line, so that trailers are told from what is before them
			if end := bytes.IndexByte(rest, '\n'); end >= 0 {
				rest = rest[:end+1]
			}
		} else if len(rest) > pressPiece {
			rest = rest[:pressPiece]
		}
		trailing := b.chunks.Trailing()
		n, piece, f := b.chunks.Next(rest)
		if f != http1.None || trailing && !s.t.press.keepTrailer(s.l, rest[:n]) {
			return false
		}
		if piece == http1.Data {
			s.pressIn(rest[:n])
		}
		in.consume(n)
		at += n
		if b.done = piece == http1.End; b.done {
			return true
		}
	}
	b.big = b.chunks.Left() > smallBuffer
	return true
}

// keepTrailer keeps trailers as they come, the empty line among them. http1 bounds how much that is.
func (p *pressing) keepTrailer(l *loop, b []byte) bool {
	if p.trail == nil {
		p.trail = l.buffer(false)
	}
	if len(b) > p.trail.room() {
		return false
	}
	p.trail.append(b)
	return true
}

// pressIn compresses content.
func (s *session) pressIn(p []byte) {
	t := s.t
	if k := t.caching; k != nil && k.store != nil {
		s.keepContent(p)
	}
	t.press.enc.Write(p)
	t.press.inside = true
	s.l.pressed.add(s.l.now, uint64(len(p)))
	s.eachSide(func(c *counters) { c.compIn += uint64(len(p)) })
}

func (s *session) flushPressed() {
	s.t.press.enc.Flush()
	s.t.press.inside = false
}

func (s *session) endPressed() {
	p := s.t.press
	p.enc.Close()
	p.inside, p.ended = false, true
}

// frame makes a chunk of what the encoder has made; with its end the body's.
func (p *pressing) frame() {
	e := p.enc
	if p.at = pressLead; !e.Empty() {
		var size [pressLead]byte
		head := append(strconv.AppendUint(size[:0], uint64(len(e.Out)-pressLead), 16), "\r\n"...)
		p.at -= len(head)
		copy(e.Out[p.at:], head)
		e.Out = append(e.Out, "\r\n"...)
	}
	if p.ended {
		e.Out = append(e.Out, "0\r\n"...)
		if p.trail != nil {
			e.Out = append(e.Out, p.trail.data()...)
		} else {
			e.Out = append(e.Out, "\r\n"...)
		}
	}
	p.framed = true
}

// sendPressed sends what the client's out buffer has and then what the encoder has made. ok is false when it could not.
func (s *session) sendPressed() (flow, bool) {
	p := s.t.press
	if !p.framed && (p.ended || !p.enc.Empty()) {
		p.frame()
		s.eachSide(func(c *counters) { c.compOut += uint64(len(p.enc.Out) - p.at) })
	}
	var made []byte
	if p.framed {
		made = p.enc.Out[p.at:]
	}
	n, r := s.hand(&s.client, made, countDown)
	if p.at += n; r != ioSome {
		return blocked(r), false
	}
	if p.framed {
		p.enc.Clear()
		p.framed = false
	}
	return 0, true
}

// eachSide counts in the frontend's and the backend's row.
func (s *session) eachSide(f func(*counters)) {
	f(s.fe.per[s.l.id])
	if s.t.bc != nil {
		f(s.t.bc.rt.per[s.l.id])
	}
}

// inflow counts bytes a second: the past second in full, and its rest fading as the present one fills.
type inflow struct {
	second    int64
	cur, prev uint64
}

func (f *inflow) add(now int64, n uint64) {
	f.roll(now)
	f.cur += n
}

func (f *inflow) roll(now int64) {
	if second := now / int64(time.Second); second != f.second {
		f.prev = 0
		if second == f.second+1 {
			f.prev = f.cur
		}
		f.second, f.cur = second, 0
	}
}

func (f *inflow) read(now int64) uint64 {
	f.roll(now)
	left := uint64(time.Second) - uint64(now%int64(time.Second))
	return f.cur + f.prev*(left/1000)/1e6
}
