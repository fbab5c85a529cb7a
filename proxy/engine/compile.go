package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/compress"
	"github.com/reeve-lb/reeve/proxy/http2"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// The compiled configuration: immutable once stored, so that a request can hold on to it.

type frontConf struct {
	rt       *frontend
	src      *proxy.Frontend
	http     bool
	rules    frontRules
	fallback *backConf // default_backend; nil: 503
	sink     *accesslog.Sink
	format   proxy.LogFormat
	maxConn  int64
	rate     int64 // sessions a second
	stats    *proxy.Stats
	mode     proxy.ConnMode
	forward  *forwardFor
	times    times
	deferred bool // TCP_DEFER_ACCEPT
	buffer   bool // option http-buffer-request
	pages    errorSet
	socket   socketOptions
	h2       http2.Settings
	compress *compress.Settings // nil: nothing is compressed on its account
	tune     pressTune
}

// socketOptions are those of connections, beyond what all have.
type socketOptions struct{ keepAlive, noLinger bool }

func (o socketOptions) set(fd int32) {
	if o.keepAlive {
		sysSetInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	if o.noLinger {
		sysNoLinger(fd)
	}
}

// bindConf is what is known of a listening address beyond itself.
type bindConf struct {
	fe          *frontend
	group       *group
	maxConn     int64
	name        string // as logs tell it: its own name, or its number in the frontend
	number      uint16 // of the address in its frontend, from 1
	deferred    bool
	acceptProxy bool
	proto       proxy.Proto
	tls         *tlsconf.Bind // nil: clear
	quic        proxy.QUIC
	forceRetry  bool // of QUIC
}

// times are nanoseconds, 0 for no limit; the fallbacks between them are resolved.
type times struct {
	connect, client, server, request, keepAlive, queue, tunnel, clientFin, serverFin, tarpit int64
}

type forwardFor struct {
	lower  string // the header's name in lower case, to look for
	prefix []byte // "Name: "
	except netip.Prefix
	ifNone bool
}

type backConf struct {
	rt         *backend
	src        *proxy.Backend
	http       bool
	servers    []*serverConf
	chooser    chooserPtr
	algorithm  proxy.Algorithm
	args       proxy.BalanceArgs
	hash       proxy.HashType
	hashFactor int
	draws      int // of `balance random`
	allBackups bool
	preferLast bool
	persist    bool
	persistRDP string // the cookie's name
	cookie     *proxy.Cookie
	cookieTail []byte // what follows the value of an inserted one
	retries    int
	redispatch int
	times      times
	forward    *forwardFor
	mode       proxy.ConnMode
	stats      *proxy.Stats
	rules      backRules
	stick      []*backend // whose tables `stick on src` looks into
	responses  int        // to a datagram of UDP; negative: any number
	reuse      proxy.Reuse
	retry      retryOn
	abort      bool // option abortonclose
	pretend    bool // option http-pretend-keepalive
	buffer     bool // option http-buffer-request
	pages      errorSet
	compress   *compress.Settings
	socket     socketOptions
}

type serverConf struct {
	rt       *server
	index    int
	id       int // as configured, or the next free one
	addr     sockaddr
	ap       netip.AddrPort
	tls      *tlsconf.Server // nil: clear
	text     string          // address as told in statistics
	resolved bool
	slow     int64  // seconds of slowstart
	watch    *watch // nil: nobody looks at how its requests go
	onError  proxy.OnError
	track    string
	// on-marked-down shutdown-sessions, on-marked-up shutdown-backup-sessions
	shutdownSessions, shutdownBackups bool
	backup                            bool
	cookie                            string
	setCookie                         []byte // the Set-Cookie line up to the value's end
	checked                           bool
	sendProxy                         int  // version of the PROXY header that begins a connection; 0: none
	follow                            bool // addr's port is that of the client, and offset
	offset                            int
	source                            sourceConf
	poolMax                           int64 // idle connections kept, negative: any number
	purge                             int64 // ns
	maxReuse                          int
	// What is spoken by requests, by those that ask for a WebSocket, and by those for another upgrade; 0: what is agreed on.
	proto, webSockets, upgrades proxy.Proto
	h2                          http2.Settings
}

// compileProto decides what is spoken with a server.
func (sc *serverConf) compileProto(s *proxy.Server) {
	offers := func(p string) bool { return s.TLS != nil && slices.Contains(strings.Split(s.TLS.ALPN, ","), p) }
	sc.proto = s.Proto
	if sc.proto == 0 && !offers("h2") {
		sc.proto = proxy.H1
	}
	sc.upgrades = sc.proto
	if sc.proto == 0 && offers("http/1.1") {
		sc.upgrades = proxy.H1
	}
	sc.webSockets = cmp.Or(s.WS, sc.upgrades)
}

// compilePool fills in what is kept of idle connections.
func (sc *serverConf) compilePool(s *proxy.Server) {
	sc.poolMax, sc.purge, sc.maxReuse = -1, int64(purgeEvery), -1
	if s.PoolMaxConn != nil {
		sc.poolMax = int64(*s.PoolMaxConn)
	}
	if s.PoolPurgeDelay != nil {
		sc.purge = int64(*s.PoolPurgeDelay)
	}
	if s.MaxReuse != nil {
		sc.maxReuse = *s.MaxReuse
	}
}

// same reports whether connections to two configurations of a server are the same.
func (s *serverConf) same(o *serverConf) bool {
	return s.addr == o.addr && s.tls == o.tls && s.sendProxy == o.sendProxy && s.offset == o.offset && s.source.SourceAddress == o.source.SourceAddress
}

func ns(d time.Duration) int64 { return int64(d) }

func compileTimes(t proxy.Timeouts) times {
	c := times{connect: ns(t.Connect), client: ns(t.Client), server: ns(t.Server), request: ns(t.HTTPRequest), keepAlive: ns(t.HTTPKeepAlive),
		queue: ns(t.Queue), tunnel: ns(t.Tunnel), clientFin: ns(t.ClientFin), serverFin: ns(t.ServerFin), tarpit: ns(t.Tarpit)}
	if c.request == 0 {
		c.request = c.client
	}
	if c.keepAlive == 0 {
		c.keepAlive = c.request
	}
	if c.tarpit == 0 {
		c.tarpit = c.connect
	}
	if c.queue == 0 {
		c.queue = c.connect
	}
	return c
}

func compileForward(f *proxy.ForwardFor) *forwardFor {
	if f == nil {
		return nil
	}
	name := f.Header
	if name == "" {
		name = "X-Forwarded-For"
	}
	lower := []byte(name)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return &forwardFor{lower: string(lower), prefix: []byte(name + ": "), except: f.Except, ifNone: f.IfNone}
}

// compileBalance takes over how a server is chosen.
func (b *backConf) compileBalance(src *proxy.Backend) {
	b.algorithm, b.args, b.hash, b.hashFactor = src.Balance, src.BalanceArgs, src.HashType, src.HashFactor
	b.allBackups, b.preferLast, b.persist = src.AllBackups, src.PreferLast, src.Persist
	if b.algorithm == 0 {
		b.algorithm = proxy.RoundRobin
	}
	switch b.algorithm {
	case proxy.Hdr:
		b.args.Name = strings.ToLower(b.args.Name)
	case proxy.RDPCookie:
		b.args.Name = strings.ToLower(cmp.Or(b.args.Name, "mstshash"))
	}
	b.persistRDP = strings.ToLower(src.PersistRDP)
	if b.draws = b.args.Draws; b.draws == 0 {
		b.draws = 2
	}
	if b.hash.Method == proxy.MapBased {
		b.hashFactor = 0
	}
}

// byServer is a server's part of the configuration, nil when it has none.
func (b *backConf) byServer(s *server) *serverConf {
	for _, sc := range b.servers {
		if sc.rt == s {
			return sc
		}
	}
	return nil
}

// dynamic: weights count at once when they change, also in the small steps of a slow start.
func (b *backConf) dynamic() bool {
	switch b.algorithm {
	case proxy.RoundRobin, proxy.LeastConn, proxy.LeastTime, proxy.Random:
		return true
	}
	return b.algorithm.Hashes() && b.hash.Method != proxy.MapBased
}

// takesTurns: which server it is does not matter, so that another one can be asked at once.
func (b *backConf) takesTurns() bool {
	return b.algorithm == proxy.RoundRobin || b.algorithm == proxy.StaticRR || b.algorithm == proxy.Random
}

// waitsForOne: a request that was given to a full server waits for that one alone.
func (b *backConf) waitsForOne(sc *serverConf) bool {
	return b.algorithm.Hashes() || b.rt.ordered.Load() && sc.rt.mayQueue()
}

// serverIDs are the servers' numbers: those that are written, and for the others the next free one from their place on.
func serverIDs(servers []proxy.Server) []int {
	taken := map[int]bool{}
	for i := range servers {
		taken[servers[i].ID] = true
	}
	ids := make([]int, len(servers))
	next := 1
	for i := range servers {
		if ids[i] = servers[i].ID; ids[i] == 0 {
			for taken[next] {
				next++
			}
			ids[i] = next
		}
		next++
	}
	return ids
}

// defaultFullConn is a tenth of the connections that the frontends of a backend may have.
func defaultFullConn(c *proxy.Config, backend string, most int64) int {
	sum := 0
	for i := range c.Frontends {
		f := &c.Frontends[i]
		leads := f.DefaultBackend == backend
		for _, u := range f.UseBackend {
			leads = leads || u.Backend == backend
		}
		if leads {
			sum += cmp.Or(f.MaxConn, int(most))
		}
	}
	return (sum + 9) / 10
}

// configure takes over what the configuration says of a server. A weight that was changed at run time stays until the
// configuration says another one. Engine.mu is held.
func (s *server) configure(c *proxy.Server) {
	s.limit.Store(int64(max(c.MaxConn, c.MinConn)))
	s.least.Store(int64(c.MinConn))
	s.queues.Store(int64(c.MaxQueue))
	s.maint.Store(c.Disabled)
	if !s.configured || s.written != c.Weight {
		s.weight, s.written, s.configured = c.Weight, c.Weight, true
	}
}
