package config

import (
	"slices"
	"strconv"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// proxyState is a proxy while its section is read; a side that the section has not is nil.
type proxyState struct {
	name  string // "": a defaults section
	front *proxy.Frontend
	back  *proxy.Backend
	more  *backendState
}

func newProxyState(kind, name string, pos source.Pos) proxyState {
	p := proxyState{name: name}
	if kind != "backend" {
		p.front = &proxy.Frontend{Name: name, Pos: pos}
		p.front.Mode = proxy.TCP
	}
	if kind != "frontend" {
		p.back = &proxy.Backend{Name: name, Balance: proxy.RoundRobin, Retries: 3, Pos: pos}
		p.back.Mode = proxy.TCP
		p.more = &backendState{}
	}
	if kind == "listen" {
		p.front.DefaultBackend = name
	}
	return p
}

// commons are the settings that a word goes to: those of the sides where it may stand.
func (p proxyState) commons(def *words.Word) []*proxy.Common {
	var out []*proxy.Common
	if p.front != nil && slices.Contains(def.In, "frontend") {
		out = append(out, &p.front.Common)
	}
	if p.back != nil && slices.Contains(def.In, "backend") {
		out = append(out, &p.back.Common)
	}
	return out
}

func (d *decoder) global(n tree.Node) {
	g := &d.doc.Proxy.Global
	if g.Pos.IsZero() {
		g.Pos = n.Pos
	}
	for _, k := range n.Kids {
		d.noEffect(k)
		switch k.Def.Name {
		case "log":
			if k.No {
				g.Log = nil
			} else if t, ok := d.logTarget(k); ok && t.Address != "global" {
				g.Log = append(g.Log, t)
			}
		case "stats socket":
			g.StatsSocket = k.Args[0].Text
		case "uid", "gid":
			if v, ok := d.value(k); ok {
				id := strconv.FormatInt(v.(int64), 10)
				if k.Def.Name == "uid" {
					g.User = id
				} else {
					g.Group = id
				}
			}
		default:
			if !d.globalTLS(k) {
				d.scalar(k, g)
			}
		}
	}
}

// setDefaults reads a defaults section for its mistakes and keeps its lines for the proxies that follow.
func (d *decoder) setDefaults(n tree.Node) {
	p := newProxyState("listen", "", n.Pos)
	for _, k := range n.Kids {
		if onlyNamed[k.Def.Name] && len(n.Args) == 0 {
			d.errorf(k.Pos, "write defaults NAME", "'%s' is not allowed in a defaults section without a name", k.Def.Name)
		}
	}
	d.lines(p, n.Kids)
	d.defaults[d.dialect] = n.Kids
}

func (d *decoder) proxy(n tree.Node) {
	name := ""
	if len(n.Args) > 0 {
		name = n.Args[0].Text
	}
	p := newProxyState(n.Def.Name, name, n.Pos)
	d.quiet = true
	var inherited []tree.Node
	for _, k := range d.defaults[d.dialect] {
		if slices.Contains(k.Def.In, n.Def.Name) {
			inherited = append(inherited, k)
		}
	}
	d.lines(p, inherited)
	d.quiet = false
	d.lines(p, n.Kids)
	if p.front != nil {
		d.tcpFallback(p.front)
		d.doc.Proxy.Frontends = append(d.doc.Proxy.Frontends, *p.front)
	}
	if p.back != nil {
		d.doc.Proxy.Backends = append(d.doc.Proxy.Backends, *p.back)
		d.backends = append(d.backends, p.more)
	}
}

// tcpFallback: a frontend that does not read HTTP can't log it.
func (d *decoder) tcpFallback(f *proxy.Frontend) {
	if f.Mode != proxy.HTTP && f.LogFormat == proxy.LogHTTP {
		d.warnf(f.Pos, "", "frontend '%s' is in %s mode: 'option httplog' falls back to 'option tcplog'", f.Name, f.Mode)
		f.LogFormat = proxy.LogTCP
	}
}

func (d *decoder) lines(p proxyState, kids []tree.Node) {
	for _, k := range kids {
		d.noEffect(k)
		d.line(p, k)
	}
}

func (d *decoder) line(p proxyState, k tree.Node) {
	switch k.Def.Name {
	case "bind":
		d.bind(p.front, k)
	case "default_backend", "maxconn", "rate-limit sessions":
		if d.scalar(k, p.front) {
			d.places[brokenKey("frontend", p.front.Name, k.Def.Name)] = k.Args[0].Pos
		}
	case "option disable-h2-upgrade":
		d.scalar(k, p.front)
	case "proxy_responses", "http-reuse", "option abortonclose", "option http-pretend-keepalive":
		d.scalar(k, p.back)
	case "retry-on":
		d.retryOn(p.back, k)
	case "balance":
		d.balance(p.back, k)
	case "hash-type":
		d.hashType(p.back, k)
	case "persist":
		d.persist(p.back, k)
	case "retries", "hash-balance-factor", "fullconn", "option allbackups", "option persist", "option prefer-last-server":
		if d.scalar(k, p.back); k.Def.Name == "hash-balance-factor" && p.back.HashFactor > 0 && p.back.HashFactor <= 100 {
			d.errorf(k.Args[0].Pos, "0, or percent over 100", "%s is no value for 'hash-balance-factor'", tree.Quote(k.Args[0].Text))
		}
	case "default-server":
		d.defaultServer(p, k)
	case "cookie":
		d.cookie(p.back, k)
	case "server":
		d.server(p, k)
	case "source":
		if p.back.Source = d.source(k.Pos, k.Args[0], k.Kids); p.back.Source != nil && p.back.Source.First != p.back.Source.Last {
			d.errorf(k.Args[0].Pos, "write it on the servers' lines", "a range of ports is not permitted here")
		}
	case "stick-table":
		d.stickTable(p, k)
	case "stick on":
		d.stickOn(p.back, k)
	case "option httpchk":
		p.more.http = nil
		if !k.No {
			p.more.http = d.httpchk(k)
		}
	case "option redispatch":
		d.redispatch(p.back, k)
	default:
		if !d.ruleLine(p, k) {
			d.commonLine(p, k)
		}
	}
}

// commonLine reads what both sides of a proxy may have.
func (d *decoder) commonLine(p proxyState, k tree.Node) {
	commons := p.commons(k.Def)
	switch k.Def.Name {
	case "log":
		t, ok := proxy.LogTarget{}, true
		if !k.No {
			t, ok = d.logTarget(k)
		}
		for _, c := range commons {
			if k.No {
				c.Log = nil
			} else if ok {
				c.Log = append(slices.Clip(c.Log), t)
			}
		}
	case "option tcpka":
		if d.value(k); p.front != nil {
			p.front.ClientKeepAlive = !k.No
		}
		if p.back != nil {
			p.back.ServerKeepAlive = !k.No
		}
	case "option forwardfor":
		f := d.forwardFor(k)
		for _, c := range commons {
			c.ForwardFor = f
		}
	case "stats enable", "stats uri", "stats refresh", "stats realm", "stats auth":
		d.stats(commons, k)
	case "compression algo", "compression type", "compression offload", "compression direction":
		d.compression(commons, k)
	case "filter":
		d.filter(k)
	case "errorfile", "errorloc", "errorloc302", "errorloc303":
		d.errorFile(commons, k)
	default:
		targets := make([]any, len(commons))
		for i, c := range commons {
			targets[i] = c
		}
		if !d.scalar(k, targets...) {
			for _, kind := range []string{"frontend", "backend"} {
				d.broken[brokenKey(kind, p.name, k.Def.Name)] = true
			}
		}
	}
}

// stats reads one line of the counters' page; any of them turns it on.
func (d *decoder) stats(commons []*proxy.Common, k tree.Node) {
	var user proxy.UserPassword
	if k.Def.Name == "stats auth" {
		var ok bool
		if user, ok = d.userPassword(k); !ok {
			return
		}
	}
	for _, c := range commons {
		s := proxy.Stats{URI: "/haproxy?stats", Realm: "HAProxy Statistics", Pos: k.Pos}
		if c.Stats != nil {
			s = *c.Stats
		}
		c.Stats = &s
		if user.User != "" {
			s.Auth = append(slices.Clip(s.Auth), user)
		}
	}
	switch k.Def.Name {
	case "stats uri", "stats refresh", "stats realm":
		targets := make([]any, len(commons))
		for i, c := range commons {
			targets[i] = c
		}
		d.scalar(k, targets...)
	}
}
