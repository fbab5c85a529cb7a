package config

import (
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// Validate checks what no single line shows: names that refer to each other, numbers used twice, modes that do not fit.
// Load has done it already for what it returns; a Document that came by another way needs it.
func Validate(d Document) source.Problems {
	v := &validator{doc: d}
	v.run()
	v.ps.Sort()
	return v.ps
}

// validator looks at a whole Document. What the reader found broken is not said to be missing.
type validator struct {
	doc     Document
	broken  map[string]bool
	places  map[string]source.Pos // of settings that have no Pos of their own
	filters []tree.Word           // caches that `filter` lines name
	ps      source.Problems
	secured source.Pos // the bind line whose TLS was looked at last
}

func (v *validator) run() {
	v.caches()
	for i := range v.doc.Proxy.Frontends {
		v.frontend(&v.doc.Proxy.Frontends[i])
	}
	for i := range v.doc.Proxy.Backends {
		v.backend(&v.doc.Proxy.Backends[i])
	}
	v.rules()
	v.proxyNames()
	v.tableNames()
	v.binds()
	v.timeouts()
	v.vrrp()
}

func (v *validator) isBroken(kind, name, word string) bool {
	return v.broken[brokenKey(kind, name, word)]
}

// place is where a setting stands, or the thing it belongs to.
func (v *validator) place(kind, name, word string, otherwise source.Pos) source.Pos {
	if p, ok := v.places[brokenKey(kind, name, word)]; ok {
		return p
	}
	return otherwise
}

func meant(name string, candidates []string) string {
	if c := words.Nearest(name, candidates); c != "" {
		return "did you mean '" + c + "'?"
	}
	return ""
}

func (v *validator) findBackend(name string) *proxy.Backend {
	for i := range v.doc.Proxy.Backends {
		if v.doc.Proxy.Backends[i].Name == name {
			return &v.doc.Proxy.Backends[i]
		}
	}
	return nil
}

func (v *validator) backendNames() []string {
	var out []string
	for _, b := range v.doc.Proxy.Backends {
		out = append(out, b.Name)
	}
	return out
}

func (v *validator) frontend(f *proxy.Frontend) {
	if len(f.Binds) == 0 && !v.isBroken("frontend", f.Name, "bind") {
		v.ps.Warnf(f.Pos, "write bind *:80", "frontend '%s' listens nowhere", f.Name)
	}
	if f.DefaultBackend != "" {
		at := v.place("frontend", f.Name, "default_backend", f.Pos)
		v.target(f, f.DefaultBackend, at)
	}
	for _, b := range f.Binds {
		v.bindTLS(b.TLS)
		v.bindQUIC(f, b)
	}
	if f.Mode == proxy.UDP {
		v.udpFrontend(f)
	}
	v.common("frontend", f.Name, &f.Common, f.Pos)
}

// target checks that a frontend's backend is there and speaks what the frontend speaks.
func (v *validator) target(f *proxy.Frontend, name string, at source.Pos) {
	b := v.findBackend(name)
	switch {
	case b == nil:
		v.ps.Errorf(at, meant(name, v.backendNames()), "there is no backend '%s'", name)
	case f.Mode == proxy.HTTP && b.Mode == proxy.TCP:
		v.ps.Errorf(at, "write mode http in both", "frontend '%s' is in http mode and backend '%s' in tcp mode", f.Name, name)
	case f.Mode != b.Mode && (f.Mode == proxy.UDP || b.Mode == proxy.UDP):
		v.ps.Errorf(at, "write mode udp in both", "frontend '%s' is in %s mode and backend '%s' in %s mode", f.Name, f.Mode, name, b.Mode)
	case f.Mode == proxy.TCP && b.Mode == proxy.HTTP:
		v.ps.Errorf(at, "write mode http in both", "frontend '%s' is in tcp mode and backend '%s' in http mode, which is not supported yet",
			f.Name, name)
	}
}

func (v *validator) common(kind, name string, c *proxy.Common, at source.Pos) {
	v.compression(kind, name, c)
	if c.Mode == proxy.HTTP {
		return
	}
	v.httpOnly(kind, name, c)
	if c.Stats != nil {
		v.ps.Warnf(c.Stats.Pos, "write mode http", "%s '%s' is in %s mode: its statistics page is not served", kind, name, c.Mode)
	}
	if c.ForwardFor != nil {
		v.ps.Warnf(at, "write mode http", "%s '%s' is in %s mode: 'option forwardfor' has no effect", kind, name, c.Mode)
	}
}

func (v *validator) backend(b *proxy.Backend) {
	seen := map[string]source.Pos{}
	cookies := 0
	for _, s := range b.Servers {
		if first, ok := seen[s.Name]; ok {
			v.ps.Errorf(s.Pos, "", "server '%s' of backend '%s' was already defined at %s", s.Name, b.Name, first)
		} else {
			seen[s.Name] = s.Pos
		}
		if s.Cookie != "" {
			cookies++
		}
		v.serverTLS(b, s)
		if c := v.doc.Checks[s.Check]; s.Check != "" && !fixedPort(s.Address) && c.Port == 0 {
			v.ps.Errorf(s.Pos, "write port N", "server '%s' of backend '%s' has the client's port: its check has none", s.Name, b.Name)
		}
		if v.doc.Checks[s.Check].Kind == check.UDP && b.Mode != proxy.UDP {
			v.ps.Errorf(s.Pos, "mode udp", "server '%s' of backend '%s', which is in %s mode, is checked by UDP", s.Name, b.Name, b.Mode)
		}
		if s.Check != "" {
			if _, ok := v.doc.Checks[s.Check]; !ok && v.doc.Checks != nil {
				v.ps.Errorf(s.Pos, "", "there is no check '%s'", s.Check)
			}
		}
	}
	switch {
	case b.Cookie != nil && b.Mode != proxy.HTTP:
		v.ps.Warnf(b.Cookie.Pos, "write mode http", "backend '%s' is in %s mode: its cookie has no effect", b.Name, b.Mode)
	case b.Cookie != nil && cookies == 0 && len(b.Servers) > 0:
		v.ps.Warnf(b.Cookie.Pos, "write cookie VALUE on the servers' lines", "no server of backend '%s' has a value for the cookie '%s'", b.Name, b.Cookie.Name)
	}
	for _, r := range b.Stick {
		v.stick(b, r)
	}
	v.balance(b)
	v.udpBackend(b)
	v.common("backend", b.Name, &b.Common, b.Pos)
}

func (v *validator) stick(b *proxy.Backend, r proxy.StickRule) {
	owner := b
	if r.Table != "" {
		if owner = v.findBackend(r.Table); owner == nil {
			v.ps.Errorf(r.Pos, meant(r.Table, v.backendNames()), "there is no backend '%s' whose table could be used", r.Table)
			return
		}
	}
	switch t := owner.StickTable; {
	case t == nil && !v.isBroken("backend", owner.Name, "stick-table"):
		v.ps.Errorf(r.Pos, "write stick-table type ip size 1m expire 30m", "backend '%s' has no stick-table", owner.Name)
	case t != nil && t.Type != "ip":
		v.ps.Errorf(r.Pos, "write stick-table type ip", "'stick on %s' can't use the stick-table of backend '%s', whose keys are of type %s", r.On, owner.Name, t.Type)
	}
}

// tableNames: rules find a table by the name of its proxy.
func (v *validator) tableNames() {
	for i := range v.doc.Proxy.Frontends {
		f := &v.doc.Proxy.Frontends[i]
		if b := v.findBackend(f.Name); b != nil && b.StickTable != nil && f.StickTable != nil {
			v.ps.Errorf(f.StickTable.Pos, "", "frontend '%s' and the backend of that name both have a stick-table", f.Name)
		}
	}
}

// proxyNames: no two of a kind have one name.
func (v *validator) proxyNames() {
	fronts, backs := map[string]source.Pos{}, map[string]source.Pos{}
	var said []source.Pos // a listen is both
	check := func(kind, name string, at source.Pos, seen map[string]source.Pos) {
		first, ok := seen[name]
		if !ok {
			seen[name] = at
			return
		}
		if !slices.Contains(said, at) || at.IsZero() {
			v.ps.Errorf(at, "", "%s '%s' was already defined at %s", kind, name, first)
			said = append(said, at)
		}
	}
	for _, f := range v.doc.Proxy.Frontends {
		check("frontend", f.Name, f.Pos, fronts)
	}
	for _, b := range v.doc.Proxy.Backends {
		check("backend", b.Name, b.Pos, backs)
	}
}

// binds: an address is listened on once. A wildcard beside one address of the same port is fine: the kernel prefers the
// latter.
func (v *validator) binds() {
	v.bindsOf(v.doc)
	told := len(v.ps)
	for node := range v.doc.Nodes {
		if len(v.doc.Nodes[node].Frontends) > 0 && len(v.ps) == told { // else the same would be said once more
			v.bindsOf(v.doc.For(node))
		}
	}
}

func (v *validator) bindsOf(doc Document) {
	seen := map[string]source.Pos{}
	for _, f := range doc.Proxy.Frontends {
		for _, b := range f.Binds {
			place := b.Addr.String() + b.Unix + " " + b.Interface
			if f.Mode == proxy.UDP || b.QUIC {
				place += " udp"
			}
			if first, ok := seen[place]; ok {
				v.ps.Errorf(b.Pos, "", "%s is listened on already at %s", b.Place(), first)
				continue
			}
			seen[place] = b.Pos
		}
	}
}

// timeouts: one that is missing never ends. One warning a proxy names them all.
func (v *validator) timeouts() {
	type missing struct {
		kind, name string
		at         source.Pos
		words      []string
	}
	var all []missing
	add := func(kind, name string, at source.Pos, words ...string) {
		if len(words) == 0 {
			return
		}
		for i := range all {
			if all[i].name == name && all[i].at == at && !at.IsZero() {
				all[i].kind, all[i].words = "listen", append(all[i].words, words...)
				return
			}
		}
		all = append(all, missing{kind, name, at, words})
	}
	broken := func(kind, name, word string) bool {
		return v.isBroken(kind, name, "timeout "+word) || v.isBroken(kind, "", "timeout "+word) // "": in defaults
	}
	for _, f := range v.doc.Proxy.Frontends {
		if f.Timeouts.Client == 0 && !broken("frontend", f.Name, "client") {
			add("frontend", f.Name, f.Pos, "client")
		}
	}
	for _, b := range v.doc.Proxy.Backends {
		var ws []string
		if b.Timeouts.Connect == 0 && !broken("backend", b.Name, "connect") {
			ws = append(ws, "connect")
		}
		if b.Timeouts.Server == 0 && !broken("backend", b.Name, "server") {
			ws = append(ws, "server")
		}
		add("backend", b.Name, b.Pos, ws...)
	}
	for _, m := range all {
		v.ps.Warnf(m.at, "write timeout "+m.words[0]+" 30s", "%s '%s' has no timeout: %s", m.kind, m.name, strings.Join(m.words, ", "))
	}
}
