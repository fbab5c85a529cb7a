package engine

import (
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/proxy/rule"
)

// Numbers that rules ask for: loads, rates, queues, health. Any loop may ask at any time, so that they are made of what is
// atomic. HAProxy's names, and its numbers for what has no bound.

// unbounded is how many more may come where nothing limits them.
const unbounded = -1

// figure finds one (rule.Options.Figure). Its fetches are asked at the wall's time; rates are kept by the engine's.
func (e *Engine) figure(fetch, name string) (func(now int64) int64, error) {
	if err := rule.CheckFigure(&e.cfg, fetch, name); err != nil {
		return nil, err
	}
	switch kind, _, _ := strings.Cut(fetch, "_"); kind {
	case "fe":
		return e.frontFigure(fetch, e.places[name])
	case "srv":
		back, server, _ := strings.Cut(name, "/")
		return e.serverFigure(fetch, e.backs[back], server)
	}
	return e.backFigure(fetch, e.backs[name])
}

func noFigure(fetch string) error { return fmt.Errorf("'%s' is nothing that is counted", fetch) }

func (e *Engine) frontFigure(fetch string, slot *frontSlot) (func(int64) int64, error) {
	of := map[string]func(rt *frontend, now int64) int64{
		"fe_conn":      func(rt *frontend, _ int64) int64 { return rt.conn.cur.Load() },
		"fe_sess_rate": func(rt *frontend, now int64) int64 { return sessionRate(rt.per, now-e.wall) },
		"fe_req_rate": func(rt *frontend, now int64) int64 {
			n := int64(0)
			for _, c := range rt.per {
				n += int64(c.reqRate.read(now - e.wall))
			}
			return n
		},
	}[fetch]
	if of == nil {
		return nil, noFigure(fetch)
	}
	return func(now int64) int64 {
		if rt := slot.Load(); rt != nil {
			return of(rt, now)
		}
		return 0
	}, nil
}

func sessionRate(per []*counters, now int64) (n int64) {
	for _, c := range per {
		n += int64(c.rate.read(now))
	}
	return n
}

func (e *Engine) backFigure(fetch string, b *backend) (func(int64) int64, error) {
	switch fetch {
	case "be_conn":
		return func(int64) int64 { return b.conn.cur.Load() }, nil
	case "be_sess_rate":
		return func(now int64) int64 { return sessionRate(b.per, now-e.wall) }, nil
	case "queue":
		return func(int64) int64 { return b.queue.size.Load() }, nil
	case "nbsrv":
		return func(int64) int64 { return b.usableServers() }, nil
	case "avg_queue":
		return func(int64) int64 { return b.waitingEach() }, nil
	case "connslots":
		return func(int64) int64 { return b.slots() }, nil
	case "be_conn_free":
		return func(int64) int64 { return b.free() }, nil
	}
	return nil, noFigure(fetch)
}

// usableServers is how many servers a request could go to.
func (b *backend) usableServers() int64 {
	conf := b.conf.Load()
	if conf == nil {
		return 0
	}
	c := conf.chooser.Load()
	switch {
	case c.active > 0:
		return int64(c.active)
	case c.backups > 0 && !conf.allBackups:
		return 1
	}
	return int64(c.backups)
}

// waitingEach is how many wait for each of them, and twice those that wait where there is none.
func (b *backend) waitingEach() int64 {
	waiting, servers := b.queue.size.Load(), b.usableServers()
	if servers == 0 {
		return 2 * waiting
	}
	return (waiting + servers - 1) / servers
}

// slots is how many connections and places in queues are left, unbounded where one server has no maxconn or no maxqueue.
func (b *backend) slots() (n int64) {
	conf := b.conf.Load()
	if conf == nil {
		return 0
	}
	for _, sc := range conf.servers {
		if !sc.rt.available() {
			continue
		}
		limit, places := sc.rt.limit.Load(), sc.rt.queues.Load()
		if limit == 0 || places == 0 {
			return unbounded
		}
		n += limit - sc.rt.conn.cur.Load() + places - sc.rt.waiting.cur.Load()
	}
	return n
}

// free is how many connections are left of the servers that are in use.
func (b *backend) free() (n int64) {
	conf := b.conf.Load()
	if conf == nil {
		return 0
	}
	for _, sc := range conf.chooser.Load().pool {
		left := sc.rt.left()
		if left == unbounded {
			return unbounded
		}
		n += left
	}
	return n
}

// left is how many connections more a server may have.
func (s *server) left() int64 {
	limit := s.cap()
	if limit == 0 {
		return unbounded
	}
	return max(limit-s.conn.cur.Load(), 0)
}

func (e *Engine) serverFigure(fetch string, b *backend, name string) (func(int64) int64, error) {
	of := map[string]func(sc *serverConf, now int64) int64{
		"srv_conn":      func(sc *serverConf, _ int64) int64 { return sc.rt.conn.cur.Load() },
		"srv_conn_free": func(sc *serverConf, _ int64) int64 { return sc.rt.left() },
		"srv_queue":     func(sc *serverConf, _ int64) int64 { return sc.rt.waiting.cur.Load() },
		"srv_sess_rate": func(sc *serverConf, now int64) int64 { return sessionRate(sc.rt.per, now-e.wall) },
		"srv_is_up": func(sc *serverConf, _ int64) int64 {
			if sc.usable() {
				return 1
			}
			return 0
		},
	}[fetch]
	if of == nil {
		return nil, noFigure(fetch)
	}
	return func(now int64) int64 {
		if conf := b.conf.Load(); conf != nil {
			for _, sc := range conf.servers {
				if sc.rt.name == name {
					return of(sc, now)
				}
			}
		}
		return 0
	}, nil
}
