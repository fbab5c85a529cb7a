package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/agent/httpapi"
	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/cluster"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/keepalivedconf"
	"github.com/reeve-lb/reeve/config/lint"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/internal/version"
)

var _ httpapi.Service = (*Agent)(nil)

// Self implements httpapi.Service.
func (a *Agent) Self() api.Self {
	in := a.cluster.Info()
	a.mu.Lock()
	defer a.mu.Unlock()
	return api.Self{
		Node: a.set.Node, ID: in.ID, Version: version.Version, Leader: in.Leader, IsLeader: in.IsLeader,
		InCluster: in.Voters > 0 || a.set.ofCluster(), ConfigVersion: a.running.version,
		ConfigProblem: a.running.problem, PID: os.Getpid(),
	}
}

// Members implements httpapi.Service.
func (a *Agent) Members() []api.Member {
	var out []api.Member
	for _, m := range a.cluster.Members() {
		out = append(out, api.Member{
			Name: m.Name, ID: m.ID, Address: m.Gossip.String(), Status: m.Status.String(), Role: string(m.Role),
			Build: m.Build, Leader: m.Leader, Tags: m.Tags,
		})
	}
	slices.SortFunc(out, func(a, b api.Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Info implements httpapi.Service.
func (a *Agent) Info() map[string]map[string]string {
	in := a.cluster.Info()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	a.mu.Lock()
	running := a.running
	a.mu.Unlock()
	st := a.cluster.Leases().Status()
	return map[string]map[string]string{
		"agent": {
			"node": a.set.Node, "id": in.ID, "version": version.Version, "pid": strconv.Itoa(os.Getpid()),
			"uptime": time.Since(a.started).Round(time.Second).String(), "data_dir": a.set.DataDir,
			"config_version": strconv.FormatUint(running.version, 10), "config_problem": running.problem,
		},
		"raft": {
			"state": in.State, "leader": in.Leader, "term": strconv.FormatUint(in.Term, 10),
			"last_index": strconv.FormatUint(in.LastIndex, 10), "commit_index": strconv.FormatUint(in.CommitIndex, 10),
			"applied_index": strconv.FormatUint(in.AppliedIndex, 10), "voters": strconv.Itoa(in.Voters),
			"address": in.RPC.String(), "stuck": in.Stuck,
		},
		"gossip": {"address": in.Gossip.String(), "members": strconv.Itoa(len(a.cluster.Members()))},
		"leases": {
			"quorum": strconv.FormatBool(st.Quorum), "leader": st.Leader, "count": strconv.Itoa(len(st.Leases)),
			"refused_frames": strconv.FormatUint(st.Dropped, 10),
		},
		"runtime": {
			"go": runtime.Version(), "goroutines": strconv.Itoa(runtime.NumGoroutine()), "gomaxprocs": strconv.Itoa(runtime.GOMAXPROCS(0)),
			"heap_bytes": strconv.FormatUint(mem.HeapAlloc, 10), "sys_bytes": strconv.FormatUint(mem.Sys, 10),
		},
	}
}

// Join implements httpapi.Service.
func (a *Agent) Join(ctx context.Context, addresses []string) (int, error) {
	if len(addresses) == 0 {
		return 0, &api.Error{Code: api.CodeInvalid, Message: "no address was given"}
	}
	return a.cluster.Join(ctx, addresses)
}

// Leave implements httpapi.Service.
func (a *Agent) Leave() error {
	a.mu.Lock()
	leave := a.leave
	a.mu.Unlock()
	select {
	case leave <- struct{}{}:
	default: // asked already
	}
	return nil
}

// Reload implements httpapi.Service: HUP over HTTP.
func (a *Agent) Reload() (api.ReloadResponse, error) {
	if slices.Contains(a.set.Files, "-") {
		return api.ReloadResponse{}, &api.Error{Code: api.CodeInvalid, Message: "the configuration came from standard input, which can't be read again: what ran goes on"}
	}
	doc, node, ps := loadFiles(a.set.Files)
	if ps.HasErrors() {
		a.log.Error("reload: the files have errors, what ran goes on", "error", ps.Err())
		return api.ReloadResponse{}, &api.Error{Code: api.CodeInvalid, Message: "the files have errors: what ran goes on", Problems: toAPI(ps, "")}
	}
	a.log.Info("reload: the files were read again", "problems", len(ps))
	ps = append(ps, a.resettle(node)...)
	a.mu.Lock()
	a.files = doc
	running := a.running
	a.mu.Unlock()
	resp := api.ReloadResponse{Problems: toAPI(ps, ""), Version: running.version}
	switch {
	case a.alone():
		a.want(wanted{doc: doc})
	case a.set.Dev:
		if running.whole.Equal(doc) {
			return resp, nil
		}
		v, err := a.propose(context.Background(), doc, "reload", nil)
		resp.Version = v.Version
		return resp, err
	case len(a.set.Files) > 0 && !running.whole.Equal(doc):
		a.log.Warn("this node's files differ from the version in force: `reeve plan` shows how, `reeve apply` changes it", "version", running.version)
		resp.Problems = append(resp.Problems, api.Problem{Severity: source.Warning.String(),
			Text: fmt.Sprintf("the files of node %s differ from version %d, which goes on", a.set.Node, running.version), Hint: "`reeve apply` changes the version in force"})
	}
	return resp, nil
}

// load reads what a client sent.
func load(r api.ConfigRequest) (config.Document, source.Problems) {
	var files []config.File
	for _, f := range r.Files {
		file := config.File{Name: f.Name, Content: []byte(f.Content), Node: f.Node, Format: f.Format, Dir: f.Dir}
		for _, i := range f.Included {
			file.Included = append(file.Included, keepalivedconf.Included{Name: i.Name, Content: []byte(i.Content), Error: i.Error, Skipped: i.Skipped})
		}
		files = append(files, file)
	}
	doc, _, ps := config.Load(files)
	ps.Sort()
	return doc, ps
}

// inForce is the Document that a change starts from, and its version.
func (a *Agent) inForce() (config.Document, uint64, error) {
	v, ok := a.cluster.Config()
	if !ok {
		empty, _, ps := config.Load(nil) // with the defaults that any file would have had
		return empty, 0, ps.Err()
	}
	d, err := decode(v.Payload)
	return d, v.Version, err
}

// Plan implements httpapi.Service: it reads, compares, asks every live node, and stops there.
func (a *Agent) Plan(ctx context.Context, r api.ConfigRequest) (api.PlanResponse, error) {
	doc, ps := load(r)
	if ps.HasErrors() {
		return api.PlanResponse{}, &api.Error{Code: api.CodeInvalid, Message: "the configuration has errors", Problems: toAPI(ps, "")}
	}
	ps = a.linted(doc, ps, r)
	old, base, err := a.inForce()
	if err != nil {
		return api.PlanResponse{}, err
	}
	if a.alone() {
		a.mu.Lock()
		old = a.running.whole
		a.mu.Unlock()
	}
	resp := api.PlanResponse{Base: base, Changes: toChanges(config.Diff(old, doc)), Problems: toAPI(ps, "")}
	payload, err := encode(doc)
	if err != nil {
		return resp, err
	}
	nodes, err := a.cluster.CanRun(ctx, payload)
	for _, n := range nodes {
		resp.Problems = append(resp.Problems, toAPI(lint.Silence(n.Problems, r.Ignore), n.Node)...)
	}
	return resp, apiError(err)
}

// Apply implements httpapi.Service.
func (a *Agent) Apply(ctx context.Context, r api.ConfigRequest) (api.ApplyResponse, error) {
	begun := time.Now()
	if a.alone() {
		return api.ApplyResponse{}, &api.Error{Code: api.CodeAlone, Message: errAlone("apply").Error()}
	}
	doc, ps := load(r)
	if ps.HasErrors() {
		return api.ApplyResponse{}, &api.Error{Code: api.CodeInvalid, Message: "the configuration has errors: nothing was changed", Problems: toAPI(ps, "")}
	}
	ps = a.linted(doc, ps, r)
	old, base, err := a.inForce()
	if err != nil {
		return api.ApplyResponse{}, err
	}
	resp := api.ApplyResponse{Version: base, Changes: toChanges(config.Diff(old, doc)), Problems: toAPI(ps, "")}
	if base > 0 && len(resp.Changes) == 0 {
		reports, err := a.cluster.Reports(ctx)
		resp.Nodes, resp.TookMS = toReports(reports), ms(time.Since(begun))
		return resp, apiError(err)
	}
	payload, err := encode(doc)
	if err != nil {
		return resp, err
	}
	v, reports, err := a.cluster.Propose(ctx, cluster.Proposal{Payload: payload, Summary: r.Summary, Author: a.set.Node, Base: r.Base})
	if err != nil {
		return resp, apiError(err)
	}
	resp.Version, resp.Nodes, resp.TookMS = v.Version, toReports(reports), ms(time.Since(begun))
	for _, n := range reports {
		resp.Problems = append(resp.Problems, toAPI(lint.Silence(n.Problems, r.Ignore), n.Node)...)
	}
	return resp, nil
}

// propose makes doc the next version.
func (a *Agent) propose(ctx context.Context, doc config.Document, summary string, base *uint64) (cluster.ConfigVersion, error) {
	payload, err := encode(doc)
	if err != nil {
		return cluster.ConfigVersion{}, err
	}
	v, _, err := a.cluster.Propose(ctx, cluster.Proposal{Payload: payload, Summary: summary, Author: a.set.Node, Base: base})
	return v, apiError(err)
}

// apiError is the one place where the cluster's errors become codes.
func apiError(err error) error {
	var refused *cluster.RefusedError
	var conflict *cluster.ConflictError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		e := &api.Error{Code: api.CodeRefused, Message: "a node can't run this: nothing was changed anywhere"}
		for _, n := range refused.Nodes {
			e.Problems = append(e.Problems, toAPI(n.Problems, n.Node)...)
		}
		return e
	case errors.As(err, &conflict):
		return &api.Error{Code: api.CodeConflict, Message: conflict.Error()}
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, context.DeadlineExceeded):
		return &api.Error{Code: api.CodeNoLeader, Message: "no leader: is a majority of the voters in reach? (" + err.Error() + ")"}
	}
	return err
}

// Config implements httpapi.Service.
func (a *Agent) Config() (api.Config, error) {
	v, ok := a.cluster.Config()
	if !ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.running.applied {
			return api.Config{}, &api.Error{Code: api.CodeNotFound, Message: "no configuration is in force yet"}
		}
		d := a.running.whole
		return api.Config{ConfigVersion: api.ConfigVersion{Running: true, Digest: digest(d), Summary: "this node's own files"}, HCL: string(config.WriteHCL(d))}, nil
	}
	d, err := decode(v.Payload)
	if err != nil {
		return api.Config{}, err
	}
	return api.Config{ConfigVersion: a.row(v), HCL: string(config.WriteHCL(d))}, nil
}

func (a *Agent) row(v cluster.ConfigVersion) api.ConfigVersion {
	a.mu.Lock()
	runs := a.running.version == v.Version
	a.mu.Unlock()
	out := api.ConfigVersion{Version: v.Version, Time: v.Time, Author: v.Author, Summary: v.Summary, Running: runs}
	if d, err := decode(v.Payload); err == nil {
		out.Digest = digest(d)
	}
	return out
}

// History implements httpapi.Service.
func (a *Agent) History() ([]api.ConfigVersion, error) {
	out := []api.ConfigVersion{}
	for _, v := range a.cluster.History() {
		out = append(out, a.row(v))
	}
	slices.SortFunc(out, func(x, y api.ConfigVersion) int { return int(y.Version) - int(x.Version) })
	return out, nil
}

// RaftPeers implements httpapi.Service.
func (a *Agent) RaftPeers(ctx context.Context) ([]api.RaftPeer, error) {
	ps, err := a.cluster.Peers(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return toPeers(ps), nil
}

// toPeers says what each peer is. Without a leader nobody follows anybody: their states are unknown.
func toPeers(ps []cluster.RaftPeer) []api.RaftPeer {
	others := "unknown"
	if slices.ContainsFunc(ps, func(p cluster.RaftPeer) bool { return p.Leader }) {
		others = "follower"
	}
	out := make([]api.RaftPeer, 0, len(ps))
	for _, p := range ps {
		state := others
		if p.Leader {
			state = "leader"
		}
		out = append(out, api.RaftPeer{Node: p.Name, ID: p.ID, Address: p.Address, State: state, Voter: p.Voter, CommitIndex: p.CommitIndex})
	}
	return out
}

// Stats implements httpapi.Service.
func (a *Agent) Stats() any { return a.engine.Stats() }

// Monitor implements httpapi.Service.
func (a *Agent) Monitor(ctx context.Context, level string, w io.Writer) error {
	return monitor(ctx, a.log, level, w)
}

func toAPI(ps source.Problems, node string) []api.Problem {
	out := make([]api.Problem, 0, len(ps))
	for _, p := range ps {
		out = append(out, api.Problem{File: p.Pos.File, Line: p.Pos.Line, Col: p.Pos.Col, Severity: p.Severity.String(), Text: p.Text, Hint: p.Hint, Node: node, Rule: p.Rule})
	}
	return out
}

func toChanges(cs []config.Change) []api.Change {
	out := make([]api.Change, 0, len(cs))
	for _, c := range cs {
		out = append(out, api.Change{Path: c.Path, Kind: string(c.Kind), Old: c.Old, New: c.New})
	}
	return out
}

func toReports(rs []cluster.NodeReport) []api.NodeReport {
	out := make([]api.NodeReport, 0, len(rs))
	for _, r := range rs {
		out = append(out, api.NodeReport{Node: r.Node, Version: r.Version, Error: r.Error, TookMS: ms(r.Took)})
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
