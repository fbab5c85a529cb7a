package engine

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/stick"
)

const resolveTimeout = 3 * time.Second

// CanRun tells what would keep this node from running c: ports held by other programs (with their holder), addresses and
// names that don't resolve. Nothing changes.
func (e *Engine) CanRun(c proxy.Config) source.Problems {
	var ps source.Problems
	c = withoutDisabled(c)
	e.mu.Lock()
	groups := make(map[place]bool, len(e.groups))
	for a := range e.groups {
		groups[a] = true
	}
	own := e.ownInodes()
	e.mu.Unlock()
	held, err := listeners()
	if err != nil {
		e.log.Warn("cannot ask the kernel who listens", "error", err)
	}
	for _, f := range c.Frontends {
		for i := range f.Binds {
			b := &f.Binds[i]
			p := placeOf(f.Mode, b)
			if h, ok := stranger(held, own, p); ok {
				ps.Errorf(b.Pos, "", "%s: %s is held by %s", proxyText(f.Name), p, h.describe())
			} else if err := tryBind(b, p, groups[p]); err != nil {
				ps.Errorf(b.Pos, "", "%s: cannot bind %s: %v", proxyText(f.Name), p, err)
			}
		}
	}
	checkNames(c, &ps)
	checkBinds(c, &ps)
	return append(ps, e.CanRead(c)...)
}

// CanRead tells what is wrong with the files that c names, and which names of servers don't resolve. It asks for no port, so
// that a program which runs c already is not in the way.
func (e *Engine) CanRead(c proxy.Config) source.Problems {
	var ps source.Problems
	resolveAll(c, &ps)
	e.checkTLS(c, &ps)
	for _, f := range c.Frontends {
		compilePages(f.ErrorFiles, &ps)
	}
	for _, b := range c.Backends {
		compilePages(b.ErrorFiles, &ps)
	}
	checkRules(c, &ps)
	return ps
}

func proxyText(name string) string { return "frontend " + strconv.Quote(name) }

// tryBind binds without listening: nobody is let in by the attempt.
func tryBind(b *proxy.Bind, p place, ours bool) error {
	switch {
	case ours:
		return nil
	case b.Unix != "":
		return tryUnix(b)
	}
	fd, err := bound(p)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// checkNames finds references to what is not there.
func checkNames(c proxy.Config, ps *source.Problems) {
	backs := map[string]bool{}
	for _, b := range c.Backends {
		backs[b.Name] = true
	}
	for _, f := range c.Frontends {
		if f.DefaultBackend != "" && !backs[f.DefaultBackend] {
			ps.Errorf(f.Pos, "", "%s: there is no backend %q", proxyText(f.Name), f.DefaultBackend)
		}
		for _, u := range f.UseBackend {
			if !backs[u.Backend] && !strings.Contains(u.Backend, "%") {
				ps.Errorf(u.Pos, "", "%s: there is no backend %q", proxyText(f.Name), u.Backend)
			}
		}
	}
	for _, b := range c.Backends {
		for _, r := range b.Stick {
			if r.Table != "" && !backs[r.Table] {
				ps.Errorf(r.Pos, "", "backend %q: there is no table %q", b.Name, r.Table)
			}
		}
	}
}

// checkBinds finds addresses that are asked for twice: by SO_REUSEPORT the kernel would let both have it and share out
// the connections.
func checkBinds(c proxy.Config, ps *source.Problems) map[source.Pos]bool {
	type taken struct {
		place
		by  string
		pos source.Pos
	}
	var all []taken
	twice := map[source.Pos]bool{}
	for _, f := range c.Frontends {
		for _, b := range f.Binds {
			p := placeOf(f.Mode, &b)
			i := slices.IndexFunc(all, func(t taken) bool { return t.same(p) })
			if i >= 0 {
				ps.Errorf(b.Pos, "", "%s: %s is bound by %s already, at %s", proxyText(f.Name), p, proxyText(all[i].by), all[i].pos)
				twice[b.Pos] = true
				continue
			}
			all = append(all, taken{p, f.Name, b.Pos})
		}
	}
	return twice
}

// resolveAll finds the address of every server.
func resolveAll(c proxy.Config, ps *source.Problems) map[string]endpoint {
	found := map[string]endpoint{}
	for _, b := range c.Backends {
		for _, s := range b.Servers {
			if _, done := found[s.Address]; done {
				continue
			}
			a, err := resolve(s.Address)
			if err != nil {
				ps.Errorf(s.Pos, "", "server \"%s/%s\": %v", b.Name, s.Name, err)
			}
			found[s.Address] = a
		}
	}
	return found
}

// Apply makes c the running configuration in place. What has a problem is left out, the rest runs. Untouched listeners,
// connections, counters and health go on. It may be called before Run, which then serves what was opened here.
func (e *Engine) Apply(c proxy.Config) source.Problems {
	var ps source.Problems
	c = withoutDisabled(c)
	checkNames(c, &ps)
	twice := checkBinds(c, &ps)
	names := resolveAll(c, &ps)
	held, err := listeners()
	if err != nil {
		e.log.Warn("cannot ask the kernel who listens", "error", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state == ended || e.draining.Load() {
		ps.Errorf(source.Pos{}, "", "the data plane has stopped")
		return ps
	}
	if err := e.makeLoops(&c.Global); err != nil {
		ps.Errorf(c.Global.Pos, "", "%v", err)
		return ps
	}
	if n := c.Global.NbThread; n > 0 && n != len(e.loops) && e.opts.Loops == 0 {
		ps.Warnf(c.Global.Pos, "", "nbthread %d needs a start: %d event loops go on", n, len(e.loops))
	}
	if l, size := headLimits(&c.Global); l != e.limits || size != e.size {
		ps.Warnf(c.Global.Pos, "", "tune.bufsize, tune.maxrewrite and tune.http.maxhdr need a start: heads of up to %d bytes go on", e.limits.Bytes)
	}
	e.applyLimits(c)
	e.cfg, e.applied, e.pending = c, true, false
	for _, a := range names {
		e.pending = e.pending || !a.known()
	}
	e.makeBackends(c)
	e.applyTallies(c)
	e.applyCaches(c.Caches)
	sets := compileRules(c, rule.New(e.ruleOptions()), &ps)
	backs := e.applyBackends(c, names, sets, &ps)
	e.applyFrontends(c, backs, sets, twice, held, &ps)
	return ps
}

// makeBackends gives every backend its runtime, and every frontend the place where its figures are found.
func (e *Engine) makeBackends(c proxy.Config) {
	for i := range c.Backends {
		b := &c.Backends[i]
		if e.backs[b.Name] == nil {
			e.backs[b.Name] = &backend{name: b.Name, per: perLoop(len(e.loops)), changed: time.Now()}
			e.servers[e.backs[b.Name]] = map[string]*server{}
		}
		e.applyTable(e.backs[b.Name], b)
	}
	for _, f := range c.Frontends {
		if e.places[f.Name] == nil {
			e.places[f.Name] = &frontSlot{}
		}
	}
}

// applyBackends compiles every backend onto its runtime, which stays where the name stays.
func (e *Engine) applyBackends(c proxy.Config, names map[string]endpoint, sets ruleSets, ps *source.Problems) map[string]*backConf {
	confs := map[string]*backConf{}
	for i := range c.Backends {
		b := &c.Backends[i]
		rt := e.backs[b.Name]
		conf := &backConf{rt: rt, src: b, http: b.Mode == proxy.HTTP, algorithm: b.Balance, cookie: b.Cookie, cookieTail: compileCookie(b.Cookie), retries: b.Retries,
			redispatch: b.Redispatch, times: compileTimes(b.Timeouts), forward: compileForward(b.ForwardFor), mode: b.ConnMode, stats: b.Stats,
			reuse: b.HTTPReuse, retry: compileRetry(b), abort: b.AbortOnClose, pretend: b.PretendKeepAlive, buffer: b.BufferRequest,
			pages: compilePages(b.ErrorFiles, ps), compress: compileCompression(b.Compression), socket: socketOptions{b.ServerKeepAlive, b.NoLinger}, responses: expected(b)}
		conf.compileBalance(b)
		rt.ordered.Store(conf.algorithm == proxy.LeastConn || conf.algorithm == proxy.LeastTime)
		rt.fullConn.Store(int64(cmp.Or(b.FullConn, defaultFullConn(&c, b.Name, e.maxConn.Load()))))
		for _, r := range b.Stick {
			table := rt
			if r.Table != "" {
				table = e.backs[r.Table]
			}
			if table != nil && table.tables != nil {
				conf.stick = append(conf.stick, table)
			}
		}
		e.applyServers(conf, names, &c.Global, ps)
		conf.rules = sets.back(b.Name, conf.servers)
		conf.chooser.Store(newChooser(conf, len(e.loops)))
		confs[b.Name] = conf
		rt.conf.Store(conf)
		rt.queue.serve(nil)
	}
	for name, rt := range e.backs {
		if confs[name] == nil {
			e.removeServers(rt, nil)
			delete(e.backs, name)
			delete(e.servers, rt)
		}
	}
	e.link()
	return confs
}

func (e *Engine) applyTable(rt *backend, b *proxy.Backend) {
	if b.StickTable == nil || b.StickTable.Type != "ip" {
		return
	}
	size, expire := b.StickTable.Size, b.StickTable.Expire
	if rt.tables == nil {
		tables := make([]*stick.Table, len(e.loops))
		for i := range tables {
			tables[i] = stick.New(size, expire)
		}
		rt.tables = tables
		return
	}
	e.each(func(l *loop) { rt.tables[l.id].Resize(size, expire, l.now) })
}

func (e *Engine) applyServers(conf *backConf, names map[string]endpoint, global *proxy.Global, ps *source.Problems) {
	known := e.servers[conf.rt]
	keep := map[string]bool{}
	ids := serverIDs(conf.src.Servers)
	for i := range conf.src.Servers {
		s := &conf.src.Servers[i]
		rt := known[s.Name]
		if rt == nil {
			e.serials++
			rt = &server{name: s.Name, serial: e.serials, backend: conf.rt, per: perLoop(len(e.loops)), idle: make([]idleList, len(e.loops)),
				muxes: make([]*mux, len(e.loops)), h1: make([]bool, len(e.loops)), changed: time.Now()}
			rt.up.Store(true)
			known[s.Name] = rt
		}
		keep[s.Name] = true
		addr := names[s.Address]
		sc := &serverConf{rt: rt, index: i, id: ids[i], text: s.Address, resolved: addr.known(), backup: s.Backup,
			cookie: s.Cookie, checked: s.Check != "" || s.Track != "", watch: compileWatch(s),
			slow: int64((s.SlowStart + time.Second - 1) / time.Second), onError: s.OnError, track: s.Track,
			shutdownSessions: s.OnMarkedDown != "", shutdownBackups: s.OnMarkedUp != "",
			h2:        h2Settings(e.cfg.Global.H2),
			sendProxy: s.SendProxy, follow: addr.follow, offset: addr.offset, source: compileSource(s.Source, conf.src.Source)}
		if addr.known() {
			sc.addr, sc.ap = addr.sockaddr(conf.src.Mode), addr.addr
		}
		if rt.tls = e.serverTLS(rt.tls, s.TLS, global, ps); s.TLS != nil && rt.tls == nil {
			sc.resolved = false
		}
		sc.tls = rt.tls
		sc.compilePool(s)
		sc.compileProto(s)
		if rt.address != sc.addr || !sc.checked {
			rt.up.Store(true) // another machine, or nobody asks any more: what was known of it is void
		}
		was, moved := rt.available(), rt.configured && rt.address != sc.addr
		rt.address = sc.addr
		if s.Cookie != "" && conf.cookie != nil {
			sc.setCookie = []byte("Set-Cookie: " + conf.cookie.Name + "=" + s.Cookie)
		}
		rt.configure(s)
		switch {
		case was && !rt.available():
			e.retire(rt)
		case moved:
			e.each(func(l *loop) { l.purge(rt) })
		}
		conf.servers = append(conf.servers, sc)
	}
	e.removeServers(conf.rt, keep)
}

// removeServers forgets servers that are not kept; requests under way hold on to them.
func (e *Engine) removeServers(rt *backend, keep map[string]bool) {
	for name, s := range e.servers[rt] {
		if keep[name] {
			continue
		}
		s.up.Store(false)
		e.retire(s)
		delete(e.servers[rt], name)
	}
}

func (e *Engine) applyFrontends(c proxy.Config, backs map[string]*backConf, sets ruleSets, twice map[source.Pos]bool, held []holder, ps *source.Problems) {
	wanted := map[place]bool{}
	keep := map[string]bool{}
	own := e.ownInodes()
	for i := range c.Frontends {
		f := &c.Frontends[i]
		conf := e.compileFront(f, backs)
		conf.buffer, conf.pages = f.BufferRequest, compilePages(f.ErrorFiles, ps)
		conf.rules = sets.front(f.Name, backs)
		rt := e.fronts[f.Name]
		if rt == nil || rt.conf.Load().src.Mode != f.Mode {
			if rt != nil {
				e.retireFront(rt)
			}
			rt = &frontend{name: f.Name, per: perLoop(len(e.loops))}
			e.fronts[f.Name] = rt
		}
		conf.rt = rt
		e.places[f.Name].Store(rt)
		rt.conf.Store(conf)
		keep[f.Name] = true
		for n := range f.Binds {
			b := &f.Binds[n]
			p := placeOf(f.Mode, b)
			if twice[b.Pos] && wanted[p] {
				continue
			}
			if bc := e.compileBind(rt, p, b, n, &c.Global, ps); bc != nil {
				wanted[p] = true
				e.openBind(bc, p, b, held, own, ps)
			}
		}
	}
	for addr, g := range e.groups {
		if !wanted[addr] {
			e.closeGroup(g)
			delete(e.groups, addr)
		}
	}
	e.settled()
	for name, rt := range e.fronts {
		if !keep[name] {
			e.retireFront(rt)
			delete(e.fronts, name)
		}
	}
}

func (e *Engine) compileFront(f *proxy.Frontend, backs map[string]*backConf) *frontConf {
	conf := &frontConf{src: f, http: f.Mode == proxy.HTTP, fallback: backs[f.DefaultBackend], sink: e.writer.Sink(f.Log), format: f.LogFormat,
		maxConn: int64(f.MaxConn), rate: int64(f.SessionRate), stats: f.Stats, mode: f.ConnMode, forward: compileForward(f.ForwardFor), times: compileTimes(f.Timeouts),
		socket: socketOptions{f.ClientKeepAlive, f.NoLinger}, compress: compileCompression(f.Compression), tune: compileTune(e.cfg.Global.Compression, len(e.loops))}
	if !conf.http && conf.format == proxy.LogHTTP {
		conf.format = proxy.LogTCP
	}
	conf.deferred = conf.http && (conf.times.request == 0 || conf.times.request >= deferSeconds*int64(time.Second))
	conf.h2 = h2Settings(e.cfg.Global.H2)
	return conf
}

// openBind takes over a socket group on the same address or opens one.
func (e *Engine) openBind(bc *bindConf, p place, b *proxy.Bind, held []holder, own map[uint64]bool, ps *source.Problems) {
	g := e.groups[p]
	if g == nil {
		if h, ok := stranger(held, own, p); ok {
			ps.Errorf(b.Pos, "", "%s: %s is held by %s", proxyText(bc.fe.name), p, h.describe())
			return
		}
		var err error
		if g, err = listen(p, b, len(e.loops)); err != nil {
			ps.Errorf(b.Pos, "", "%s: cannot listen on %s: %v", proxyText(bc.fe.name), p, err)
			return
		}
		bc.group = g
		g.bind.Store(bc)
		e.groups[p] = g
		e.each(func(l *loop) { l.listenOn(g) })
	} else if p.unix != "" && p.unix[0] != '@' {
		if err := permit(p.unix, b); err != nil {
			ps.Errorf(b.Pos, "", "%s: %s: %v", proxyText(bc.fe.name), p, err)
		}
	}
	if p.unix == "" && !p.dgram {
		for _, fd := range g.fds {
			deferAccept(fd, bc.deferred)
		}
	}
	bc.group = g
	g.bind.Store(bc)
	if p.quic && g.quic == nil && e.state == running {
		e.serveQUIC(g)
	}
}

func (e *Engine) closeGroup(g *group) {
	g.remove()
	if e.state == fresh {
		g.close()
		return
	}
	if g.place.quic {
		e.retireQUIC(g)
		return
	}
	e.each(func(l *loop) {
		if a := l.accepts[g.fds[l.id]]; a != nil && a.group == g {
			l.unlisten(a)
		}
	})
}

// settled waits until the loops have read what was posted so far: a socket that is still to be closed would look like a
// stranger's to the next Apply.
func (e *Engine) settled() {
	if e.state != running {
		return
	}
	done := make(chan struct{}, len(e.loops))
	n := 0
	for _, l := range e.loops {
		if l.post(func() { done <- struct{}{} }) {
			n++
		}
	}
	limit := time.NewTimer(statsTimeout)
	defer limit.Stop()
	for range n {
		select {
		case <-done:
		case <-limit.C:
			return
		}
	}
}

// retireFront lets the connections of a removed frontend end: idle ones now, busy ones after their request.
func (e *Engine) retireFront(rt *frontend) {
	rt.gone.Store(true)
	e.each(func(l *loop) { l.endIdle(rt) })
}

// ownInodes are the sockets of this engine; mu is held.
func (e *Engine) ownInodes() map[uint64]bool {
	own := map[uint64]bool{}
	for _, g := range e.groups {
		for _, i := range g.inodes {
			own[i] = true
		}
	}
	for _, r := range e.retiring {
		for _, i := range r.inodes {
			own[i] = true
		}
	}
	return own
}
