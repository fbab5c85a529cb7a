package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/gossip"
	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/internal/source"
)

// TLS is what all nodes serve TLS with, beyond their files.
type TLS = fsm.TLS

// TLSChange is a wanted change of it.
type TLSChange = fsm.TLSChange

// TLSPart is what changes of TLS are made to, for who keeps them by himself.
type TLSPart = fsm.TLSPart

// Certificate is what all nodes show in place of a file.
type Certificate = fsm.Certificate

// Secret is bytes that no log shows.
type Secret = fsm.Secret

var (
	// ErrNotSet: no certificate stands in place of that file.
	ErrNotSet = fsm.ErrNotSet
	// ErrFull: as many certificates are set as are kept.
	ErrFull = fsm.ErrFull
)

// changedTLS is a change's outcome as it crosses the network.
type changedTLS struct {
	Reports []NodeReport
}

// ChangeTLS sets or takes back a certificate, or sets ticket keys, on every node: the leader asks each live node what it
// thinks of the change, commits it, and waits until each has told that it serves so. It works on any node, and its errors,
// its reports and its deadline are Propose's; Version in a report is no configuration's. ErrNotSet and ErrFull change
// nothing, either.
func (c *Cluster) ChangeTLS(ctx context.Context, change TLSChange) ([]NodeReport, error) {
	if err := change.Fits(); err != nil {
		return nil, fmt.Errorf("%w: %w", fsm.ErrMalformed, err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, proposeTimeout)
		defer cancel()
	}
	var out changedTLS
	err := c.atLeader(ctx,
		func() (err error) {
			out, err = c.changeTLSHere(ctx, change)
			return err
		},
		func(t mux.Target) (err error) {
			out, err = ask[changedTLS](ctx, c, t, methodTLS, change)
			return err
		})
	return out.Reports, err
}

func (c *Cluster) serveTLS(ctx context.Context, _ Peer, change TLSChange) (changedTLS, error) {
	if err := change.Fits(); err != nil {
		return changedTLS{}, fmt.Errorf("%w: %w", fsm.ErrMalformed, err)
	}
	return c.changeTLSHere(ctx, change)
}

// changeTLSHere is ChangeTLS on the leader.
func (c *Cluster) changeTLSHere(ctx context.Context, change TLSChange) (changedTLS, error) {
	if !c.lead.get().led {
		return changedTLS{}, ErrNotLeader
	}
	answered, silent, warned, err := c.askAllAboutTLS(ctx, change)
	if err != nil {
		return changedTLS{}, err
	}
	if _, err := c.applyHere(ctx, fsm.TLSCommand(time.Now(), change)); err != nil {
		return changedTLS{}, err
	}
	// This change, or one after it: nodes are told what there is, not every step.
	begun, index := time.Now(), c.TLS().Index
	reports := append(c.awaitEach(ctx, answered, begun, func(ctx context.Context, m gossip.Member) NodeReport {
		return c.awaitTLS(ctx, m, index)
	}), silent...)
	slices.SortFunc(reports, func(a, b NodeReport) int { return cmp.Compare(a.Node, b.Node) })
	for i := range reports {
		reports[i].Problems = warned[reports[i].Node]
	}
	return changedTLS{reports}, nil
}

// askAllAboutTLS is askAll for a change of TLS.
func (c *Cluster) askAllAboutTLS(ctx context.Context, change TLSChange) (answered []gossip.Member, silent []NodeReport, warned map[string]source.Problems, err error) {
	body, err := json.Marshal(change)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("write request: %w", err)
	}
	return c.askEach(ctx, func(ctx context.Context, m gossip.Member) (source.Problems, error) {
		if m.ID == c.dir.ID {
			return c.app.CanServe(ctx, change), nil
		}
		return c.askProblems(ctx, m, methodCanServe, body)
	})
}

func (c *Cluster) serveCanServe(ctx context.Context, _ Peer, change TLSChange) (source.Problems, error) {
	if !c.up.Load() {
		return nil, ErrStopped
	}
	return c.app.CanServe(ctx, change), nil
}

func (c *Cluster) awaitTLS(ctx context.Context, m gossip.Member, index uint64) NodeReport {
	if m.ID == c.dir.ID {
		return c.serving.wait(ctx, index)
	}
	r, err := ask[NodeReport](ctx, c, mux.Target{ID: m.ID, Addr: m.RPC.String()}, methodServing, runningRequest{index})
	if err != nil {
		return NodeReport{Error: "does not answer: " + err.Error()}
	}
	return r
}

func (c *Cluster) serveServing(ctx context.Context, _ Peer, q runningRequest) (NodeReport, error) {
	ctx, cancel := inTime(ctx)
	defer cancel()
	return c.serving.wait(ctx, q.Version), nil
}

// Serving tells the cluster that the program has finished with what TLSCommitted told it last: it serves so, or it can't for
// the problem named.
func (c *Cluster) Serving(index uint64, problem string) { c.serving.set(index, problem) }

// TLS is what is agreed on, as this node has it.
func (c *Cluster) TLS() (t TLS) {
	c.readState(func(*fsm.State) { t = c.tlsPart.Contents() })
	return t
}

// renewTicketKey makes a new ticket key when the newest one is old: who learns a key can open what it sealed, so that none
// may seal for ever. Where none was set each node goes on with its own. Nodes are not asked: they have keys like it.
func (c *Cluster) renewTicketKey(ctx context.Context) {
	now := time.Now()
	var change TLSChange
	var old bool
	c.readState(func(*fsm.State) { change, old = NewTicketKey(&c.tlsPart, now, c.conf.TicketKeyAge) })
	if !old {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.applyHere(ctx, fsm.TLSCommand(now, change)); err != nil {
		c.log.Debug("could not renew the ticket key", "error", err)
		return
	}
	c.log.Info("the ticket key was old: a new one seals", "age", c.conf.TicketKeyAge)
}

// NewTicketKey is the change that puts a new key, made at random, before one that was set longer than age ago; false: there
// is none that is so old.
func NewTicketKey(p *TLSPart, now time.Time, age time.Duration) (TLSChange, bool) {
	length, old := p.OldTicketKey(now, age)
	if !old {
		return TLSChange{}, false
	}
	key := make(Secret, length)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	return TLSChange{TicketKeys: []Secret{key}}, true
}

// keptTLS is the file that holds what was told last: a node that starts again shows the certificates that it showed before,
// at once and without a majority. It holds private keys, as the log does.
const keptTLS = "tls.json"

// secrets tells of certificates and ticket keys, if there is news, and returns the index that was told.
func (t *teller) secrets(told uint64) uint64 {
	now := t.c.TLS()
	if now.Index <= told {
		return told
	}
	t.c.app.TLSCommitted(now)
	b, err := json.Marshal(now)
	if err == nil {
		err = t.c.dir.Keep(keptTLS, b)
	}
	if err != nil {
		t.c.log.Error("could not keep the certificates for the next start", "error", err)
	}
	return now.Index
}

// lastSecrets tells what was kept and returns its index; 0 if there is nothing.
func (t *teller) lastSecrets() uint64 {
	b, err := t.c.dir.Kept(keptTLS)
	if err != nil {
		t.c.log.Error("could not read the certificates of the last run", "error", err)
	}
	if err != nil || b == nil {
		return 0
	}
	var last TLS
	if json.Unmarshal(b, &last) != nil || last.Index == 0 { // its error might tell of keys
		t.c.log.Error("the certificates of the last run are damaged; waiting for the cluster's", "file", keptTLS)
		return 0
	}
	t.c.app.TLSCommitted(last)
	return last.Index
}
