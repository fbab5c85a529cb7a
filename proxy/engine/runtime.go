package engine

import (
	"sync/atomic"
	"time"

	"github.com/reeve-lb/reeve/proxy/stats"
	"github.com/reeve-lb/reeve/proxy/stick"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// What outlives a configuration: one frontend, backend and server per name, with its counters and health. Each loop
// counts in a struct of its own and reads are sums; what loops must know of each other is atomic.

// gauge is a current number and the greatest it was.
type gauge struct{ cur, max atomic.Int64 }

func (g *gauge) add() int64 {
	n := g.cur.Add(1)
	for m := g.max.Load(); n > m && !g.max.CompareAndSwap(m, n); m = g.max.Load() {
	}
	return n
}

func (g *gauge) sub() { g.cur.Add(-1) }

// counters are one loop's part of a row. Not every row has a use for each.
type counters struct {
	conns, sessions, requests, bin, bout          uint64
	dreq, dresp, ereq, econ, eresp, wretr, wredis uint64
	lbtot, cliAbrt, srvAbrt, intercepted          uint64
	connect, reuse                                uint64
	handshakes, resumed, badHandshakes            uint64
	compIn, compOut, compRsp                      uint64
	cacheLookups, cacheHits                       uint64
	status                                        [6]uint64 // other, 1xx .. 5xx
	last                                          int64     // when the last session began, ns since base
	qtime, ctime, rtime, ttime                    average
	rate, reqRate                                 frequency
	_                                             [64]byte // the next loop's are on lines of their own
}

// average is HAProxy's sliding mean of the last 1024 values, kept as their sum.
type average struct{ sum, n int64 }

func (a *average) add(v int64) {
	if a.n < 1024 {
		a.n++
		a.sum += v
		return
	}
	a.sum += v - (a.sum+1023)/1024
}

// frequency counts per second: the past second in full, and its rest fading as the present one fills. One loop counts,
// any may read: the state is as a gate's, written as a whole.
type frequency struct {
	state atomic.Uint64
	max   uint64 // the counting loop's alone
}

func (f *frequency) add(now int64) {
	second, before, passed := secondOf(f.state.Load(), now)
	f.state.Store(stateOf(second, before, passed+1))
	f.max = max(f.max, f.read(now))
}

func (f *frequency) read(now int64) uint64 {
	_, before, passed := secondOf(f.state.Load(), now)
	rest := uint64(time.Second) - uint64(now%int64(time.Second))
	return passed + before*(rest/1000)/1e6
}

func (c *counters) answered(status int) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	c.status[class]++
}

func perLoop(n int) []*counters {
	cs := make([]*counters, n)
	for i := range cs {
		cs[i] = &counters{last: -1}
	}
	return cs
}

type frontend struct {
	name string
	conf atomic.Pointer[frontConf]
	conn gauge
	rate gate
	gone atomic.Bool // removed: connections end with their request
	per  []*counters
}

type backend struct {
	name  string
	conf  atomic.Pointer[backConf] // the newest; requests hold the one they began with
	conn  gauge
	per   []*counters
	queue queue
	turn  atomic.Uint64 // position in the round robin
	// Of leastconn: whether it is the algorithm, and the number of changes of load so far.
	ordered  atomic.Bool
	touches  atomic.Uint64
	fullConn atomic.Int64   // load at which the servers' limits have grown from minconn to maxconn
	tables   []*stick.Table // per loop; nil without a stick-table

	// Guarded by Engine.mu:
	down      bool
	changed   time.Time
	downtime  time.Duration
	downCount uint64
}

type server struct {
	name    string
	serial  uint32 // unique in the engine, never 0
	backend *backend
	conn    gauge         // requests (HTTP) or connections (TCP) that hold a slot
	limit   atomic.Int64  // maxconn, 0: none
	least   atomic.Int64  // minconn, 0: the limit does not change
	queues  atomic.Int64  // maxqueue, 0: no bound
	ramp    atomic.Int64  // percent of the limit during a slow start, 0: all
	touched atomic.Uint64 // when its load last changed, in the backend's touches
	latency latency
	up      atomic.Bool // by its check
	maint   atomic.Bool // taken out by the configuration
	blocked atomic.Bool // left alone for fail_timeout
	signs   signs
	waiting gauge // in its own queue
	per     []*counters
	idle    []idleList // per loop
	muxes   []*mux     // per loop: its HTTP/2 connections
	h1      []bool     // per loop: the last time HTTP/1.1 was agreed on, where HTTP/2 was offered too
	idles   atomic.Int64

	// Guarded by Engine.mu:
	address    sockaddr
	tls        *tlsconf.Server
	weight     int // may have been changed since the configuration said written
	written    int
	configured bool
	started    time.Time // of a slow start; zero: none goes on
	slow       int64     // its seconds
	step       int       // the weight's sixteenths that it has come to, 0: all
	until      time.Time // when it is asked again, while blocked
	followers  []*server // that track this one
	check      stats.CheckResult
	checked    bool
	fails      uint64
	downs      uint64
	changed    time.Time
	downtime   time.Duration
}

// available reports whether the server may be asked at all.
func (s *server) available() bool { return s.up.Load() && !s.maint.Load() && !s.blocked.Load() }

// cap is how many may be served at present, 0 without a limit. With minconn it grows with the load of the backend.
func (s *server) cap() int64 {
	limit := s.limit.Load()
	if limit == 0 {
		return 0
	}
	if least := s.least.Load(); least > 0 && least < limit {
		if load, full := s.backend.conn.cur.Load(), s.backend.fullConn.Load(); load < full {
			limit = max(least, load*limit/full)
		}
	}
	if percent := s.ramp.Load(); percent > 0 {
		limit = max(1, limit*percent/100)
	}
	return limit
}

// mayQueue: maxqueue lets so many more wait for this server alone.
func (s *server) mayQueue() bool { return s.waiting.cur.Load() < s.queues.Load() }

// overflows: nobody more may wait for this server.
func (s *server) overflows() bool {
	n := s.queues.Load()
	return n > 0 && s.waiting.cur.Load() >= n
}

// touch notes that the load has changed: of servers with equal loads the one that was touched longest ago comes first.
func (s *server) touch() {
	if s.backend.ordered.Load() {
		s.touched.Store(s.backend.touches.Add(1))
	}
}

// full reports whether a newcomer has to queue.
func (s *server) full() bool {
	limit := s.cap()
	return limit > 0 && (s.conn.cur.Load() >= limit || s.waiting.cur.Load() > 0 || s.backend.queue.general.Load() > 0)
}

// room reports whether a slot is free.
func (s *server) room() bool {
	limit := s.cap()
	return limit == 0 || s.conn.cur.Load() < limit
}

// take takes a slot if there is one, whoever waits.
func (s *server) take() bool {
	limit := s.cap()
	if limit == 0 {
		s.conn.add()
		s.touch()
		return true
	}
	for {
		n := s.conn.cur.Load()
		if n >= limit {
			return false
		}
		if s.conn.cur.CompareAndSwap(n, n+1) {
			for m := s.conn.max.Load(); n+1 > m && !s.conn.max.CompareAndSwap(m, n+1); m = s.conn.max.Load() {
			}
			s.touch()
			return true
		}
	}
}
