package engine

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/compress"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// What the process has room for: descriptors, computed when a configuration is applied, and memory, accounted by each loop
// for itself.

// ownDescriptors are those that belong to no connection: standard streams, the runtime's poller, netlink, the API.
const ownDescriptors = 32

// descriptorLimit is how many descriptors the process may have.
func descriptorLimit() int64 {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || r.Cur == unix.RLIM_INFINITY {
		return 1 << 21
	}
	return int64(min(r.Cur, 1<<30))
}

// raiseDescriptors asks for a higher limit of descriptors and returns what there is then. The soft limit goes up to the
// hard one (Go's runtime has done it at the start, unless somebody lowered it since); beyond that only the privileged get.
func raiseDescriptors(need int64) int64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil && r.Cur < uint64(need) {
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(need), Max: max(r.Max, uint64(need))}) != nil {
			_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: r.Max, Max: r.Max}) // as far as it goes
		}
	}
	return descriptorLimit()
}

// fixedDescriptors is what a configuration takes beside its connections: listeners and pollers of each loop, a check of
// each server, the sockets of log targets, the pipes of long streams.
func fixedDescriptors(c proxy.Config, loops int) int64 {
	n := ownDescriptors + 2*loops + 2*maxPipes*loops + len(c.Global.Log)
	for _, f := range c.Frontends {
		n += len(f.Binds)*loops + len(f.Log)
	}
	for _, b := range c.Backends {
		n += len(b.Log)
		for _, s := range b.Servers {
			if s.Check != "" {
				n++
			}
		}
	}
	return int64(n)
}

// leastConns is served however few descriptors there are.
const leastConns = 64

// eachConn is how many descriptors a client connection takes: its own and a server's. One over QUIC has none of its own,
// but both ends of the pair of sockets by which it reaches its loop.
func eachConn(c proxy.Config) int64 {
	for _, f := range c.Frontends {
		for _, b := range f.Binds {
			if b.QUIC {
				return 3
			}
		}
	}
	return 2
}

// fitConnections decides how many client connections the descriptors allow, at so many each. A maxconn that was asked for is
// cut down to what fits.
func fitConnections(wanted int, each, fixed, limit int64) (maxConn, need int64) {
	room := max((limit-fixed)/each, leastConns)
	maxConn = room
	if wanted > 0 {
		maxConn = min(int64(wanted), room)
		return maxConn, each*int64(wanted) + fixed
	}
	return maxConn, each*maxConn + fixed
}

// applyLimits sets what the process may take, and tells it when it changes; mu is held.
func (e *Engine) applyLimits(c proxy.Config) {
	fixed := fixedDescriptors(c, len(e.loops))
	limit := descriptorLimit()
	each := eachConn(c)
	if need := each*int64(c.Global.MaxConn) + fixed; need > limit {
		limit = raiseDescriptors(need)
	}
	maxConn, need := fitConnections(c.Global.MaxConn, each, fixed, limit)
	// Server connections that wait for use may have a quarter: HAProxy's tune.pool-high-fd-ratio.
	e.poolRoom.Store(max(limit/4/int64(len(e.loops)), 16))
	e.connRate.Store(int64(lower(c.Global.MaxConnRate, c.Global.MaxSessRate)))
	if e.maxConn.Swap(maxConn) == maxConn && e.told {
		return
	}
	e.told = true
	if need > limit {
		e.log.Warn("too few descriptors for maxconn: raise ulimit -n", "maxconn", c.Global.MaxConn, "needs", need, "limit", limit, "maxconn_is", maxConn)
		return
	}
	e.log.Info("descriptors", "maxconn", maxConn, "needs", need, "limit", limit)
}

// headLimits are what a configuration lets heads be, and the size of the buffers that they come in.
func headLimits(g *proxy.Global) (l http1.Limits, size int) {
	size, rewrite := cmp.Or(g.BufSize, smallBuffer), cmp.Or(g.MaxRewrite, 1024)
	if rewrite > size/2 {
		rewrite = size / 2
	}
	lines := cmp.Or(g.MaxHdr, http1.MaxHeaders+1) // the start line is one of them
	l = http1.Limits{Bytes: size - rewrite, Headers: max(lines-1, 1)}
	return l, max(size, smallBuffer)
}

// lower is the lower of two bounds, of which 0 is none.
func lower(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// shedIdle closes some idle server connections when descriptors run out, to make room for those that are wanted. It tells
// whether there were any.
func (l *loop) shedIdle() bool {
	const atOnce = 64
	n := 0
	for _, c := range l.fds {
		if c != nil && c.pooled != nil && c.s == nil && c.sc != nil && (c.mux == nil || c.mux.streams == 0) {
			l.dropIdle(c)
			if n++; n == atOnce {
				break
			}
		}
	}
	return n > 0
}

// Memory. What a request may take at most is set aside when it begins, so that none that was let in is in want later.
const idleCost = 1 << 10 // of a connection: its structures and the kernel's descriptor

// requestCost is that of a request: what came, what goes to the server, what goes to the client.
func (l *loop) requestCost() int64 { return 3 * int64(l.size) }

// roomForConn reports whether one more connection may be let in.
func (l *loop) roomForConn() bool {
	return l.e.memory == 0 || l.spoken()+idleCost <= l.share()
}

// roomForRequest reports whether one more request may begin.
func (l *loop) roomForRequest() bool {
	return l.e.memory == 0 || l.spoken()+l.requestCost() <= l.share()
}

// roomForBig reports whether a buffer for long messages may be had in place of a small one: from what nobody may need.
func (l *loop) roomForBig() bool {
	return l.e.memory == 0 || l.spoken()+int64(l.bigs+1)*bigBuffer <= l.share()
}

// share is this loop's part of the memory, less what free buffers take.
func (l *loop) share() int64 { return l.e.memory / int64(len(l.e.loops)) * 4 / 5 }

// spoken is what this loop's connections and requests may come to take.
func (l *loop) spoken() int64 {
	return int64(l.count)*idleCost + int64(l.active)*l.requestCost() + int64(l.bigs)*bigBuffer + int64(l.encoders.Used())*compress.Cost +
		l.quicKept.Load()
}

// noRoom counts a refusal for want of memory; the log hears of it once a second.
func (l *loop) noRoom(what string) {
	l.noMemory++
	if l.fails.allow(l.now) {
		l.e.log.Error("the memory that connections may have is used up", "refused", what, "limit", l.e.memory, "connections", l.count, "requests", l.active)
	}
}

// beginRequest begins a request, or answers it at once where there is no memory for it.
func (s *session) beginRequest() verdict {
	room := s.l.roomForRequest()
	s.newRequest()
	if room {
		return proceed
	}
	s.l.noRoom("request")
	s.mark('R', 'R')
	s.badRequest()
	return s.answerError(503)
}

// keepSmall is how many free buffers are kept: what is bounded keeps a quarter, which its share leaves.
func (l *loop) keepSmall() int {
	if l.e.memory == 0 {
		return keepSmall
	}
	return min(keepSmall, int(l.share()/4/int64(l.size)))
}
