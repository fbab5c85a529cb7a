package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/check/probe"
	"github.com/reeve-lb/reeve/cluster"
	"github.com/reeve-lb/reeve/cluster/tables"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/engine"
	"github.com/reeve-lb/reeve/proxy/stats"
	"github.com/reeve-lb/reeve/vrrp"
)

// wanted is a Document that the trades shall run. Version 0 is the node's own files.
type wanted struct {
	version uint64
	doc     config.Document
}

// want replaces whatever was wanted and not begun yet.
func (a *Agent) want(w wanted) {
	for {
		select {
		case a.wanted <- w:
			return
		default:
		}
		select {
		case <-a.wanted:
		default:
		}
	}
}

// reconcile makes the trades run what is wanted, one Document after the other, and says so to the cluster.
func (a *Agent) reconcile(ctx context.Context) error {
	keys := time.NewTicker(renewEvery)
	defer keys.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-a.wanted:
			a.apply(w)
		case <-a.retry:
			a.applyAgain()
		case now := <-keys.C:
			a.renewOwnTicketKey(now)
		}
	}
}

// apply tells every trade its part. What a trade can't do is left out there and reported; the rest runs.
func (a *Agent) apply(w wanted) {
	node := w.doc.For(a.set.Node)
	var ps source.Problems
	if !a.set.Witness {
		a.sticky.configure(node.Proxy)
		ps = append(ps, a.engine.Apply(node.Proxy)...)
		a.fillTables(node.Proxy, w.version)
		a.probes.Apply(joinChecks(node))
		ps = append(ps, a.applyVRRP(node.VRRP)...)
	}
	ps.Sort()
	r := running{version: w.version, doc: node, whole: w.doc, applied: true, problems: ps}
	a.logProblems(ps)
	if err := ps.Err(); err != nil {
		r.problem = err.Error()
	}
	a.mu.Lock()
	a.running = r
	a.mu.Unlock()
	if w.version > 0 {
		a.cluster.Running(w.version, r.problem)
		a.log.Info("configuration version runs", "version", w.version, "frontends", len(node.Proxy.Frontends), "instances", len(node.VRRP.Instances))
		return
	}
	a.log.Info("configuration of the node's own files runs", "frontends", len(node.Proxy.Frontends), "instances", len(node.VRRP.Instances))
}

// fillBudget is how long the entries of new tables may hold up the rest of a configuration.
const fillBudget = time.Second

// fillTables gives tables that are new to the engine what the cluster holds for them. After a start the entries may have
// been told before there was a table to put them in; without them a node that is promoted would send clients to other
// servers than the ones they had. So they are there before the speaker hears of the addresses.
func (a *Agent) fillTables(c proxy.Config, version uint64) {
	if !a.sticky.grown(c) {
		return
	}
	budget := fillBudget
	if version == 0 { // a cluster that is not up yet tells when it is
		budget = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	if err := a.cluster.TellBindings(ctx); err != nil && version > 0 {
		a.log.Warn("sticky entries of new tables come late", "error", err)
	}
}

// applyVRRP sees to it that nothing goes on this machine that nobody would take off: the guard runs and the list for
// `vip release` is written before the speaker learns of an instance.
func (a *Agent) applyVRRP(c vrrp.Config) source.Problems {
	var ps source.Problems
	if len(c.Instances) > 0 {
		if err := errors.Join(a.fence.need(context.Background()), remember(a.set.DataDir, c)); err != nil {
			ps.Errorf(c.Instances[0].Pos, "", "virtual addresses can't be guarded: %v", err)
			return ps
		}
	}
	return a.speaker.Apply(c, a.election())
}

// election is what an instance means that does not say who decides.
func (a *Agent) election() vrrp.Election {
	if a.alone() {
		return vrrp.ElectionVRRP
	}
	return vrrp.ElectionCluster
}

// joinChecks gives each check the address of its server where the file names none: checks live apart from servers, and
// proxy does not know check.
func joinChecks(d config.Document) map[string]check.Config {
	out := map[string]check.Config{}
	for _, b := range d.Proxy.Backends {
		for _, s := range b.Servers {
			c, ok := d.Checks[s.Check]
			if !ok {
				continue
			}
			if c.Address == "" {
				c.Address = s.Address
			}
			if c.Connect == 0 {
				c.Connect = b.Timeouts.Connect
			}
			if c.Timeout == 0 {
				c.Timeout = b.Timeouts.Check
			}
			if c.Jitter == 0 {
				c.Jitter = d.Proxy.Global.SpreadChecks
			}
			c.Name = b.Name + "/" + s.Name
			out[c.Name] = c
		}
	}
	return out
}

// verdict hands a check's result to the data plane.
func (a *Agent) verdict(r probe.Result) { setHealth(a.engine, r) }

func setHealth(e *engine.Engine, r probe.Result) {
	backend, server, ok := splitCheck(r.Name)
	if !ok {
		return
	}
	e.SetHealth(backend, server, r.Up, stats.CheckResult{
		Status: r.Status.String(), Code: r.Code, Duration: r.Duration, Info: r.Info, Failed: !r.OK,
		Rise: r.Rise, Fall: r.Fall, Streak: r.Streak,
	})
}

// doubted hands what the data plane has observed of a server to its check; both count on-error's words alike.
func (a *Agent) doubted(backend, server string, on proxy.OnError) {
	a.probes.Doubt(backend+"/"+server, probe.Doubt(on))
}

// checkTLS lets checks speak TLS as the server's own connections do.
func checkTLS(e *engine.Engine) probe.TLS {
	return func(check, name string) (*tls.Config, error) {
		backend, server, _ := splitCheck(check)
		return e.ServerTLS(backend, server, name)
	}
}

func splitCheck(name string) (backend, server string, ok bool) {
	for i := range name {
		if name[i] == '/' {
			return name[:i], name[i+1:], true
		}
	}
	return "", "", false
}

// app is what the cluster asks of the agent.
type app struct{ *Agent }

// CanRun implements cluster.App.
func (a app) CanRun(_ context.Context, payload []byte) source.Problems {
	var ps source.Problems
	d, err := decode(payload)
	if err != nil {
		ps.Errorf(source.Pos{}, "is a newer version of the program elsewhere?", "%v", err)
		return ps
	}
	if ps = config.Validate(d); ps.HasErrors() {
		return ps
	}
	if a.set.Witness {
		return nil
	}
	node := d.For(a.set.Node)
	ps = append(ps, a.engine.CanRun(node.Proxy)...)
	ps = append(ps, canRunVRRP(node.VRRP)...)
	if !ps.HasErrors() { // else a script that is not there would be told twice
		ps = append(ps, a.lintHere(d)...)
	}
	ps.Sort()
	return ps
}

// canRunVRRP looks whether the machine has what the instances name.
func canRunVRRP(c vrrp.Config) source.Problems {
	var ps source.Problems
	for _, in := range c.Instances {
		if _, err := net.InterfaceByName(in.Interface); err != nil {
			ps.Errorf(in.Pos, interfaceNames(), "vrrp_instance %s: this node has no interface %q", in.Name, in.Interface)
		}
	}
	for _, s := range c.Scripts {
		if len(s.Command) == 0 || s.Command[0] == "" || s.Command[0][0] != '/' {
			continue
		}
		if _, err := os.Stat(s.Command[0]); err != nil {
			ps.Errorf(s.Pos, "", "vrrp_script %s: %v", s.Name, err)
		}
	}
	return ps
}

func interfaceNames() string {
	ifs, err := net.Interfaces()
	if err != nil {
		return ""
	}
	hint := "there are"
	for _, i := range ifs {
		hint += " " + i.Name
	}
	return hint
}

// ConfigCommitted implements cluster.App.
func (a app) ConfigCommitted(v cluster.ConfigVersion) {
	d, err := decode(v.Payload)
	if err != nil {
		a.log.Error("a configuration version can't be read: the last good one goes on", "version", v.Version, "error", err)
		a.cluster.Running(v.Version, err.Error())
		return
	}
	a.mu.Lock()
	first, files := !a.running.applied, a.files
	a.mu.Unlock()
	if first && len(a.set.Files) > 0 && !files.Equal(d) {
		a.log.Warn("this node's files differ from the version in force, which is what runs: `reeve plan` shows how, `reeve apply` changes it", "version", v.Version)
	}
	a.want(wanted{version: v.Version, doc: d})
}

// BindingsApplied implements cluster.App.
func (a app) BindingsApplied(cs []tables.Change) { a.engine.Bindings(a.sticky.applied(cs)) }

// Seed implements cluster.App: the first leader proposes its own files. A node without files has nothing to say.
func (a app) Seed() []byte {
	if len(a.set.Files) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := json.Marshal(a.files)
	if err != nil {
		a.log.Error("the node's files can't be proposed", "error", err)
		return nil
	}
	return b
}

var _ cluster.App = app{}

// errAlone is the answer to what only a cluster can do.
func errAlone(what string) error {
	return fmt.Errorf("this agent stands alone: its files are its configuration; edit them and `reeve reload` instead of %s", what)
}
