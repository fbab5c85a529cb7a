package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/tables"
)

// maxUntold bounds the changes that the program has not been told of. When it is slower than the log, they are dropped
// and the whole contents told instead.
const maxUntold = 1 << 16

// maxTold bounds one call of BindingsApplied.
const maxTold = 4096

// teller tells the App what was applied, away from the goroutine that applies.
type teller struct {
	c          *Cluster
	wakeTables chan struct{}
	wakeConfig chan struct{}

	mu      sync.Mutex
	changes []tables.Change
	reset   bool
	waiting []chan struct{} // closed once what is untold now was told
	moved   chan struct{}   // closed and replaced when leases have changed
}

func (t *teller) init(c *Cluster) {
	t.c = c
	t.wakeTables, t.wakeConfig = make(chan struct{}, 1), make(chan struct{}, 1)
	t.moved = make(chan struct{})
	t.restored()
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// applied is called in log order by the goroutine that applies, before anything later is applied.
func (t *teller) applied(_ uint64, r fsm.Result) {
	switch {
	case (r.Type == fsm.TypeConfig || r.Type == fsm.TypeTLS) && r.Err == nil:
		wake(t.wakeConfig)
	case r.Type == fsm.TypeLease:
		t.leaseMoved()
	case len(r.Changes) > 0:
		t.mu.Lock()
		if !t.reset {
			if t.changes = append(t.changes, r.Changes...); len(t.changes) > maxUntold {
				t.changes, t.reset = nil, true
			}
		}
		t.mu.Unlock()
		wake(t.wakeTables)
	}
}

// moves is closed when leases change after the call.
func (t *teller) moves() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moved
}

func (t *teller) leaseMoved() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.moved)
	t.moved = make(chan struct{})
}

// restored is called when the whole state was replaced.
func (t *teller) restored() {
	t.again()
	t.leaseMoved()
	wake(t.wakeConfig)
}

// again has the whole contents of the tables told.
func (t *teller) again() {
	t.mu.Lock()
	t.changes, t.reset = nil, true
	t.mu.Unlock()
	wake(t.wakeTables)
}

// bindings tells of sticky entries until ctx ends.
func (t *teller) bindings(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wakeTables:
		}
		t.mu.Lock()
		waiting := t.waiting
		t.waiting = nil
		t.mu.Unlock()
		for chunk := range slices.Chunk(t.take(), maxTold) {
			if ctx.Err() != nil {
				return nil
			}
			t.c.app.BindingsApplied(chunk)
		}
		for _, w := range waiting {
			close(w)
		}
	}
}

// barrier returns once everything that was applied before the call has been told.
func (t *teller) barrier(ctx context.Context) error {
	told := make(chan struct{})
	t.mu.Lock()
	t.waiting = append(t.waiting, told)
	t.mu.Unlock()
	wake(t.wakeTables)
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take returns what is untold. The state is read under the lock that applying needs, so nothing is lost:
// entries applied before are in the contents, those after in changes.
func (t *teller) take() (out []tables.Change) {
	t.mu.Lock()
	if !t.reset {
		defer t.mu.Unlock()
		out, t.changes = t.changes, nil
		return out
	}
	t.mu.Unlock()
	t.c.node.Read(func(s *fsm.State) {
		t.mu.Lock()
		t.changes, t.reset = nil, false
		t.mu.Unlock()
		out = append(out, tables.Change{Kind: tables.Reset})
		for e := range s.Entries("") {
			out = append(out, tables.Change{Kind: tables.Bound, Entry: e})
		}
	})
	return out
}

// keptConfig is the file that holds the version told last. A node that starts again runs it at once: it need not wait for
// a majority to learn what it already knew, nor run the older ones that its log holds too.
const keptConfig = "config.json"

// configs tells of versions until ctx ends: at first the one of the last life, or the newest there is; then each. Certificates
// are told first: a configuration may name files that this node has only by them.
func (t *teller) configs(ctx context.Context) error {
	secrets := t.lastSecrets()
	told := t.lastLife()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wakeConfig:
		}
		secrets = t.secrets(secrets)
		vs := t.c.History()
		if told == 0 && len(vs) > 1 {
			vs = vs[len(vs)-1:]
		}
		for _, v := range vs {
			if v.Version <= told || ctx.Err() != nil {
				continue
			}
			t.c.app.ConfigCommitted(v)
			told = v.Version
			if err := t.keep(v); err != nil {
				t.c.log.Error("could not keep the configuration for the next start", "version", v.Version, "error", err)
			}
		}
	}
}

func (t *teller) keep(v ConfigVersion) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.c.dir.Keep(keptConfig, b)
}

// lastLife tells of the kept version and returns its number; 0 if there is none.
func (t *teller) lastLife() uint64 {
	b, err := t.c.dir.Kept(keptConfig)
	if err != nil || b == nil {
		if err != nil {
			t.c.log.Error("could not read the configuration of the last run", "error", err)
		}
		return 0
	}
	var v ConfigVersion
	if err := json.Unmarshal(b, &v); err != nil || v.Version == 0 {
		t.c.log.Error("the configuration of the last run is damaged; waiting for the cluster's", "file", keptConfig, "error", err)
		return 0
	}
	t.c.app.ConfigCommitted(v)
	return v.Version
}
