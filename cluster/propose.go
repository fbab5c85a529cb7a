package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/gossip"
	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/internal/source"
)

const (
	proposeTimeout = 20 * time.Second // of a Propose without a deadline
	canRunTimeout  = 5 * time.Second  // for a node's answer
	runTimeout     = 10 * time.Second // for nodes to run a version
)

// proposed is a Proposal's outcome as it crosses the network.
type proposed struct {
	Version ConfigVersion
	Reports []NodeReport
}

// Propose puts a configuration in force everywhere: the leader asks each live node whether it can run it, commits it, and
// waits until each has told what became of it. It works on any node. A *ConflictError or a *RefusedError means that nothing
// was changed; ErrUncertain that the change may still come about. Without an error the version is committed: what single
// nodes made of it is in the reports. ctx's deadline bounds all of it; 20 s without one.
func (c *Cluster) Propose(ctx context.Context, p Proposal) (ConfigVersion, []NodeReport, error) {
	if len(p.Payload) > MaxPayload {
		return ConfigVersion{}, nil, fmt.Errorf("configuration of %d bytes, %d at most: %w", len(p.Payload), MaxPayload, ErrTooLarge)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, proposeTimeout)
		defer cancel()
	}
	var out proposed
	err := c.atLeader(ctx,
		func() (err error) {
			out, err = c.proposeHere(ctx, p, false)
			return err
		},
		func(t mux.Target) (err error) {
			out, err = ask[proposed](ctx, c, t, methodPropose, p)
			return err
		})
	return out.Version, out.Reports, err
}

func (c *Cluster) servePropose(ctx context.Context, _ Peer, p Proposal) (proposed, error) {
	return c.proposeHere(ctx, p, false)
}

// proposeHere is Propose on the leader. At a start nodes run what they can of the configuration and say the rest (anyway):
// there is nothing good to keep in its place.
func (c *Cluster) proposeHere(ctx context.Context, p Proposal, anyway bool) (proposed, error) {
	if !c.lead.get().led {
		return proposed{}, ErrNotLeader
	}
	if len(p.Payload) > MaxPayload {
		return proposed{}, ErrTooLarge
	}
	select { // changes made at once would only refuse each other's ports
	case c.proposing <- struct{}{}:
		defer func() { <-c.proposing }()
	case <-ctx.Done():
		return proposed{}, fmt.Errorf("another change is under way: %w", ErrBusy)
	}
	cur, _ := c.Config()
	if p.Base != nil && *p.Base != cur.Version {
		return proposed{}, &ConflictError{Base: *p.Base, Current: cur.Version}
	}
	answered, silent, warned, err := c.askAll(ctx, p.Payload)
	if err != nil && !anyway {
		return proposed{}, err
	}
	// The version that the nodes were asked about goes in after the one that is in force now, or not at all.
	r, err := c.applyHere(ctx, fsm.ConfigCommand(time.Now(), &cur.Version, p.Author, p.Summary, p.Payload))
	if err != nil {
		return proposed{}, err
	}
	begun := time.Now()
	reports := append(c.awaitAll(ctx, answered, r.Config.Version, begun), silent...)
	slices.SortFunc(reports, func(a, b NodeReport) int { return strings.Compare(a.Node, b.Node) })
	for i := range reports {
		reports[i].Problems = warned[reports[i].Node]
	}
	return proposed{r.Config, reports}, nil
}

// askAll asks all live nodes at once whether they can run the payload. A *RefusedError names all that can't. Who does not
// answer at all does not stop the others: it may have died without gossip knowing yet, and is reported. warned is what nodes
// that can run it say all the same.
func (c *Cluster) askAll(ctx context.Context, payload []byte) (answered []gossip.Member, silent []NodeReport, warned map[string]source.Problems, err error) {
	return c.askEach(ctx, func(ctx context.Context, m gossip.Member) (source.Problems, error) { return c.canRun(ctx, m, payload) })
}

// askEach is askAll for any question.
func (c *Cluster) askEach(ctx context.Context, question func(context.Context, gossip.Member) (source.Problems, error)) (
	answered []gossip.Member, silent []NodeReport, warned map[string]source.Problems, err error,
) {
	warned = map[string]source.Problems{}
	ctx, cancel := context.WithTimeout(ctx, canRunTimeout)
	defer cancel()
	var mu sync.Mutex
	var refused RefusedError
	c.eachLive(func(m gossip.Member) {
		ps, err := question(ctx, m)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			silent = append(silent, NodeReport{Node: m.Name, Error: "does not answer: " + err.Error()})
		case ps.HasErrors():
			refused.Nodes = append(refused.Nodes, NodeProblems{m.Name, ps})
		default:
			answered, warned[m.Name] = append(answered, m), ps
		}
	})
	if len(refused.Nodes) > 0 {
		slices.SortFunc(refused.Nodes, func(a, b NodeProblems) int { return strings.Compare(a.Node, b.Node) })
		return nil, nil, nil, &refused
	}
	return answered, silent, warned, nil
}

// CanRun asks each live node whether it could run the payload, without changing anything. Nodes that have nothing to say
// are left out.
func (c *Cluster) CanRun(ctx context.Context, payload []byte) ([]NodeProblems, error) {
	if !c.up.Load() {
		return nil, ErrStopped
	}
	ctx, cancel := context.WithTimeout(ctx, canRunTimeout)
	defer cancel()
	var mu sync.Mutex
	var out []NodeProblems
	c.eachLive(func(m gossip.Member) {
		ps, err := c.canRun(ctx, m, payload)
		if err != nil {
			ps.Warnf(source.Pos{}, "", "does not answer: %v", err)
		}
		if len(ps) > 0 {
			mu.Lock()
			defer mu.Unlock()
			out = append(out, NodeProblems{m.Name, ps})
		}
	})
	slices.SortFunc(out, func(a, b NodeProblems) int { return strings.Compare(a.Node, b.Node) })
	return out, nil
}

// eachLive runs f for all live members at once and waits.
func (c *Cluster) eachLive(f func(gossip.Member)) {
	var wg sync.WaitGroup
	for _, m := range c.dirs.get().all {
		if alive(m) {
			wg.Go(func() { f(m) })
		}
	}
	wg.Wait()
}

func (c *Cluster) canRun(ctx context.Context, m gossip.Member, payload []byte) (source.Problems, error) {
	if m.ID == c.dir.ID {
		return c.app.CanRun(ctx, payload), nil
	}
	return c.askProblems(ctx, m, methodCanRun, payload)
}

func (c *Cluster) askProblems(ctx context.Context, m gossip.Member, method string, body []byte) (source.Problems, error) {
	answer, err := c.mux.Call(ctx, mux.Target{ID: m.ID, Addr: m.RPC.String()}, method, body)
	if err != nil {
		return nil, err
	}
	var ps source.Problems
	if err := json.Unmarshal(answer, &ps); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return ps, nil
}

func (c *Cluster) serveCanRun(ctx context.Context, _ Peer, payload []byte) ([]byte, error) {
	if !c.up.Load() {
		return nil, ErrStopped
	}
	return json.Marshal(c.app.CanRun(ctx, payload))
}

// awaitAll waits until all nodes have finished with a version.
func (c *Cluster) awaitAll(ctx context.Context, nodes []gossip.Member, version uint64, begun time.Time) []NodeReport {
	return c.awaitEach(ctx, nodes, begun, func(ctx context.Context, m gossip.Member) NodeReport { return c.awaitOne(ctx, m, version) })
}

// awaitEach asks all nodes at once and waits for their reports.
func (c *Cluster) awaitEach(ctx context.Context, nodes []gossip.Member, begun time.Time, await func(context.Context, gossip.Member) NodeReport) []NodeReport {
	// The answer itself has to travel back before the caller's deadline.
	deadline := begun.Add(runTimeout)
	if d, ok := ctx.Deadline(); ok {
		deadline = earlier(deadline, d.Add(-time.Until(d)/10))
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	reports := make([]NodeReport, len(nodes))
	var wg sync.WaitGroup
	for i, m := range nodes {
		wg.Go(func() {
			reports[i] = await(ctx, m)
			reports[i].Node, reports[i].Took = m.Name, time.Since(begun)
		})
	}
	wg.Wait()
	return reports
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

type runningRequest struct{ Version uint64 }

func (c *Cluster) awaitOne(ctx context.Context, m gossip.Member, version uint64) NodeReport {
	if m.ID == c.dir.ID {
		return c.report.wait(ctx, version)
	}
	r, err := ask[NodeReport](ctx, c, mux.Target{ID: m.ID, Addr: m.RPC.String()}, methodRunning, runningRequest{version})
	if err != nil {
		return NodeReport{Error: "does not answer: " + err.Error()}
	}
	return r
}

func (c *Cluster) serveRunning(ctx context.Context, _ Peer, q runningRequest) (NodeReport, error) {
	ctx, cancel := inTime(ctx)
	defer cancel()
	return c.report.wait(ctx, q.Version), nil
}

// inTime ends before ctx does: a report has to leave before the caller stops waiting.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, d.Add(-time.Until(d)/10))
	}
	return ctx, func() {}
}

// Reports asks all live nodes what they run now.
func (c *Cluster) Reports(ctx context.Context) ([]NodeReport, error) {
	if !c.up.Load() {
		return nil, ErrStopped
	}
	ctx, cancel := context.WithTimeout(ctx, canRunTimeout)
	defer cancel()
	var mu sync.Mutex
	var out []NodeReport
	c.eachLive(func(m gossip.Member) {
		r := c.awaitOne(ctx, m, 0)
		r.Node = m.Name
		mu.Lock()
		defer mu.Unlock()
		out = append(out, r)
	})
	slices.SortFunc(out, func(a, b NodeReport) int { return strings.Compare(a.Node, b.Node) })
	return out, nil
}

// seed proposes this node's own files as the first version when there is none. It is tried again each second as long as
// this node leads, but said once.
func (c *Cluster) seed(ctx context.Context) {
	if _, ok := c.Config(); ok {
		return
	}
	payload := c.app.Seed()
	if payload == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	var none uint64
	out, err := c.proposeHere(ctx, Proposal{Payload: payload, Summary: "the files of " + c.conf.Name, Author: c.conf.Name, Base: &none}, true)
	switch {
	case err == nil:
		c.log.Info("first configuration is this node's own", "version", out.Version.Version)
	case errors.As(err, new(*ConflictError)), errors.Is(err, ErrNotLeader), ctx.Err() != nil:
	default:
		if text := err.Error(); c.seedTrouble.Swap(text) != text {
			c.log.Error("this node's own configuration can't be the first of the cluster", "error", err)
		}
	}
}
