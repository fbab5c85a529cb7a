package config

import (
	"net/netip"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/proxy"
)

func bindLines(binds []proxy.Bind) []string {
	var out []string
	for _, x := range binds {
		ws := []string{bindAddress(x)}
		if x.Name != "" {
			ws = append(ws, "name", x.Name)
		}
		for _, f := range []struct {
			word string
			on   bool
		}{{"accept-proxy", x.AcceptProxy}, {"v4v6", x.V4V6}, {"v6only", x.V6Only}, {"transparent", x.Transparent},
			{"quic-force-retry", x.ForceRetry}} {
			if f.on {
				ws = append(ws, f.word)
			}
		}
		for _, v := range []struct{ word, value string }{{"interface", x.Interface}, {"mode", x.Mode}, {"user", x.User}, {"group", x.Group}} {
			if v.value != "" {
				ws = append(ws, v.word, v.value)
			}
		}
		if x.Backlog > 0 {
			ws = append(ws, "backlog", itoa(x.Backlog))
		}
		if x.MaxConn > 0 {
			ws = append(ws, "maxconn", itoa(x.MaxConn))
		}
		ws = append(ws, bindTLSWords(x.TLS)...)
		if x.Proto != 0 {
			ws = append(ws, "proto", [...]string{proxy.H1: "h1", proxy.H2Proto: "h2"}[x.Proto])
		}
		out = append(out, haproxycfg.Join(ws...))
	}
	return out
}

func (w writer) frontend(f *proxy.Frontend, g proxy.Global) {
	b := w.top("frontend", f.Name)
	var rules []string
	for _, u := range f.UseBackend {
		rules = append(rules, haproxycfg.Join(append([]string{u.Backend}, ruleTexts(u.Cond)...)...))
	}
	b.list("bind", bindLines(f.Binds))
	b.stickTable(f.StickTable)
	options := b.scalars("frontend", f)
	b.rules(&f.Rules)
	b.list("use_backend", rules)
	b.captures(f.Captures)
	b.list("monitor fail", listLines(f.Monitor.Fail))
	b.common(&f.Common, options, g)
}

func bindAddress(b proxy.Bind) string {
	return strings.Replace(b.Place(), "0.0.0.0:", "*:", 1)
}

// sourceWords spells where connections come from: the address, whose it is, and the interface.
func sourceWords(s *proxy.SourceAddress) (address, usesrc string) {
	address = s.Addr.String()
	if s.First != 0 {
		address = netip.AddrPortFrom(s.Addr, s.First).String()
		if s.Last != s.First {
			address += "-" + itoa(int(s.Last))
		}
	}
	switch s.UseSrc {
	case proxy.UseSrcClient:
		usesrc = "client"
	case proxy.UseSrcClientIP:
		usesrc = "clientip"
	case proxy.UseSrcAddr:
		if usesrc = s.As.Addr().String(); s.As.Port() != 0 {
			usesrc = s.As.String()
		}
	}
	return address, usesrc
}

// source writes it into the block of a server, or one of its own; name is what the address is called there.
func (w writer) source(s *proxy.SourceAddress, name string) {
	address, usesrc := sourceWords(s)
	w.text(name, address)
	if usesrc != "" {
		w.text("usesrc", usesrc)
	}
	if s.Interface != "" {
		w.text("interface", s.Interface)
	}
}

// common writes what has a grammar of its own and stands in frontends and backends alike.
func (w writer) common(c *proxy.Common, options []string, g proxy.Global) {
	if f := c.ForwardFor; f != nil {
		ws := []string{"forwardfor"}
		if f.Except.IsValid() {
			ws = append(ws, "except", f.Except.String())
		}
		if f.Header != "X-Forwarded-For" {
			ws = append(ws, "header", f.Header)
		}
		if f.IfNone {
			ws = append(ws, "if-none")
		}
		options = append(options, haproxycfg.Join(ws...))
	}
	w.list("option", options)
	w.list("log", logLines(c.Log, g.Log))
	w.errorFiles(c.ErrorFiles)
	if c.Compression != nil {
		w.list("compression algo", c.Compression.Algos)
		w.list("compression type", c.Compression.Types)
	}
	if c.Stats == nil {
		return
	}
	s := w.group("stats")
	s.set("enable", cty.True)
	var users []string
	for _, u := range c.Stats.Auth {
		users = append(users, haproxycfg.Join(u.User+":"+u.Password))
	}
	s.list("auth", users)
}

// rules writes the lists that proxy/rule compiles.
func (w writer) rules(rs *proxy.Rules) {
	var acls []string
	for _, a := range rs.ACLs {
		acls = append(acls, haproxycfg.Join(append([]string{a.Name}, ruleTexts(a.Test)...)...))
	}
	w.list("acl", acls)
	w.list("tcp-request", listLines(rs.TCPRequest))
	w.list("http-request", listLines(rs.HTTPRequest))
	w.list("redirect", listLines(rs.Redirect))
	w.list("tcp-response", listLines(rs.TCPResponse))
	w.list("http-response", listLines(rs.HTTPResponse))
	w.list("http-after-response", listLines(rs.HTTPAfterResponse))
}

func (w writer) backend(be *proxy.Backend, d Document) {
	b := w.top("backend", be.Name)
	if s := balanceText(be); s != "" {
		b.text("balance", s)
	}
	if s := hashTypeText(be.HashType); s != "" {
		b.text("hash-type", s)
	}
	switch be.PersistRDP {
	case "":
	case defaultRDP:
		b.text("persist", "rdp-cookie")
	default:
		b.text("persist", "rdp-cookie("+be.PersistRDP+")")
	}
	options := b.scalars("backend", be)
	switch be.Redispatch {
	case 0:
	case -1:
		options = append(options, "redispatch")
	default:
		options = append(options, haproxycfg.Join("redispatch", itoa(be.Redispatch)))
	}
	for _, s := range be.Servers {
		if c, ok := d.Checks[s.Check]; ok && c.Kind == check.HTTP {
			version := c.Version
			if c.Host != "" {
				version += "\r\nHost: " + c.Host
			}
			options = append(options, haproxycfg.Join("httpchk", c.Method, c.URI, version))
			break
		}
	}
	b.rules(&be.Rules)
	var servers []string
	for _, u := range be.UseServer {
		servers = append(servers, haproxycfg.Join(append([]string{u.Server}, ruleTexts(u.Cond)...)...))
	}
	b.list("use-server", servers)
	b.common(&be.Common, options, d.Proxy.Global)
	if be.Source != nil {
		b.block("source").source(be.Source, "address")
	}
	b.sticking(be)
	for _, s := range be.Servers {
		b.server(s, d)
	}
}

func (w writer) stickTable(t *proxy.StickTable) {
	if t != nil {
		w.block("stick_table").scalars("stick-table", t)
	}
}

func (w writer) sticking(be *proxy.Backend) {
	if c := be.Cookie; c != nil {
		b := w.block("cookie", c.Name)
		if int(c.Mode) < len(cookieModes) {
			b.set(cookieModes[c.Mode], cty.True)
		}
		b.scalars("cookie", c)
	}
	w.stickTable(be.StickTable)
	var rules []string
	for _, r := range be.Stick {
		ws := []string{r.On}
		if r.Table != "" {
			ws = append(ws, "table", r.Table)
		}
		rules = append(rules, haproxycfg.Join(ws...))
	}
	w.list("stick_on", rules)
}

func (w writer) server(s proxy.Server, d Document) {
	b := w.block("server", s.Name)
	b.text("address", s.Address)
	state := serverState{Server: s, Check: defaultCheck()}
	if c, ok := d.Checks[s.Check]; ok {
		b.set("check", cty.True)
		state.Check = c
		if c.Kind == check.UDP {
			b.set("check-udp", cty.True)
		}
		state.checkProxy = c.SendProxy != state.sendsProxy()
		if c.TLS && !state.checksTLS() {
			b.set("check-ssl", cty.True)
		} else if !c.TLS && state.checksTLS() {
			b.set("no-check-ssl", cty.True)
		}
	}
	if s.Source != nil {
		b.source(s.Source, "source")
	}
	if s.SendProxy == 1 {
		b.set("send-proxy", cty.True)
	} else if s.SendProxy == 2 {
		b.set("send-proxy-v2", cty.True)
	}
	if state.checkProxy {
		b.set("check-send-proxy", cty.True)
	}
	if s.TLS != nil {
		b.set("ssl", cty.True)
	}
	b.scalars("server", &state)
}

func (w writer) errorFiles(files []proxy.ErrorFile) {
	lines := map[string][]string{}
	for _, f := range files {
		name, to := "errorfile", f.File
		if f.Location != "" {
			name, to = "errorloc"+itoa(f.Status), f.Location
		}
		lines[name] = append(lines[name], haproxycfg.Join(itoa(f.Code), to))
	}
	for _, name := range []string{"errorfile", "errorloc302", "errorloc303"} {
		w.list(name, lines[name])
	}
}
