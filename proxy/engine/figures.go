package engine

import (
	"fmt"
	"os"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/balance"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// statsTimeout bounds how long Stats waits for a loop that is busy beyond reason.
const statsTimeout = 2 * time.Second

// Stats sums the counters of all loops. Each loop adds its own when it comes by.
func (e *Engine) Stats() stats.Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	snap := stats.Snapshot{Process: stats.Process{Version: e.opts.Version, PID: os.Getpid(), Uptime: time.Since(e.base), Loops: len(e.loops),
		MaxConn: e.maxConn.Load(), CurrConns: e.conns.cur.Load(), Stopping: e.draining.Load()}}
	if !e.applied {
		return snap
	}
	snap.Process.DroppedLogs = e.writer.Dropped()
	rows, sums := e.rows()
	for _, l := range e.loops {
		done := make(chan struct{})
		add := func() {
			defer close(done)
			for i, per := range sums {
				addCounters(&rows[i], per[l.id], l.now)
			}
			snap.Process.CumConns += l.accepted
			snap.Process.NoMemory += l.noMemory
		}
		if e.state != running || !l.post(add) {
			add()
			continue
		}
		select {
		case <-done:
		case <-time.After(statsTimeout):
			e.log.Error("an event loop does not answer", "loop", l.id)
			return stats.Snapshot{Process: stats.Process{Version: e.opts.Version, PID: os.Getpid()}}
		}
	}
	for _, r := range rows {
		if r.Type == stats.FrontendType {
			snap.Process.CumReq += r.ReqTot
		}
	}
	finishRows(rows)
	snap.Rows = rows
	return snap
}

// rows are all rows without what the loops count, and beside each whose counters belong to it.
func (e *Engine) rows() (rows []stats.Row, sums [][]*counters) {
	iid := 0
	backs := map[string]bool{}
	addBack := func(b *proxy.Backend) {
		if backs[b.Name] {
			return
		}
		backs[b.Name] = true
		rt := e.backs[b.Name]
		for _, sc := range rt.conf.Load().servers {
			rows = append(rows, e.serverRow(rt, sc, iid, sc.id))
			sums = append(sums, sc.rt.per)
		}
		rows = append(rows, e.backendRow(rt, b, iid))
		sums = append(sums, rt.per)
	}
	find := func(name string) *proxy.Backend {
		for i := range e.cfg.Backends {
			if e.cfg.Backends[i].Name == name {
				return &e.cfg.Backends[i]
			}
		}
		return nil
	}
	for i := range e.cfg.Frontends {
		f := &e.cfg.Frontends[i]
		iid++
		rows = append(rows, e.frontendRow(f, iid))
		sums = append(sums, e.fronts[f.Name].per)
		if b := find(f.Name); b != nil { // a listen section
			addBack(b)
		}
	}
	for i := range e.cfg.Backends {
		if !backs[e.cfg.Backends[i].Name] {
			iid++
		}
		addBack(&e.cfg.Backends[i])
	}
	return rows, sums
}

func (e *Engine) frontendRow(f *proxy.Frontend, iid int) stats.Row {
	rt := e.fronts[f.Name]
	r := stats.Row{PxName: f.Name, SvName: "FRONTEND", Type: stats.FrontendType, Mode: f.Mode.String(), Status: "OPEN", PID: 1, IID: iid,
		SCur: rt.conn.cur.Load(), SMax: rt.conn.max.Load(), SLim: int64(f.MaxConn), LastSess: -1}
	if r.SLim == 0 {
		r.SLim = e.maxConn.Load()
	}
	if e.draining.Load() {
		r.Status = "STOP"
	} else if r.SCur >= r.SLim {
		r.Status = "FULL"
	}
	return r
}

func (e *Engine) backendRow(rt *backend, b *proxy.Backend, iid int) stats.Row {
	r := stats.Row{PxName: b.Name, SvName: "BACKEND", Type: stats.BackendType, Mode: b.Mode.String(), Status: "UP", PID: 1, IID: iid,
		SCur: rt.conn.cur.Load(), SMax: rt.conn.max.Load(), QCur: rt.queue.size.Load(), QMax: rt.queue.max.Load(), ChkDown: rt.downCount,
		LastChg: int64(time.Since(rt.changed).Seconds()), Downtime: int64(rt.downtime.Seconds()), LastSess: -1, Algo: b.Balance.String()}
	conf := rt.conf.Load()
	c := conf.chooser.Load()
	r.Act, r.Bck = c.active, c.backups
	for _, s := range conf.servers {
		if s.usable() && !s.backup {
			r.Weight += s.rt.shownWeight(conf)
		}
	}
	if rt.down {
		r.Downtime += r.LastChg
	}
	if rt.down || len(conf.servers) > 0 && c.active+c.backups == 0 { // no weight is left, either
		r.Status = "DOWN"
	}
	if b.Cookie != nil {
		r.Cookie = b.Cookie.Name
	}
	return r
}

func (e *Engine) serverRow(b *backend, sc *serverConf, iid, sid int) stats.Row {
	s := sc.rt
	r := stats.Row{PxName: b.name, SvName: s.name, Type: stats.ServerType, Mode: b.conf.Load().src.Mode.String(), PID: 1, IID: iid, SID: sid,
		SCur: s.conn.cur.Load(), SMax: s.conn.max.Load(), SLim: s.limit.Load(), QCur: s.waiting.cur.Load(), QMax: s.waiting.max.Load(), QLimit: s.queues.Load(),
		Weight: s.shownWeight(b.conf.Load()), Throttle: s.throttle(b.conf.Load()), ChkFail: s.fails, ChkDown: s.downs, LastChg: int64(time.Since(s.changed).Seconds()),
		Downtime: int64(s.downtime.Seconds()), LastSess: -1, Addr: sc.text, Cookie: sc.cookie, IdleConnCur: s.idles.Load()}
	r.Act, r.Bck = 1, 0
	if sc.backup {
		r.Act, r.Bck = 0, 1
	}
	if !s.up.Load() {
		r.Downtime += r.LastChg
	}
	r.Status = serverStatus(sc)
	if s.checked {
		c := s.check
		r.CheckStatus, r.CheckCode, r.CheckDuration = c.Status, c.Code, c.Duration.Milliseconds()
		r.CheckDesc, r.LastChk, r.CheckRise, r.CheckFall = c.Text(), c.Info, c.Rise, c.Fall
	}
	return r
}

// shownWeight is the weight that counts at present, parts of one as a whole.
func (s *server) shownWeight(b *backConf) int {
	return (s.scaledWeight(b) + balance.WeightScale - 1) / balance.WeightScale
}

// throttle is how far a slow start has brought the weight, in percent; 0 when none goes on.
func (s *server) throttle(b *backConf) int {
	if s.step == 0 || s.weight == 0 {
		return 0
	}
	return 100 * s.scaledWeight(b) / (s.weight * balance.WeightScale)
}

// serverStatus is the status column: what is so, and how far it is from changing.
func serverStatus(sc *serverConf) string {
	s, c := sc.rt, sc.rt.check
	switch {
	case s.maint.Load():
		return "MAINT"
	case !sc.resolved:
		return "MAINT (resolution)"
	case s.blocked.Load():
		return "DOWN (max_fails)"
	case !sc.checked:
		return "no check"
	case !s.up.Load() && c.Streak > 0:
		return fmt.Sprintf("DOWN %d/%d", c.Streak, c.Rise)
	case !s.up.Load():
		return "DOWN"
	case s.weight == 0:
		return "DRAIN"
	case c.Streak > 0:
		return fmt.Sprintf("UP %d/%d", c.Fall-c.Streak, c.Fall)
	}
	return "UP"
}

func addCounters(r *stats.Row, c *counters, now int64) {
	r.STot += c.sessions
	r.BIn += c.bin
	r.BOut += c.bout
	r.DReq += c.dreq
	r.DResp += c.dresp
	r.EReq += c.ereq
	r.ECon += c.econ
	r.EResp += c.eresp
	r.WRetr += c.wretr
	r.WRedis += c.wredis
	r.LBTot += c.lbtot
	r.Rate += c.rate.read(now)
	r.RateMax += c.rate.max
	r.ReqRate += c.reqRate.read(now)
	r.ReqTot += c.requests
	r.CliAbrt += c.cliAbrt
	r.SrvAbrt += c.srvAbrt
	r.ConnTot += c.conns
	r.Intercepted += c.intercepted
	r.Connect += c.connect
	r.Reuse += c.reuse
	r.SSLSess += c.handshakes
	r.SSLReusedSess += c.resumed
	r.SSLFailedHandshake += c.badHandshakes
	r.CompIn += c.compIn
	r.CompOut += c.compOut
	r.CompRsp += c.compRsp
	r.CacheLookups += c.cacheLookups
	r.CacheHits += c.cacheHits
	r.HrspOther += c.status[0]
	r.Hrsp1xx += c.status[1]
	r.Hrsp2xx += c.status[2]
	r.Hrsp3xx += c.status[3]
	r.Hrsp4xx += c.status[4]
	r.Hrsp5xx += c.status[5]
	if c.last >= 0 {
		if ago := (now - c.last) / int64(time.Second); r.LastSess < 0 || ago < r.LastSess {
			r.LastSess = ago
		}
	}
	// Means of loops are weighed by how many values they stand for.
	weigh(r, c)
}

// weigh folds a loop's averages in; the sums are divided by finishRows.
func weigh(r *stats.Row, c *counters) {
	n := c.ttime.n
	if n == 0 {
		return
	}
	r.Samples += n
	r.QTime += c.qtime.sum
	r.CTime += c.ctime.sum
	r.RTime += c.rtime.sum
	r.TTime += c.ttime.sum
}

func finishRows(rows []stats.Row) {
	for i := range rows {
		if r := &rows[i]; r.Samples > 0 {
			r.QTime /= r.Samples
			r.CTime /= r.Samples
			r.RTime /= r.Samples
			r.TTime /= r.Samples
		}
	}
}
