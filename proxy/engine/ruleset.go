package engine

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/cache"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// The rules of a configuration, compiled when it is applied.

// frontRules are a frontend's.
type frontRules struct {
	set     *rule.Set
	use     []useBackend
	names   map[string]*backConf // what a name made of samples may be
	monitor string               // monitor-uri
	users   rule.Userlists       // that its conditions outside of lists ask
}

type useBackend struct {
	when *rule.Cond
	name *rule.Name
	to   *backConf // of a name that is plain text
}

// backRules are a backend's.
type backRules struct {
	set   *rule.Set
	use   []useServer
	hash  *rule.Sample // of `balance hash`
	users rule.Userlists
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
	known := func(name string) (*cache.Cache, bool) {
		return nil, slices.ContainsFunc(c.Caches, func(k proxy.Cache) bool { return k.Name == name })
	}
	compileRules(c, rule.New(rule.Options{File: readRuleFile, Figure: rule.Figures(&c), Table: rule.Tables(&c), Users: c.UserLists, Env: os.LookupEnv, Cache: known, Maps: &rule.Maps{}}), ps)
}

// compileRules compiles the rules of all proxies.
func compileRules(c proxy.Config, p *rule.Program, ps *source.Problems) ruleSets {
	sets := ruleSets{map[string]frontRules{}, map[string]backRules{}}
	for i := range c.Frontends {
		f := &c.Frontends[i]
		r := frontRules{set: p.Proxy(rule.Side{Name: f.Name, Mode: f.Mode, Front: f}, &f.Rules), monitor: f.Monitor.URI}
		for _, u := range f.UseBackend {
			if when, name, ok := conditioned(p, u.Backend, u.Cond, u.Pos); ok {
				r.use = append(r.use, useBackend{when: when, name: name})
			}
		}
		r.users = p.Userlists()
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
		if b.Balance == proxy.HashOf {
			r.hash = p.Sample(b.BalanceArgs.Sample)
		}
		r.users = p.Userlists()
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
	return rule.Options{File: readRuleFile, Figure: e.figure, Table: e.tallyOf, Users: e.cfg.UserLists, Env: os.LookupEnv, Cache: e.findCache, Maps: &e.maps, Names: &e.names}
}

// Maps are the map files of the running configuration, to be looked at and changed while it runs.
func (e *Engine) Maps() *rule.Maps { return &e.maps }
