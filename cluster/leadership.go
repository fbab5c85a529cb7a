package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/raftnode"
	"github.com/reeve-lb/reeve/internal/boottime"
)

// leading is what this node knows of who leads. Values are never changed once published.
type leading struct {
	leader  string // node id; "" if none is known
	led     bool   // this node leads, and its state holds all that earlier leaders committed
	term    uint64 // in which it leads
	elected boottime.Time
	voters  []string // ids, sorted
}

func (l leading) equal(o leading) bool {
	return l.leader == o.leader && l.led == o.led && l.term == o.term && l.elected == o.elected && slices.Equal(l.voters, o.voters)
}

// leadership publishes it.
type leadership struct {
	mu       sync.Mutex
	now      leading
	watchers map[chan struct{}]struct{}
	poked    chan struct{}
}

func (l *leadership) init() {
	l.watchers = map[chan struct{}]struct{}{}
	l.poked = make(chan struct{}, 1)
}

// poke asks follow to look again.
func (l *leadership) poke() {
	select {
	case l.poked <- struct{}{}:
	default:
	}
}

func (l *leadership) get() leading {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// set publishes; true if anything changed.
func (l *leadership) set(n leading) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now.equal(n) {
		return false
	}
	l.now = n
	for ch := range l.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	return true
}

// changed is signalled after each change until ctx ends.
func (l *leadership) changed(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, ch)
	})
	return ch
}

// Leader is the name of the leader that this node knows of.
func (c *Cluster) Leader() (name string, ok bool) {
	id := c.lead.get().leader
	if id == "" {
		return "", false
	}
	return c.nameOf(id), true
}

// IsLeader reports whether this node leads and is ready to act.
func (c *Cluster) IsLeader() bool { return c.lead.get().led }

// LeaderChanged is signalled (capacity 1) after each change of leader until ctx ends.
func (c *Cluster) LeaderChanged(ctx context.Context) <-chan struct{} { return c.lead.changed(ctx) }

// reign is one term of this node as leader.
type reign struct {
	term    uint64
	elected boottime.Time
	stop    context.CancelFunc
	ready   chan struct{} // closed when the barrier is passed
}

// follow watches Raft, publishes who leads, and does the leader's duties while it is this node.
func (c *Cluster) follow(ctx context.Context) error {
	obs := make(chan raft.Observation, 64)
	// Observations only say when to look: one that is dropped costs at most a tick.
	o := raft.NewObserver(obs, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.RaftState, raft.LeaderObservation, raft.PeerObservation:
			return true
		}
		return false
	})
	r := c.node.Raft()
	r.RegisterObserver(o)
	defer r.DeregisterObserver(o)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var cur *reign
	var reigns sync.WaitGroup
	defer func() {
		cur.end()
		reigns.Wait()
	}()
	for {
		cur = c.look(ctx, cur, &reigns)
		var ready chan struct{}
		if cur != nil && !c.lead.get().led {
			ready = cur.ready
		}
		select {
		case <-ctx.Done():
			c.lead.set(leading{})
			return nil
		case <-obs:
		case <-ready:
		case <-c.lead.poked:
		case <-tick.C:
		}
	}
}

// look publishes what Raft says now and begins or ends a reign.
func (c *Cluster) look(ctx context.Context, cur *reign, reigns *sync.WaitGroup) *reign {
	r := c.node.Raft()
	term, state := r.CurrentTerm(), r.State()
	if state != raft.Leader || (cur != nil && cur.term != term) {
		cur.end() // not waited for: the news that this node no longer leads must not wait for its duties
		cur = nil
	}
	if state == raft.Leader && cur == nil && ctx.Err() == nil {
		cur = c.reign(ctx, term, reigns)
	}
	_, id := r.LeaderWithID()
	n := leading{leader: string(id)}
	for _, s := range c.node.Servers() {
		if s.Suffrage == raft.Voter {
			n.voters = append(n.voters, string(s.ID))
		}
	}
	slices.Sort(n.voters)
	if cur != nil {
		n.term, n.elected = cur.term, cur.elected
		select {
		case <-cur.ready:
			n.led = true
		default:
		}
	}
	before := c.lead.get()
	if !c.lead.set(n) {
		return cur
	}
	if before.leader != n.leader || before.led != n.led {
		name, _ := c.Leader()
		c.log.Info("cluster leader", "leader", name, "self", n.led, "term", term, "voters", len(n.voters))
		c.tables.Retry()
	}
	return cur
}

func (r *reign) end() {
	if r != nil {
		r.stop()
	}
}

// reign begins the duties of a leader: first all of what was committed before has to be applied here.
func (c *Cluster) reign(ctx context.Context, term uint64, reigns *sync.WaitGroup) *reign {
	ctx, stop := context.WithCancel(ctx)
	r := &reign{term: term, elected: boottime.Now(), stop: stop, ready: make(chan struct{})}
	reigns.Go(func() {
		if err := c.establish(ctx, term); err != nil {
			if ctx.Err() == nil {
				c.log.Warn("won an election but cannot lead", "term", term, "error", err)
				c.lead.poke() // Raft will have stepped down
			}
			return
		}
		close(r.ready)
		c.duties(ctx)
	})
	return r
}

func (c *Cluster) establish(ctx context.Context, term uint64) error {
	for {
		err := raftnode.Wait(ctx, c.node.Raft().Barrier(10*time.Second))
		if err == nil {
			break
		}
		if !errors.Is(err, raft.ErrEnqueueTimeout) {
			return err
		}
	}
	if err := c.isStuck(); err != nil {
		// It can't know what it would decide on: let another one lead.
		_ = raftnode.Wait(ctx, c.node.Raft().LeadershipTransfer())
		return err
	}
	if r := c.node.Raft(); r.State() != raft.Leader || r.CurrentTerm() != term {
		return ErrNotLeader
	}
	return nil
}

// duties are what a leader does until ctx ends.
func (c *Cluster) duties(ctx context.Context) {
	changed := c.gossip.Changed(ctx)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seeding := make(chan struct{}, 1)
	var seeds sync.WaitGroup
	defer seeds.Wait()
	rec := newReconciler(c)
	next := time.Time{}
	for {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(rec.run(ctx))
		}
		c.expireEntries(ctx)
		c.renewTicketKey(ctx)
		select {
		case seeding <- struct{}{}:
			seeds.Go(func() {
				defer func() { <-seeding }()
				c.seed(ctx)
			})
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			next = time.Time{}
		case <-tick.C:
		case <-rec.due():
			next = time.Time{}
		}
	}
}

// expireEntries lets age count when nothing else is written.
func (c *Cluster) expireEntries(ctx context.Context) {
	var due bool
	now := time.Now()
	c.readState(func(s *fsm.State) {
		at, ok := s.NextExpiry()
		due = ok && !at.After(now)
	})
	if !due {
		return
	}
	actx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.node.Apply(actx, fsm.TablesCommand(now, nil, nil)); err != nil && ctx.Err() == nil {
		c.log.Debug("could not expire sticky entries", "error", err)
	}
}
