package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/tally"
	"github.com/reeve-lb/reeve/vrrp"
)

// The generators below make Documents as readers make them, with everything in them that a Document can hold.

var (
	genName  = rapid.StringMatching(`[a-z][a-zA-Z0-9_.:-]{0,8}`)
	genHost  = rapid.StringMatching(`[a-z][a-z0-9]{0,5}(\.[a-z]{1,4})?`)
	genWord  = rapid.StringMatching(`[ -~äß\t]{0,11}[!-~ä]`) // ends in no blank, is never empty
	genText  = rapid.SampledFrom([]string{"x", "a b", `q"u`, `it's`, `b\s`, "#1", "$HOME", "${x}", "%{y}", "a\nb", "ä", `'"\`, "\r\n"})
	genIface = rapid.StringMatching(`[a-z]{1,4}[0-9]{0,3}`)
)

func str(t *rapid.T, label string) string {
	if rapid.Bool().Draw(t, label+" odd") {
		return genText.Draw(t, label)
	}
	return genWord.Draw(t, label)
}

func maybe[T any](t *rapid.T, label string, f func() T) T {
	var zero T
	if rapid.Bool().Draw(t, label+"?") {
		return f()
	}
	return zero
}

func num(t *rapid.T, label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }

func millis(t *rapid.T, label string) time.Duration {
	return time.Duration(num(t, label, 0, 1<<31-1)) * time.Millisecond
}

func seconds(t *rapid.T, label string, lo, hi int) time.Duration {
	return time.Duration(num(t, label, lo, hi)) * time.Second
}

func list[T any](t *rapid.T, label string, most int, f func(i int) T) []T {
	var out []T
	for i := range num(t, label+" count", 0, most) {
		out = append(out, f(i))
	}
	return out
}

func addr4(t *rapid.T, label string) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(num(t, label+" a", 1, 223)), byte(num(t, label+" b", 0, 255)), 0, byte(num(t, label+" d", 1, 254))})
}

var genDocument = rapid.Custom(func(t *rapid.T) Document {
	d := emptyDocument()
	d.Proxy.Global = genGlobal(t)
	d.Proxy.Caches = list(t, "caches", 2, func(i int) proxy.Cache { return genCache(t, i) })
	d.Proxy.Backends = list(t, "backends", 3, func(i int) proxy.Backend { return genBackend(t, i, &d) })
	d.Proxy.Frontends = list(t, "frontends", 3, func(i int) proxy.Frontend { return genFrontend(t, i, &d) })
	d.Proxy.UserLists = list(t, "userlists", 2, func(i int) proxy.UserList {
		l := proxy.UserList{Name: fmt.Sprintf("u%d", i), Groups: []string{"g", "h"}}
		l.Users = list(t, "users", 3, func(k int) proxy.User {
			u := proxy.User{Name: fmt.Sprintf("user%d%s", k, genText.Draw(t, "user")), Password: "$5$rounds=1000$x$Rjaif9beRLjUO9uyAcgSfYZ3yM.sm88lY6P8a7E1PP/"}
			if u.Insecure = rapid.Bool().Draw(t, "insecure"); u.Insecure {
				u.Password = str(t, "password")
			}
			u.Groups = rapid.SampledFrom([][]string{nil, {"g"}, {"g", "h"}}).Draw(t, "groups")
			return u
		})
		return l
	})
	d.VRRP.Global = genVRRPGlobal(t)
	genVRRP(t, &d.VRRP)
	for i := range num(t, "nodes", 0, 2) {
		d.Nodes[fmt.Sprintf("lb%d", i)] = genOverride(t, &d)
	}
	return d
})

func genGlobal(t *rapid.T) proxy.Global {
	return proxy.Global{
		MaxConn:     num(t, "maxconn", 0, 1<<31-1),
		MaxConnRate: num(t, "conn rate", 0, 1<<22-1),
		MaxSessRate: num(t, "session rate", 0, 1<<22-1),
		NbThread:    num(t, "nbthread", 0, 256),
		H2: proxy.H2{HeaderTableSize: num(t, "h2 table", 0, 65535), InitialWindowSize: num(t, "h2 window", 0, 1<<31-1),
			MaxConcurrentStreams: num(t, "h2 streams", 0, 1<<31-1), MaxFrameSize: num(t, "h2 frame", 0, 1<<24-1)},
		Compression: proxy.Tune{Level: num(t, "level", 0, 9), Rate: num(t, "comp rate", 0, 1<<31-1), CPU: num(t, "comp cpu", 0, 100),
			Memory: num(t, "comp memory", 0, 1<<20)},
		Log:          list(t, "log", 2, func(int) proxy.LogTarget { return genLog(t) }),
		SpreadChecks: num(t, "spread", 0, 50),
		HardStop:     millis(t, "hard stop"),
		BufSize:      maybe(t, "buffer", func() int { return num(t, "buffer", 1024, 65536) }),
		MaxRewrite:   maybe(t, "rewrite", func() int { return num(t, "rewrite", 1, 32768) }),
		MaxHdr:       maybe(t, "headers", func() int { return num(t, "headers", 1, 32767) }),
		CABase:       maybe(t, "ca-base", func() string { return str(t, "ca-base") }),
		CrtBase:      maybe(t, "crt-base", func() string { return str(t, "crt-base") }),
		Daemon:       rapid.Bool().Draw(t, "daemon"),
		User:         maybe(t, "user", func() string { return str(t, "user") }),
		StatsSocket:  maybe(t, "socket", func() string { return str(t, "socket") }),
	}
}

func genLog(t *rapid.T) proxy.LogTarget {
	l := proxy.LogTarget{
		Address:  rapid.SampledFrom([]string{"/dev/log", "stdout", "127.0.0.1:514", "[::1]:5140", "log.example:514", "/a b"}).Draw(t, "address"),
		Len:      rapid.SampledFrom([]int{1024, 80, 65535}).Draw(t, "len"),
		Format:   rapid.SampledFrom(logFormats).Draw(t, "format"),
		Facility: rapid.SampledFrom(facilities).Draw(t, "facility"),
	}
	if l.MaxLevel = rapid.SampledFrom(append([]string{""}, levels...)).Draw(t, "max"); l.MaxLevel != "" {
		l.MinLevel = rapid.SampledFrom(append([]string{""}, levels...)).Draw(t, "min")
	}
	return l
}

func genCommon(t *rapid.T, front bool, global []proxy.LogTarget) proxy.Common {
	c := proxy.Common{Mode: proxy.HTTP}
	c.ConnMode = rapid.SampledFrom([]proxy.ConnMode{proxy.KeepAlive, proxy.ServerClose, proxy.Close}).Draw(t, "conn")
	c.Log = list(t, "log", 2, func(int) proxy.LogTarget { return genLog(t) })
	if rapid.Bool().Draw(t, "log global") {
		c.Log = global
	}
	c.Timeouts = proxy.Timeouts{HTTPRequest: millis(t, "request"), HTTPKeepAlive: millis(t, "keep"), Tarpit: millis(t, "tarpit")}
	if front {
		c.Timeouts.Client, c.Timeouts.ClientFin = millis(t, "client"), millis(t, "fin")
		c.LogFormat = rapid.SampledFrom([]proxy.LogFormat{proxy.LogBasic, proxy.LogTCP, proxy.LogHTTP}).Draw(t, "format")
		c.DontLogNull = rapid.Bool().Draw(t, "null")
	} else {
		c.Timeouts.Connect, c.Timeouts.Server, c.Timeouts.Queue = millis(t, "connect"), millis(t, "server"), millis(t, "queue")
		c.Timeouts.Check, c.Timeouts.Tunnel, c.Timeouts.ServerFin = millis(t, "check"), millis(t, "tunnel"), millis(t, "sfin")
	}
	c.BufferRequest = rapid.Bool().Draw(t, "buffer")
	for i, code := range list(t, "errorfiles", 3, func(i int) int { return []int{400, 503, 504}[i] }) {
		f := proxy.ErrorFile{Code: code, File: str(t, "errorfile")}
		if i > 0 { // files are written before locations
			f = proxy.ErrorFile{Code: code, Location: "https://x/" + genName.Draw(t, "errorloc"), Status: 301 + i}
		}
		c.ErrorFiles = append(c.ErrorFiles, f)
	}
	c.Compression = maybe(t, "compression", func() *proxy.Compression { return genCompression(t) })
	c.NoLinger = rapid.Bool().Draw(t, "nolinger")
	c.ClientKeepAlive, c.ServerKeepAlive = front && rapid.Bool().Draw(t, "clitcpka"), !front && rapid.Bool().Draw(t, "srvtcpka")
	c.ForwardFor = maybe(t, "forwardfor", func() *proxy.ForwardFor {
		f := &proxy.ForwardFor{Header: rapid.SampledFrom([]string{"X-Forwarded-For", "X-Client"}).Draw(t, "header"), IfNone: rapid.Bool().Draw(t, "none")}
		f.Except = maybe(t, "except", func() netip.Prefix { return netip.PrefixFrom(addr4(t, "except"), num(t, "bits", 0, 32)).Masked() })
		return f
	})
	c.Stats = maybe(t, "stats", func() *proxy.Stats {
		return &proxy.Stats{URI: "/" + genName.Draw(t, "uri"), Realm: str(t, "realm"), Refresh: seconds(t, "refresh", 0, 3600),
			Auth: list(t, "auth", 2, func(int) proxy.UserPassword {
				return proxy.UserPassword{User: genHost.Draw(t, "user"), Password: str(t, "password")}
			})}
	})
	return c
}

func genFrontend(t *rapid.T, i int, d *Document) proxy.Frontend {
	f := proxy.Frontend{Name: fmt.Sprintf("f%d%s", i, genName.Draw(t, "name")), Common: genCommon(t, true, d.Proxy.Global.Log)}
	f.Binds = list(t, "binds", 2, func(j int) proxy.Bind {
		if rapid.IntRange(0, 3).Draw(t, "unix") == 0 {
			return proxy.Bind{Unix: rapid.SampledFrom([]string{"/run/", "@"}).Draw(t, "kind") + fmt.Sprintf("%d-%d", i, j),
				Mode: maybe(t, "mode", func() string { return "660" }), User: maybe(t, "user", func() string { return str(t, "owner") }),
				Group: maybe(t, "group", func() string { return str(t, "group") })}
		}
		ip := rapid.SampledFrom([]string{"0.0.0.0", "::", "10.0.0.1", "2001:db8::1"}).Draw(t, "ip")
		return proxy.Bind{V4V6: rapid.Bool().Draw(t, "v4v6"), V6Only: rapid.Bool().Draw(t, "v6only"), Transparent: rapid.Bool().Draw(t, "transparent"),
			Interface: maybe(t, "interface", func() string { return genIface.Draw(t, "interface") }), Backlog: num(t, "backlog", 0, 1000),
			Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(1000+100*i+j)),
			Name: maybe(t, "name", func() string { return str(t, "bind name") }), MaxConn: num(t, "bind maxconn", 0, 1000), AcceptProxy: rapid.Bool().Draw(t, "accept proxy"),
			TLS:   maybe(t, "ssl", func() *proxy.BindTLS { return genBindTLS(t) }),
			Proto: rapid.SampledFrom([]proxy.Proto{0, proxy.H1, proxy.H2Proto}).Draw(t, "proto")}
	})
	f.NoH2Upgrade = rapid.Bool().Draw(t, "no h2")
	f.MaxConn, f.SessionRate = num(t, "maxconn", 0, 1000), num(t, "sessions", 0, 1000)
	f.StickTable = maybe(t, "front table", func() *proxy.StickTable { return genStickTable(t) })
	f.Captures = list(t, "captures", 3, func(i int) proxy.Capture {
		c := proxy.Capture{Of: proxy.CaptureOf(num(t, "capture", int(proxy.CaptureRequest), int(proxy.DeclareResponse))), Len: num(t, "capture len", 1, proxy.MaxCapture)}
		if c.Of == proxy.CaptureCookie && i > 0 {
			c.Of = proxy.CaptureRequest
		}
		if c.Of <= proxy.CaptureCookie {
			c.Name = genName.Draw(t, "captured")
		}
		return c
	})
	f.Rules = genRules(t)
	f.Monitor = proxy.Monitor{URI: maybe(t, "monitor", func() string { return str(t, "monitor") })}
	f.Monitor.Fail = list(t, "fail", 2, func(int) proxy.Rule { return proxy.Rule{Words: genCond(t, "fail", f.ACLs)} })
	if len(d.Proxy.Backends) == 0 {
		return f
	}
	pick := func(label string) string { return rapid.SampledFrom(d.Proxy.Backends).Draw(t, label).Name }
	f.DefaultBackend = maybe(t, "default", func() string { return pick("default") })
	f.UseBackend = list(t, "rules", 2, func(int) proxy.UseBackend {
		u := proxy.UseBackend{Backend: pick("rule"), Cond: maybe(t, "cond", func() []proxy.Word { return genCond(t, "cond", f.ACLs) })}
		return u
	})
	return f
}

// genCond is a condition over these ACLs.
func genCond(t *rapid.T, label string, acls []proxy.ACL) []proxy.Word {
	names := []string{"TRUE", "METH_GET", "!LOCALHOST"}
	for _, a := range acls {
		names = append(names, a.Name, "!"+a.Name)
	}
	texts := []string{rapid.SampledFrom([]string{"if", "unless"}).Draw(t, label+" if")}
	for i := range num(t, label+" terms", 1, 3) {
		if i > 0 && rapid.Bool().Draw(t, label+" or") {
			texts = append(texts, "||")
		}
		if rapid.Bool().Draw(t, label+" inline") {
			texts = append(texts, "{", "src", "10.0.0.0/8", "}")
		} else {
			texts = append(texts, rapid.SampledFrom(names).Draw(t, label+" acl"))
		}
	}
	return proxy.Line(source.Pos{}, texts...)
}

// genRuleList are rules that begin with one of these, perhaps under a condition; a _ in them is any text.
func genRuleList(t *rapid.T, label string, acls []proxy.ACL, begins ...string) []proxy.Rule {
	return list(t, label, 2, func(int) proxy.Rule {
		ws := proxy.Words(rapid.SampledFrom(begins).Draw(t, label))
		for i := range ws {
			if ws[i].Text == "_" {
				ws[i].Text = strings.ReplaceAll(str(t, label+" text"), "%", "%%")
			}
		}
		if rapid.Bool().Draw(t, label+" cond") {
			ws = append(ws, genCond(t, label, acls)...)
		}
		return proxy.Rule{Words: ws}
	})
}

func genRules(t *rapid.T) proxy.Rules {
	acls := list(t, "acls", 3, func(j int) proxy.ACL {
		begin := rapid.SampledFrom([]string{"path_beg -i --", "hdr(host) -m end --", "url_param(id),lower --", "var(txn.x) -m str --"}).Draw(t, "test")
		a := proxy.ACL{Name: fmt.Sprintf("a%d", j), Test: proxy.Words(begin)}
		for range num(t, "values", 1, 3) {
			a.Test = append(a.Test, proxy.Word{Text: str(t, "value")})
		}
		return a
	})
	return proxy.Rules{ACLs: acls,
		TCPRequest:  genRuleList(t, "tcp-request", acls, "content accept", "content reject", "session set-var(sess.s) src", "connection silent-drop"),
		TCPResponse: genRuleList(t, "tcp-response", acls, "content accept", "content reject"),
		HTTPRequest: genRuleList(t, "http-request", acls, "deny deny_status 429", "set-header X-A _", "return status 200 content-type text/plain string _",
			"set-path /a%[path]", "replace-header X-B (.*) _", "redirect prefix _ code 301", "tarpit"),
		HTTPResponse:      genRuleList(t, "http-response", acls, "del-header Server", "set-status 404 reason x", "add-header X-C _"),
		HTTPAfterResponse: genRuleList(t, "http-after-response", acls, "set-header X-D _"),
		Redirect:          genRuleList(t, "redirect", acls, "scheme https", "location _ code 303 drop-query"),
	}
}

func genStickTable(t *rapid.T) *proxy.StickTable {
	s := &proxy.StickTable{Type: rapid.SampledFrom(tally.Types).Draw(t, "type"), Size: num(t, "size", 1, 1<<31-1), Expire: millis(t, "expire"),
		NoPurge: rapid.Bool().Draw(t, "nopurge")}
	if s.Type == "string" || s.Type == "binary" {
		s.Len = num(t, "len", 0, 1024)
	}
	s.Store = list(t, "store", 3, func(int) string {
		return rapid.SampledFrom([]string{"gpc0", "conn_cur", "http_req_rate(10s)", "bytes_out_rate(1m)", "gpt0"}).Draw(t, "stored")
	})
	return s
}

func genBackend(t *rapid.T, i int, d *Document) proxy.Backend {
	b := proxy.Backend{Name: fmt.Sprintf("b%d%s", i, genName.Draw(t, "name")), Common: genCommon(t, false, d.Proxy.Global.Log)}
	b.Rules = genRules(t)
	genBalance(t, &b)
	b.Retries, b.Redispatch = num(t, "retries", 0, 10), num(t, "redispatch", -3, 3)
	b.HTTPReuse = rapid.SampledFrom([]proxy.Reuse{proxy.ReuseSafe, proxy.ReuseNever, proxy.ReuseAggressive, proxy.ReuseAlways}).Draw(t, "reuse")
	b.RetryOn = maybe(t, "retry-on", func() []string { return retryCauses[num(t, "cause", 1, 6):num(t, "last", 7, 12)] })
	b.AbortOnClose, b.PretendKeepAlive = rapid.Bool().Draw(t, "abort"), rapid.Bool().Draw(t, "pretend")
	b.Cookie = maybe(t, "cookie", func() *proxy.Cookie {
		return genCookie(t)
	})
	b.Source = genSource(t, false)
	b.ProxyResponses = maybe(t, "responses", func() *int { return new(num(t, "responses", 0, 10)) })
	b.StickTable = maybe(t, "table", func() *proxy.StickTable { return genStickTable(t) })
	if b.StickTable != nil && b.StickTable.Type == "ip" {
		b.Stick = list(t, "stick", 2, func(int) proxy.StickRule {
			return proxy.StickRule{On: "src", Table: maybe(t, "own", func() string { return b.Name })}
		})
	}
	http := maybe(t, "http", func() *httpCheck {
		return &httpCheck{method: "GET", uri: "/" + genName.Draw(t, "uri"), version: "HTTP/1.1", host: maybe(t, "host", func() string { return genHost.Draw(t, "host") })}
	})
	state := backendState{http: http}
	b.Servers = list(t, "servers", 3, func(j int) proxy.Server {
		s := proxy.Server{Name: fmt.Sprintf("s%d%s", j, genText.Draw(t, "name")), Address: fmt.Sprintf("10.0.0.%d:%d", j, num(t, "port", 1, 65535)),
			Weight: num(t, "weight", 0, 256), Cookie: maybe(t, "value", func() string { return str(t, "value") }),
			MaxConn: num(t, "maxconn", 0, 1000), Backup: rapid.Bool().Draw(t, "backup"), TLS: maybe(t, "ssl", func() *proxy.ServerTLS { return genServerTLS(t) }),
			SendProxy: num(t, "send proxy", 0, 2), Source: genSource(t, true),
			PoolMaxConn: maybe(t, "pool", func() *int { return new(num(t, "pool", -1, 1000)) }), MaxReuse: maybe(t, "reuse", func() *int { return new(num(t, "reuse", -1, 1000)) }),
			PoolPurgeDelay: maybe(t, "purge", func() *time.Duration { return new(millis(t, "purge")) })}
		protos := []proxy.Proto{0, proxy.H1, proxy.H2Proto}
		s.WS = rapid.SampledFrom(protos).Draw(t, "ws")
		if s.TLS != nil && s.TLS.ALPN == "http/1.1" {
			protos = protos[:2]
		} else if s.TLS != nil && s.TLS.ALPN != "" {
			protos = []proxy.Proto{0, proxy.H2Proto}
		}
		s.Proto = rapid.SampledFrom(protos).Draw(t, "server proto")
		genServer(t, &s, j)
		state.servers = append(state.servers, serverState{Server: s, Check: genCheck(t), checked: rapid.Bool().Draw(t, "check"), checkTLS: optBool(t, "check-ssl"),
			checkProxy: rapid.Bool().Draw(t, "check proxy")})
		return s
	})
	if len(b.Servers) > 0 {
		b.UseServer = list(t, "use-server", 2, func(int) proxy.UseServer {
			return proxy.UseServer{Server: rapid.SampledFrom(b.Servers).Draw(t, "use").Name,
				Cond: maybe(t, "use cond", func() []proxy.Word { return genCond(t, "use", b.ACLs) })}
		})
	}
	state.checks(&b, d.Proxy.Global.SpreadChecks, d.Checks)
	genFollowers(t, &b)
	return b
}

func genSource(t *rapid.T, ranges bool) *proxy.SourceAddress {
	return maybe(t, "source", func() *proxy.SourceAddress {
		s := &proxy.SourceAddress{Addr: rapid.SampledFrom([]netip.Addr{netip.IPv4Unspecified(), addr4(t, "source"), netip.IPv6Unspecified()}).Draw(t, "source"),
			UseSrc:    rapid.SampledFrom([]proxy.UseSrc{proxy.UseSrcNone, proxy.UseSrcClient, proxy.UseSrcClientIP, proxy.UseSrcAddr}).Draw(t, "usesrc"),
			Interface: maybe(t, "interface", func() string { return genIface.Draw(t, "interface") })}
		if rapid.Bool().Draw(t, "ports") {
			s.First = uint16(num(t, "first", 1, 65535))
			if s.Last = s.First; ranges {
				s.Last = uint16(num(t, "last", int(s.First), 65535))
			}
		}
		if s.UseSrc == proxy.UseSrcAddr {
			s.As = netip.AddrPortFrom(addr4(t, "as"), uint16(num(t, "port", 0, 65535)))
		}
		return s
	})
}

func genCheck(t *rapid.T) check.Config {
	c := defaultCheck()
	c.Inter, c.FastInter, c.DownInter = millis(t, "inter")+time.Millisecond, millis(t, "fast"), millis(t, "down")
	c.Inter = min(c.Inter, maxTime)
	c.Rise, c.Fall, c.Port = num(t, "rise", 1, 100), num(t, "fall", 1, 100), num(t, "port", 0, 65535)
	c.Address = maybe(t, "addr", func() string { return addr4(t, "check").String() })
	return c
}

func genOverride(t *rapid.T, d *Document) Override {
	o := Override{MailFrom: maybe(t, "from", func() *string { return new(str(t, "from")) }), RouterID: maybe(t, "router", func() *string { return new(maybe(t, "id", func() string { return str(t, "id") })) })}
	for i, f := range d.Proxy.Frontends {
		if o.Frontends == nil {
			o.Frontends = map[string]FrontendOverride{}
		}
		o.Frontends[f.Name] = FrontendOverride{Binds: []proxy.Bind{{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.9.9.9"), uint16(2000+i))}}}
	}
	for i := range d.VRRP.Instances {
		in := &d.VRRP.Instances[i]
		io := InstanceOverride{
			State:      maybe(t, "state", func() *string { return new(rapid.SampledFrom([]string{"", "MASTER"}).Draw(t, "s")) }),
			Priority:   maybe(t, "priority", func() *int { return new(num(t, "p", 1, 255)) }),
			Interface:  maybe(t, "interface", func() *string { return new(genIface.Draw(t, "i")) }),
			McastSrcIP: maybe(t, "src", func() *netip.Addr { return new(maybe(t, "none", func() netip.Addr { return addr4(t, "m") })) }),
			Notify:     genArgv(t, "notify"),
		}
		if rapid.Bool().Draw(t, "devs") {
			io.Devs = devs(in)
		}
		if rapid.Bool().Draw(t, "peers") {
			io.UnicastPeers = append([]vrrp.Peer{}, list(t, "p", 2, func(int) vrrp.Peer { return genPeer(t, in.IPv6()) })...)
		}
		io.NoPreempt = optBool(t, "nopreempt")
		io.PreemptDelay = maybe(t, "preempt", func() *time.Duration { return new(seconds(t, "delay", 0, 1000)) })
		io.NotifyDeleted = genArgv(t, "deleted")
		if rapid.Bool().Draw(t, "track") {
			io.TrackInterfaces = append([]vrrp.TrackInterface{}, list(t, "t", 2, func(int) vrrp.TrackInterface { return genTrackInterface(t) })...)
		}
		if o.Instances == nil {
			o.Instances = map[string]InstanceOverride{}
		}
		o.Instances[in.Name] = io
	}
	return o
}
