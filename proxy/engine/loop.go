package engine

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/compress"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/http2"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// maxEvents is how many events one look at epoll takes; budget is how many pieces one connection may move before the
// others have their turn.
const (
	maxEvents = 256
	budget    = 16
)

// loop is one event loop: a thread, an epoll, a wheel, and everything that belongs to its connections. Only mail and
// awake are touched from outside.
type loop struct {
	e    *Engine
	id   int
	ep   int
	wake int32 // eventfd
	now  int64 // nanoseconds since Engine.base
	wall int64 // Unix nanoseconds of now
	seen int64 // what came before this moment has been dealt with when timers fire, see wait

	fds       []*conn
	accepts   []*acceptor // by descriptor
	wheel     *wheel
	size      int // of a small buffer
	small     []*buffer
	big       []*buffer
	sessions  []*session // free ones
	spares    []*conn    // free server connections
	due       []*secure  // handshakes whose turn it is
	shakers   []*shaker  // free ones
	txns      []*txn
	pipes     []*pipe    // free ones
	records   [][]byte   // free ones, for what is read over TLS
	talks     []*udpTalk // free ones
	bag       *mailbag
	lives     uint64
	gens      int32      // tells an event of a closed descriptor from one of its successor
	again     []*session // have more to do at once
	turn      []*session // those whose turn it is
	live      *session   // list of all sessions
	count     int
	active    int // requests, and TCP connections
	bigs      int // big buffers in use
	idles     int // server connections that wait for use
	noMemory  uint64
	quicKept  atomic.Int64 // bytes that http3 keeps for clients of the loop
	paused    []*acceptor
	accepted  uint64
	pipesMade int
	muxes     []*mux // have something to send or to see to
	muxTurn   []*mux
	streams   []*stream // free ones

	answer http1.Head // scratch of a response's head
	sent   http1.Head // scratch of a head that goes out as HTTP/2
	fields http2.List // scratch of one that came as such

	rules    *rule.Ctx     // what rules look at, made when first needed
	answered rule.Message  // an answer as rules see it
	looking  *session      // whom rules look at
	edits    []*rule.Edits // free ones
	vars     []*rule.Vars
	tracks   []*rule.Tracks
	captures []*rule.Captures
	kept     map[*session]*rule.Vars // variables of connections, which few have
	scratch  []byte                  // of answers that are made here
	checks   map[rule.PasswordID]*passwordCheck
	over     <-chan struct{} // closed when the loop is to end

	wish      compress.Wish // scratch of what a client accepts
	encoders  compress.Pool
	pressings []*pressing // free ones
	pressed   inflow      // bytes that went into encoders
	busy      int64       // percent of the time before lookedAt that the thread was running, ns before that
	ran       int64
	lookedAt  int64
	cachings  []*caching // free ones

	h2streams http2.Pool
	stamp     accesslog.Stamp
	line      []byte
	ring      *accesslog.Ring
	fails     rateLimit

	mu    sync.Mutex
	mail  []func()
	read  []func()
	awake atomic.Bool // a wake-up is on its way

	draining bool
	stopped  bool
}

func newLoop(e *Engine, id int) (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	efd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(ep)
		return nil, err
	}
	l := &loop{e: e, id: id, ep: ep, wake: int32(efd), size: e.size, wheel: newWheel(0), line: make([]byte, 0, accesslog.MaxLine)}
	l.answer.Limits, l.sent.Limits, l.fields.Limits = e.limits, e.limits, e.limits
	sysEpollAdd(ep, l.wake, 0, unix.EPOLLIN)
	return l, nil
}

// post hands f to the loop; it runs there soon, in the order posted. false: the loop has ended. Safe for concurrent use.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	if l.wake < 0 {
		l.mu.Unlock()
		return false
	}
	l.mail = append(l.mail, f)
	l.mu.Unlock()
	if l.awake.CompareAndSwap(false, true) {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		l.mu.Lock()
		if l.wake >= 0 {
			unix.Write(int(l.wake), one[:])
		}
		l.mu.Unlock()
	}
	return true
}

func (l *loop) readMail() {
	l.awake.Store(false)
	l.mu.Lock()
	l.mail, l.read = l.read[:0], l.mail
	l.mu.Unlock()
	for i, f := range l.read {
		f()
		l.read[i] = nil
	}
}

// run is the loop. It returns when told to stop, every connection closed.
func (l *loop) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stop := context.AfterFunc(ctx, func() { l.post(func() { l.stopped = true }) })
	defer stop()
	l.over = ctx.Done()
	evs := make([]unix.EpollEvent, maxEvents)
	busy := false
	for !l.stopped {
		n := l.wait(evs, busy)
		busy = n > 0
		l.clock()
		for i := range evs[:n] {
			l.dispatch(&evs[i])
		}
		l.runShakes()
		l.wheel.advance(l.seen / int64(time.Millisecond))
		l.runAgain()
		l.settleMuxes()
	}
	l.shutdown()
}

func (l *loop) clock() {
	l.now = int64(time.Since(l.e.base))
	l.wall = l.e.wall + l.now
}

// wait looks without waiting as long as there was something the last time: that costs less than handing the thread's
// right to run back and forth. Then it sleeps until an event or the next timer.
//
// Deadlines are held against the moment before the look: what came until then is among the events. A thread that the machine
// let wait would else end who had been in time, for being late itself.
func (l *loop) wait(evs []unix.EpollEvent, busy bool) int {
	l.seen = l.now
	pending := len(l.again)+len(l.muxes)+len(l.due) > 0
	if busy || pending {
		if n := sysEpollNow(l.ep, evs); n > 0 || pending {
			return n
		}
	}
	timeout := -1
	if at := l.wheel.next(); at != noDeadline {
		l.clock()
		l.seen = l.now
		timeout = int(min(max(at-l.now/int64(time.Millisecond), 0), 1<<30))
	}
	n, err := unix.EpollWait(l.ep, evs, timeout)
	if err != nil {
		return 0
	}
	return n
}

func (l *loop) dispatch(ev *unix.EpollEvent) {
	if ev.Fd == l.wake {
		var b [8]byte
		sysRead(l.wake, b[:])
		l.readMail()
		return
	}
	l.e.rest.stir()
	if int(ev.Fd) < len(l.accepts) {
		if a := l.accepts[ev.Fd]; a != nil {
			l.incoming(a)
			return
		}
	}
	if int(ev.Fd) >= len(l.fds) {
		return
	}
	c := l.fds[ev.Fd]
	if c == nil || c.gen != ev.Pad {
		return // closed earlier in this batch
	}
	c.event(ev.Events)
	if c.s != nil {
		c.s.run()
	} else {
		l.idleEvent(c)
	}
}

// runAgain gives those who had more to do than their budget another turn.
func (l *loop) runAgain() {
	l.again, l.turn = l.turn[:0], l.again
	for _, s := range l.turn {
		s.queued = false
		s.run()
	}
}

func (l *loop) later(s *session) {
	if !s.queued {
		s.queued = true
		l.again = append(l.again, s)
	}
}

// adopt makes fd known to the loop as c.
func (l *loop) adopt(c *conn, fd int32) {
	for int(fd) >= len(l.fds) {
		l.fds = append(l.fds, make([]*conn, max(64, len(l.fds)))...)
	}
	l.gens++
	c.fd, c.gen = fd, l.gens
	l.fds[fd] = c
}

func (l *loop) shutdown() {
	for _, a := range l.accepts {
		if a != nil {
			l.unlisten(a)
		}
	}
	for l.live != nil {
		l.live.abort()
	}
	for _, c := range l.fds {
		if c != nil {
			l.dropIdle(c)
		}
	}
	l.closePipes()
	l.closeShakers()
	l.mu.Lock()
	sysClose(l.wake)
	sysClose(int32(l.ep))
	l.wake = -1
	l.mu.Unlock()
	l.readMail() // nobody posts any more; who waits for an answer shall have it
}

// rateLimit lets a line through once a second.
type rateLimit struct{ last int64 }

func (r *rateLimit) allow(now int64) bool {
	if r.last != 0 && now-r.last < int64(time.Second) {
		return false
	}
	r.last = now
	return true
}
