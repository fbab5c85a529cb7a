package engine

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// The rules of a configuration, compiled when it is applied.

// frontRules are a frontend's.
type frontRules struct {
	set     *rule.Set
	use     []useBackend
	names   map[string]*backConf // what a name made of samples may be
	monitor string               // monitor-uri
}

type useBackend struct {
	when *rule.Cond
	name *rule.Name
	to   *backConf // of a name that is plain text
}

// backRules are a backend's.
type backRules struct {
	set *rule.Set
	use []useServer
}

type useServer struct {
	when *rule.Cond
	name *rule.Name
	to   *serverConf
}

// ruleSets are the rules of all proxies by name. use_backend and use-server find their targets when these are made.
type ruleSets struct {
	fronts map[string]frontRules
	backs  map[string]backRules
}

// maxRuleFile bounds the files that rules name, in bytes.
const maxRuleFile = 256 << 20

func readRuleFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("'%s' is no file", name)
	case info.Size() > maxRuleFile:
		return nil, fmt.Errorf("'%s' is longer than %d bytes", name, maxRuleFile)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read '%s': %w", name, rootCause(err))
	}
	return b, nil
}

// rootCause is an error without the path that the message names already.
func rootCause(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

// checkRules tells what would keep this node from running the rules: files that are not there, above all.
func checkRules(c proxy.Config, ps *source.Problems) {
	compileRules(c, rule.New(rule.Options{File: readRuleFile, Env: os.LookupEnv, Maps: &rule.Maps{}}), ps)
}

// compileRules compiles the rules of all proxies.
func compileRules(c proxy.Config, p *rule.Program, ps *source.Problems) ruleSets {
	sets := ruleSets{map[string]frontRules{}, map[string]backRules{}}
	for i := range c.Frontends {
		f := &c.Frontends[i]
		r := frontRules{set: p.Proxy(rule.Side{Name: f.Name, Mode: f.Mode, Monitor: f.Monitor.Fail}, &f.Rules), monitor: f.Monitor.URI}
		for _, u := range f.UseBackend {
			if when, name, ok := conditioned(p, u.Backend, u.Cond, u.Pos); ok {
				r.use = append(r.use, useBackend{when: when, name: name})
			}
		}
		sets.fronts[f.Name] = r
	}
	for i := range c.Backends {
		b := &c.Backends[i]
		r := backRules{set: p.Proxy(rule.Side{Name: b.Name, Mode: b.Mode}, &b.Rules)}
		for _, u := range b.UseServer {
			if when, name, ok := conditioned(p, u.Server, u.Cond, u.Pos); ok {
				r.use = append(r.use, useServer{when: when, name: name})
			}
		}
		sets.backs[b.Name] = r
	}
	*ps = append(*ps, p.Problems()...)
	return sets
}

// conditioned compiles a name with its condition. A rule whose condition is wrong is left out: it would always hold.
func conditioned(p *rule.Program, name string, cond []proxy.Word, at source.Pos) (*rule.Cond, *rule.Name, bool) {
	when := p.Cond(cond)
	n := p.Name(proxy.Word{Text: name, Pos: at})
	return when, n, n != nil && (when != nil || len(cond) == 0)
}

// front are a frontend's rules with the backends that they lead to.
func (r ruleSets) front(name string, backs map[string]*backConf) frontRules {
	f := r.fronts[name]
	f.names = backs
	use := f.use[:0:0]
	for _, u := range f.use {
		if s, static := u.name.Static(); static {
			if u.to = backs[s]; u.to == nil {
				continue
			}
		}
		use = append(use, u)
	}
	f.use = use
	return f
}

// back are a backend's rules with the servers that they lead to.
func (r ruleSets) back(name string, servers []*serverConf) backRules {
	b := r.backs[name]
	for i := range b.use {
		s, _ := b.use[i].name.Static()
		for _, sc := range servers {
			if sc.rt.name == s {
				b.use[i].to = sc
			}
		}
	}
	return b
}

// frontSlot is where the figures of a frontend are found, whichever runtime it has.
type frontSlot = atomic.Pointer[frontend]

// options are what the rules of this engine's configurations are compiled with; mu is held.
func (e *Engine) ruleOptions() rule.Options {
	return rule.Options{File: readRuleFile, Figure: e.figure, Env: os.LookupEnv, Maps: &e.maps, Names: &e.names}
}

// figure finds a number that rules ask for.
func (e *Engine) figure(fetch, name string) (func() int64, error) {
	switch fetch {
	case "fe_conn":
		slot := e.places[name]
		if slot == nil {
			return nil, fmt.Errorf("there is no frontend '%s'", name)
		}
		return func() int64 {
			if rt := slot.Load(); rt != nil {
				return rt.conn.cur.Load()
			}
			return 0
		}, nil
	case "be_sess_rate", "fe_sess_rate":
		return nil, fmt.Errorf("is not supported yet")
	case "srv_is_up":
		return e.serverUp(name)
	}
	b := e.backs[name]
	if b == nil {
		return nil, fmt.Errorf("there is no backend '%s'", name)
	}
	switch fetch {
	case "nbsrv":
		return b.usableServers, nil
	case "be_conn":
		return b.conn.cur.Load, nil
	case "connslots":
		return b.slots, nil
	}
	return nil, fmt.Errorf("is not supported yet")
}

func (e *Engine) serverUp(name string) (func() int64, error) {
	back, server, ok := strings.Cut(name, "/")
	b := e.backs[back]
	if !ok || b == nil {
		return nil, fmt.Errorf("there is no server '%s': BACKEND/SERVER", name)
	}
	return func() int64 {
		if conf := b.conf.Load(); conf != nil {
			for _, sc := range conf.servers {
				if sc.rt.name == server && sc.usable() {
					return 1
				}
			}
		}
		return 0
	}, nil
}

// usableServers is how many servers a request could go to (nbsrv).
func (b *backend) usableServers() int64 {
	conf := b.conf.Load()
	if conf == nil {
		return 0
	}
	c := conf.chooser.Load()
	if c.active > 0 {
		return int64(c.active)
	}
	return int64(c.backups)
}

// slots is how many connections and queue places are left (connslots). A server without a maxconn takes any number.
func (b *backend) slots() int64 {
	conf := b.conf.Load()
	n := int64(0)
	for _, sc := range conf.servers {
		if !sc.usable() {
			continue
		}
		limit := sc.rt.limit.Load()
		if limit == 0 {
			return 1<<31 - 1
		}
		n += limit - sc.rt.conn.cur.Load()
	}
	return max(n, 0)
}

// Maps are the map files of the running configuration, to be looked at and changed while it runs.
func (e *Engine) Maps() *rule.Maps { return &e.maps }
