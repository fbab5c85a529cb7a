package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
)

// Samples of what the data plane knows of its proxies and servers: loads, rates, queues, health.

// owner is whose figure it is.
type owner uint8

const (
	ofFrontend owner = iota
	ofBackend
	ofServer
)

var owners = [...]string{"frontend", "backend", "server"}

var figures = map[string]struct {
	of  owner
	out Type
}{
	"fe_conn": {ofFrontend, Int}, "fe_sess_rate": {ofFrontend, Int}, "fe_req_rate": {ofFrontend, Int},
	"be_conn": {ofBackend, Int}, "be_conn_free": {ofBackend, Int}, "be_sess_rate": {ofBackend, Int}, "connslots": {ofBackend, Int},
	"nbsrv": {ofBackend, Int}, "queue": {ofBackend, Int}, "avg_queue": {ofBackend, Int},
	"srv_conn": {ofServer, Int}, "srv_conn_free": {ofServer, Int}, "srv_queue": {ofServer, Int}, "srv_sess_rate": {ofServer, Int},
	"srv_is_up": {ofServer, Bool},
}

func init() {
	for name, d := range figures {
		def := &fetchDef{out: d.out, volatile: true, most: 1, make: figure(name, d.of)}
		if d.of == ofServer {
			def.least = 1
		}
		fetches[name] = def
	}
}

// figure makes a fetch of such a number. The argument is the name of a proxy, by default the own one, or [BACKEND/]SERVER.
func figure(name string, of owner) func(*program, *expr, []string) error {
	return func(p *program, e *expr, args []string) error {
		arg := p.proxy
		if e.costly, e.own = true, true; len(args) == 1 && args[0] != "" {
			arg, e.own = args[0], false
		}
		if of == ofServer && !strings.Contains(arg, "/") {
			arg, e.own = p.proxy+"/"+arg, true
		}
		if p.o.Figure == nil {
			e.fetch = func(*Ctx, *Value) truth { return no }
			return nil
		}
		f, err := p.o.Figure(name, arg)
		if err != nil {
			return err
		}
		out := e.out
		e.fetch = func(c *Ctx, v *Value) truth {
			v.Type, v.Int = out, f(c.Now)
			return yes
		}
		return nil
	}
}

// CheckFigure tells what is wrong with the name behind a figure's fetch: a frontend, a backend or BACKEND/SERVER that c
// has not.
func CheckFigure(c *proxy.Config, fetch, name string) error {
	var known []string
	of := figures[fetch].of
	switch of {
	case ofFrontend:
		for i := range c.Frontends {
			known = append(known, c.Frontends[i].Name)
		}
	case ofBackend:
		for i := range c.Backends {
			known = append(known, c.Backends[i].Name)
		}
	default:
		for i := range c.Backends {
			for k := range c.Backends[i].Servers {
				known = append(known, c.Backends[i].Name+"/"+c.Backends[i].Servers[k].Name)
			}
		}
	}
	if slices.Contains(known, name) {
		return nil
	}
	return &unknownError{message: fmt.Sprintf("there is no %s '%s'", owners[of], short(name)), hint: meant(name, known)}
}

// Figures is an Options.Figure for who only looks whether c has what its rules ask for.
func Figures(c *proxy.Config) func(fetch, name string) (func(now int64) int64, error) {
	return func(fetch, name string) (func(int64) int64, error) {
		return func(int64) int64 { return 0 }, CheckFigure(c, fetch, name)
	}
}
