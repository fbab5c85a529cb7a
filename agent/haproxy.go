package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/agent/haproxy"
	"github.com/reeve-lb/reeve/check/probe"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/internal/version"
	"github.com/reeve-lb/reeve/proxy/engine"
)

// HAProxy is the haproxy personality's daemon: the data plane and the health checks, and nothing else of an agent. No
// cluster is asked, no port is opened but those of the configuration. It is a haproxy.Daemon: make it with NewHAProxy, run
// it once.
type HAProxy struct {
	engine *engine.Engine
	probes *probe.Runner
}

var _ haproxy.Daemon = (*HAProxy)(nil)

// NewHAProxy allocates a daemon that logs to log.
func NewHAProxy(log hclog.Logger, o haproxy.Options) *HAProxy {
	h := &HAProxy{engine: engine.New(engine.Options{Logger: log.Named("proxy"), Version: version.Version, MemoryMax: forConnections(o.MemoryMax, rest)})}
	h.probes = probe.New(probe.Options{Logger: log.Named("check"), Results: func(r probe.Result) { setHealth(h.engine, r) },
		TLS: checkTLS(h.engine)})
	return h
}

// rest is what the process takes beside its connections: program, configuration, tables, the runtime; agentRest is that of
// an agent, which has the cluster's log and its replicas as well.
const (
	rest      = 32 << 20
	agentRest = 64 << 20
)

// forConnections is what of a bound of the whole process its connections may have.
func forConnections(bound, rest int64) int64 { return max(bound-rest, bound/2) }

// CanRead implements haproxy.Daemon.
func (h *HAProxy) CanRead(d config.Document) source.Problems { return h.engine.CanRead(d.Proxy) }

// CanRun implements haproxy.Daemon.
func (h *HAProxy) CanRun(d config.Document) source.Problems { return h.engine.CanRun(d.Proxy) }

// Apply implements haproxy.Daemon.
func (h *HAProxy) Apply(d config.Document) source.Problems {
	ps := h.engine.Apply(d.Proxy)
	h.probes.Apply(joinChecks(d))
	return ps
}

// Run implements haproxy.Daemon. Checks end with the data plane, not before: who drains still asks which servers are up.
func (h *HAProxy) Run(ctx context.Context) error {
	boottime.Slack(time.Millisecond)
	r := newRooms()
	r.open("check", h.probes.Run)
	return errors.Join(h.engine.Run(ctx), r.close())
}

// Drain implements haproxy.Daemon.
func (h *HAProxy) Drain(ctx context.Context) error { return h.engine.Drain(ctx) }

// Servers implements haproxy.Daemon.
func (h *HAProxy) Servers() []string {
	s := h.engine.Stats()
	lines := []string{fmt.Sprintf("Process has %d connections, %d tot, %d requests, %d goroutines.", s.Process.CurrConns, s.Process.CumConns, s.Process.CumReq,
		runtime.NumGoroutine())}
	for _, r := range s.Rows {
		switch r.SvName {
		case "FRONTEND", "BACKEND":
		default:
			lines = append(lines, fmt.Sprintf("Server %s/%s is %s. Conn: %d act, %d pend, %d tot.", r.PxName, r.SvName, r.Status, r.SCur, r.QCur, r.STot))
		}
	}
	return lines
}
