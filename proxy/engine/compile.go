package engine

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/balance"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// The compiled configuration: immutable once stored, so that a request can hold on to it.

type frontConf struct {
	rt       *frontend
	src      *proxy.Frontend
	http     bool
	rules    []rule
	fallback *backConf // default_backend; nil: 503
	sink     *accesslog.Sink
	format   proxy.LogFormat
	maxConn  int64
	stats    *proxy.Stats
	mode     proxy.ConnMode
	forward  *forwardFor
	times    times
	deferred bool // TCP_DEFER_ACCEPT
	buffer   bool // option http-buffer-request
	pages    errorSet
	socket   socketOptions
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
	name        string // as logs tell it: its own name, or its number in the frontend
	number      uint16 // of the address in its frontend, from 1
	deferred    bool
	acceptProxy bool
	tls         *tlsconf.Bind // nil: clear
}

// times are nanoseconds, 0 for no limit; the fallbacks between them are resolved.
type times struct {
	connect, client, server, request, keepAlive, queue, tunnel, clientFin, serverFin int64
}

type rule struct {
	when func(*http1.Head, []byte) bool // nil: always
	to   *backConf
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
	cookie     *proxy.Cookie
	retries    int
	redispatch int
	times      times
	forward    *forwardFor
	mode       proxy.ConnMode
	stats      *proxy.Stats
	stick      []*backend // whose tables `stick on src` looks into
	reuse      proxy.Reuse
	retry      retryOn
	abort      bool // option abortonclose
	pretend    bool // option http-pretend-keepalive
	buffer     bool // option http-buffer-request
	pages      errorSet
	socket     socketOptions
}

type serverConf struct {
	rt        *server
	index     int
	addr      sockaddr
	ap        netip.AddrPort
	tls       *tlsconf.Server // nil: clear
	text      string          // address as told in statistics
	resolved  bool
	weight    int
	backup    bool
	cookie    string
	setCookie []byte // the whole Set-Cookie line
	checked   bool
	sendProxy int  // version of the PROXY header that begins a connection; 0: none
	follow    bool // addr's port is that of the client, and offset
	offset    int
	source    sourceConf
	poolMax   int64 // idle connections kept, negative: any number
	purge     int64 // ns
	maxReuse  int
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
		queue: ns(t.Queue), tunnel: ns(t.Tunnel), clientFin: ns(t.ClientFin), serverFin: ns(t.ServerFin)}
	if c.request == 0 {
		c.request = c.client
	}
	if c.keepAlive == 0 {
		c.keepAlive = c.request
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

// compileACLs makes one test per name: its lines are alternatives.
func compileACLs(acls []proxy.ACL) map[string]func(*http1.Head, []byte) bool {
	tests := map[string]func(*http1.Head, []byte) bool{}
	for _, a := range acls {
		t := pathBegins(a)
		if before := tests[a.Name]; before != nil {
			t = either(before, t)
		}
		tests[a.Name] = t
	}
	return tests
}

func either(a, b func(*http1.Head, []byte) bool) func(*http1.Head, []byte) bool {
	return func(h *http1.Head, in []byte) bool { return a(h, in) || b(h, in) }
}

// pathBegins is path_beg: the path is the target from its slash to the query.
func pathBegins(a proxy.ACL) func(*http1.Head, []byte) bool {
	values := make([]string, len(a.Values))
	for i, v := range a.Values {
		values[i] = v
		if a.Fold {
			b := []byte(v)
			for j, c := range b {
				if c >= 'A' && c <= 'Z' {
					b[j] = c + 'a' - 'A'
				}
			}
			values[i] = string(b)
		}
	}
	fold := a.Fold
	return func(h *http1.Head, in []byte) bool {
		path := pathOnly(h.Path.Of(in))
		for _, v := range values {
			if len(path) < len(v) {
				continue
			}
			if fold && http1.EqualFold(path[:len(v)], v) || !fold && string(path[:len(v)]) == v {
				return true
			}
		}
		return false
	}
}

func pathOnly(p []byte) []byte {
	for i, c := range p {
		if c == '?' {
			return p[:i]
		}
	}
	return p
}

// compileCond makes a closure of an OR of ANDs; names are known to exist.
func compileCond(c *proxy.Condition, tests map[string]func(*http1.Head, []byte) bool) func(*http1.Head, []byte) bool {
	if c == nil {
		return nil
	}
	type term struct {
		test func(*http1.Head, []byte) bool
		not  bool
	}
	var any [][]term
	for _, and := range c.Any {
		var ts []term
		for _, t := range and {
			ts = append(ts, term{tests[t.ACL], t.Not})
		}
		any = append(any, ts)
	}
	unless := c.Unless
	return func(h *http1.Head, in []byte) bool {
		for _, and := range any {
			all := true
			for _, t := range and {
				if t.test(h, in) == t.not {
					all = false
					break
				}
			}
			if all {
				return !unless
			}
		}
		return unless
	}
}

// balancers gives balance its view of the servers.
func (b *backConf) balancers() []balance.Server {
	var bs []balance.Server
	for _, s := range b.servers {
		bs = append(bs, balance.Server{ID: s.index, Weight: s.weight, Backup: s.backup})
	}
	return bs
}
