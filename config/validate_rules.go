package config

import (
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/cache"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// rules compiles the rules of all proxies for their mistakes. Files that they name are the machine's that runs them.
func (v *validator) rules() {
	known := func(name string) (*cache.Cache, bool) {
		_, ok := v.findCache(name)
		return nil, ok
	}
	p := rule.New(rule.Options{Figure: rule.Figures(&v.doc.Proxy), Table: rule.Tables(&v.doc.Proxy), Cache: known, Users: v.doc.Proxy.UserLists})
	for i := range v.doc.Proxy.Frontends {
		f := &v.doc.Proxy.Frontends[i]
		p.Proxy(rule.Side{Name: f.Name, Mode: f.Mode, Front: f}, &f.Rules)
		for _, u := range f.UseBackend {
			p.Cond(u.Cond)
			if name := p.Name(proxy.Word{Text: u.Backend, Pos: u.Pos}); name != nil {
				if s, static := name.Static(); static {
					v.target(f, s, u.Pos)
				}
			}
		}
	}
	for i := range v.doc.Proxy.Backends {
		b := &v.doc.Proxy.Backends[i]
		p.Proxy(rule.Side{Name: b.Name, Mode: b.Mode}, &b.Rules)
		for _, u := range b.UseServer {
			p.Cond(u.Cond)
			v.useServer(b, u)
		}
		if b.Balance == proxy.HashOf {
			p.Sample(b.BalanceArgs.Sample)
		}
	}
	for _, problem := range p.Problems() {
		said := func(o source.Problem) bool { return o == problem } // the ACLs of a listen are compiled twice
		if problem.Pos.IsZero() || !slices.ContainsFunc(v.ps, said) {
			v.ps = append(v.ps, problem)
		}
	}
}

func (v *validator) useServer(b *proxy.Backend, u proxy.UseServer) {
	if strings.Contains(u.Server, "%") {
		return
	}
	var known []string
	for _, s := range b.Servers {
		known = append(known, s.Name)
	}
	if !slices.Contains(known, u.Server) {
		v.ps.Errorf(u.Pos, meant(u.Server, known), "backend '%s' has no server '%s'", b.Name, u.Server)
	}
}

// httpOnly warns about rules that need HTTP where none is read.
func (v *validator) httpOnly(kind, name string, c *proxy.Common) {
	for word, rules := range map[string][]proxy.Rule{"http-request": c.HTTPRequest, "http-response": c.HTTPResponse,
		"http-after-response": c.HTTPAfterResponse, "redirect": c.Redirect} {
		if len(rules) > 0 {
			v.ps.Warnf(rules[0].Pos, "write mode http", "%s '%s' is in tcp mode: '%s' has no effect", kind, name, word)
		}
	}
}
