package cluster

import (
	"context"
	"sync"
	"time"
)

// running is what this node's program says that it runs.
type running struct {
	node string

	mu      sync.Mutex
	version uint64 // runs
	tried   uint64 // newest it was told of and has finished with
	problem string // why it does not run tried
	changed chan struct{}
}

func (r *running) init(node string) {
	r.node, r.changed = node, make(chan struct{})
}

func (r *running) set(version uint64, problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version < r.tried {
		return
	}
	r.tried, r.problem = version, problem
	if problem == "" {
		r.version = version
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait returns the node's report once it has finished with version, or as it is when ctx ends.
func (r *running) wait(ctx context.Context, version uint64) NodeReport {
	begun := time.Now()
	for {
		r.mu.Lock()
		rep := NodeReport{Node: r.node, Version: r.version, Took: time.Since(begun)}
		if r.tried >= version {
			rep.Error = r.problem
			r.mu.Unlock()
			return rep
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			rep.Error = "still working on it"
			return rep
		}
	}
}

// Running tells the cluster that the program has finished with a version: it runs it, or it can't for the problem named
// and goes on with what it ran before.
func (c *Cluster) Running(version uint64, problem string) { c.report.set(version, problem) }
