package lease

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const (
	dialTimeout  = 400 * time.Millisecond
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = 500 * time.Millisecond
	// pollLeader bounds the wait for a leader to be known, should a signal be missed.
	pollLeader = 5 * time.Second
)

// Client is a node's side: it stands for instances and tells what the cluster decided. All methods are safe for
// concurrent use and none but Run blocks.
type Client struct {
	conf     Config
	log      hclog.Logger
	service  *Service
	verdicts chan Verdict
	box      *mailbox
	wake     chan struct{}   // capacity 1: the loop has to look again
	timer    *boottime.Timer // when it looks at the latest
	armed    boottime.Time   // what timer is set to; guarded by mu
	dropped  atomic.Uint64
	settling sync.WaitGroup // grants that wait for the log; each begins under Run's stream

	mu     sync.Mutex
	ctx    context.Context // of Run
	h      *holder
	up     *outbox // the stream; nil: none
	leader Peer
	heard  boottime.Time // last frame on the stream
}

// New makes the two drivers of a node. Neither does anything before its Run; both Runs must go on at once.
func New(conf Config) (*Client, *Service, error) {
	if conf.Logger == nil {
		conf.Logger = hclog.NewNullLogger()
	}
	conf.TTL, conf.Renew, conf.Margin = orDefault(conf.TTL, DefaultTTL), orDefault(conf.Renew, DefaultRenew), orDefault(conf.Margin, DefaultMargin)
	conf.Settle = orDefault(conf.Settle, DefaultSettle)
	switch {
	case conf.ID == "" || conf.Node == "" || len(conf.ID) > maxName || len(conf.Node) > maxName:
		return nil, nil, errors.New("leases: a node needs an ID and a name of 1 to 255 bytes")
	case conf.Log == nil || conf.Transport == nil:
		return nil, nil, errors.New("leases: neither Log nor Transport may be nil")
	case conf.TTL < 30*time.Millisecond || conf.Renew < 5*time.Millisecond || conf.Renew > conf.TTL/3:
		return nil, nil, fmt.Errorf("leases: TTL %v with a renewal every %v: TTL is 30 ms at least and three renewals long", conf.TTL, conf.Renew)
	case conf.TTL%time.Millisecond != 0:
		return nil, nil, fmt.Errorf("leases: TTL %v is not in whole milliseconds", conf.TTL)
	}
	life := make([]byte, 8)
	if _, err := rand.Read(life); err != nil {
		return nil, nil, fmt.Errorf("leases: %w", err)
	}
	now := boottime.Now()
	c := &Client{
		conf: conf, log: conf.Logger, verdicts: make(chan Verdict), box: newMailbox(), wake: make(chan struct{}, 1),
		h: newHolder(conf.Node, binary.BigEndian.Uint64(life)|1, conf.TTL, conf.Renew, now),
	}
	s := newService(conf, c)
	c.service = s
	return c, s, nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Run takes part until ctx ends. It closes the verdicts before it returns. It may be called once.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.verdicts)
	timer, err := boottime.NewTimer()
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	defer timer.Close()
	c.mu.Lock()
	c.timer, c.ctx = timer, ctx
	c.h.good = boottime.Now()
	c.mu.Unlock()
	var tasks sync.WaitGroup
	tasks.Go(func() { c.deliver(ctx) })
	tasks.Go(func() { c.connect(ctx) })
	c.loop(ctx)
	tasks.Wait()
	c.settling.Wait()
	return ctx.Err()
}

// loop sends renewals and looks at what runs out.
func (c *Client) loop(ctx context.Context) {
	for fired := false; ; {
		now := boottime.Now()
		c.mu.Lock()
		if fired {
			c.armed = 0
		}
		c.h.expire(now)
		if c.up != nil {
			if now.Sub(c.heard) > 2*c.conf.TTL {
				c.up.abort() // its TCP may be dead without knowing; a new one finds a healed link faster
			} else if !now.Before(c.h.due) {
				// The renewal's moment is taken before a byte is written, and before the term is read.
				c.up.send(func(b []byte) []byte {
					now := boottime.Now()
					return c.h.renewal(b, now, c.conf.Log.Term())
				})
			}
		}
		c.flush()
		c.arm(now)
		c.mu.Unlock()
		fired = false
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-c.timer.C:
			fired = true
		}
	}
}

// arm sets the loop's timer; c.mu is held. An answer, which puts the next renewal off by a little, does it too: the loop
// would else wake for nothing each time.
func (c *Client) arm(now boottime.Time) {
	next := c.h.deadline()
	if c.up != nil {
		next = min(next, max(c.h.due, now.Add(time.Millisecond)))
	}
	if next = min(next, now.Add(c.conf.TTL)); next != c.armed {
		c.armed = next
		c.timer.Set(next)
	}
}

// flush hands the verdicts over; c.mu is held, so that they keep their order.
func (c *Client) flush() {
	for i := range c.h.out {
		if v := &c.h.out[i]; v.Kind == Granted {
			c.settle(c.ctx, v.Instance, v.Epoch)
		}
	}
	c.box.put(c.h.out)
	c.h.out = c.h.out[:0]
}

// settle holds a Granted back until this node knows what was agreed on before it: the news comes by a stream of its own and
// may overtake the log.
func (c *Client) settle(ctx context.Context, instance string, epoch uint64) {
	c.box.hold(instance, epoch)
	c.settling.Go(func() {
		defer c.box.release(instance, epoch)
		wait, cancel := context.WithTimeout(ctx, c.conf.Settle)
		defer cancel()
		if err := c.conf.Log.Applied(wait, instance, epoch); err != nil && ctx.Err() == nil {
			c.log.Warn("holds a lease without knowing all that was agreed on before it", "instance", instance, "epoch", epoch, "error", err)
		}
	})
}

func (c *Client) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// deliver hands verdicts to their reader.
func (c *Client) deliver(ctx context.Context) {
	for {
		v, ok := c.box.take()
		if !ok {
			select {
			case <-c.box.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case c.verdicts <- v:
		case <-ctx.Done():
			return
		}
	}
}

// connect keeps a stream to whoever leads.
func (c *Client) connect(ctx context.Context) {
	changed := c.conf.Log.Changed(ctx)
	for ctx.Err() == nil {
		leader, ok := c.knownLeader()
		if !ok {
			pause(ctx, changed, pollLeader)
			continue
		}
		follow, cancel := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() {
			defer cancel()
			for follow.Err() == nil {
				if now, ok := c.knownLeader(); ok && now.ID != leader.ID {
					return
				}
				pause(follow, changed, pollLeader)
			}
		})
		c.follow(follow, leader)
		cancel()
		watch.Wait()
	}
}

func (c *Client) knownLeader() (Peer, bool) {
	l := c.conf.Log.Leadership()
	c.mu.Lock()
	c.h.voters = 0 // a node that does not vote can't count itself among a pair that lost its quorum
	if slices.Contains(l.Voters, c.conf.ID) {
		c.h.voters = len(l.Voters)
	}
	c.mu.Unlock()
	return l.Leader, l.Leader.ID != ""
}

func pause(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C:
	}
}

// follow dials the leader, again and again, and reads the stream, until ctx ends.
func (c *Client) follow(ctx context.Context, leader Peer) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		begun := time.Now()
		err := c.stream(ctx, leader)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > time.Second {
			backoff = firstBackoff
		}
		c.log.Debug("stream to the leader ended", "leader", leader.Name, "error", err)
		pause(ctx, nil, backoff)
		backoff = min(2*backoff, lastBackoff)
	}
}

func (c *Client) stream(ctx context.Context, leader Peer) error {
	var conn net.Conn
	if leader.ID == c.conf.ID {
		var served sync.WaitGroup
		defer served.Wait()
		near, far := net.Pipe()
		served.Go(func() { _ = c.service.Serve(ctx, Peer{ID: c.conf.ID, Name: c.conf.Node}, far) })
		conn = near
	} else {
		var err error
		dctx, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err = c.conf.Transport.Dial(dctx, leader.ID)
		cancel()
		if err != nil {
			return fmt.Errorf("dial %s: %w", leader.ID, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { abort(conn) })
	defer stop()
	up := newOutbox(conn)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer conn.Close() // before the wait: a writer that is blocked gives up
	ended := make(chan struct{})
	defer close(ended)
	writer.Go(func() { up.run(ended) })
	c.attach(up, leader)
	defer c.detach()
	return c.read(conn)
}

// attach begins a stream: hello, the words that the leader may have missed, a full renewal.
func (c *Client) attach(up *outbox, leader Peer) {
	words := c.service.recent()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := boottime.Now()
	c.up, c.leader, c.heard = up, leader, now
	c.h.connected(now)
	up.send(func(b []byte) []byte {
		b = appendHello(b, hello{peer: Peer{ID: c.conf.ID, Name: c.conf.Node}, address: c.conf.Address, life: c.h.life})
		if len(words) > 0 {
			b = appendWords(b, words)
		}
		return c.h.renewal(b, now, c.conf.Log.Term())
	})
	c.nudge()
}

func (c *Client) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = nil
}

func (c *Client) read(conn net.Conn) error {
	r := frameReader{limit: maxFrame}
	for {
		kind, body, err := r.next(conn)
		if err != nil {
			return err
		}
		if err := c.frame(kind, body); err != nil {
			c.dropped.Add(1)
			return err
		}
	}
}

// frame takes one frame from the leader.
func (c *Client) frame(kind byte, body []byte) error {
	switch kind {
	case frameAsk:
		round, _, err := decodePair(body)
		if err != nil {
			return err
		}
		c.confirm(round)
		return nil
	case frameAnswer:
		seq, gen, term, late, err := decodeAnswer(body)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conf.Log.Led(c.leader.ID, term)
		now := boottime.Now()
		c.heard = now
		c.h.answered(seq, gen, late, now)
		c.flush()
		c.arm(now)
	case frameView:
		v, err := decodeView(body)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard = boottime.Now()
		c.h.viewed(v)
	case frameResend:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard = boottime.Now()
		c.h.resend(c.heard)
		c.nudge()
	default:
		return fmt.Errorf("frame of kind %d from the leader: %w", kind, ErrProtocol)
	}
	return nil
}

// confirm tells the term. It is read after the round's question came: that is the point of it.
func (c *Client) confirm(round uint64) {
	term := c.conf.Log.Term()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = boottime.Now()
	c.up.send(func(b []byte) []byte { return appendPair(b, frameConfirm, round, term) })
}

// forward hands guards' words on to the leader, if there is a stream; a later stream begins with them.
func (c *Client) forward(words []Word) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up != nil && c.leader.ID != c.conf.ID {
		c.up.send(func(b []byte) []byte { return appendWords(b, words) })
	}
}

// Stand says, at first and after each change, how good this node's candidacy for the instance is. Durations are sent
// in milliseconds.
func (c *Client) Stand(instance string, cand Candidacy) {
	c.change(func(now boottime.Time) {
		if err := c.h.stand(instance, cand, now); err != nil {
			c.log.Error("can't stand for an instance", "instance", instance, "error", err, "limit", maxCandidacies)
		}
	})
}

// Withdraw ends the candidacy: the instance is no longer configured here. Its addresses must be off by then.
func (c *Client) Withdraw(instance string) {
	c.change(func(now boottime.Time) { c.h.withdraw(instance, now) })
}

// Released gives the lease of that epoch back. Call it only after the addresses are off this machine: after Yield, after
// Lost, or by will.
func (c *Client) Released(instance string, epoch uint64) {
	c.change(func(now boottime.Time) { c.h.release(instance, epoch, now) })
}

func (c *Client) change(f func(now boottime.Time)) {
	c.mu.Lock()
	f(boottime.Now())
	c.flush()
	c.mu.Unlock()
	c.nudge()
}

// Verdicts delivers what the cluster decided. It is closed when Run ends. A Granted comes once this node has applied all that
// was agreed on before it (Log.Applied), or after Config.Settle. A slow reader misses no Granted, Lost or Yield that
// still means something; what a later one overtook is left out.
func (c *Client) Verdicts() <-chan Verdict { return c.verdicts }

// Status tells who holds what and who stands for it, as the leader told last.
func (c *Client) Status() Status {
	records := c.conf.Log.Records()
	now := boottime.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	st := Status{Quorum: c.h.quorum == Quorum, Dropped: c.dropped.Load() + c.service.dropped.Load()}
	if st.Quorum {
		st.Leader = c.leader.Name
	}
	if !st.Quorum || c.h.view == nil {
		for _, r := range records {
			st.Leases = append(st.Leases, LeaseStatus{Instance: r.Instance, Holder: r.Holder, Epoch: r.Epoch})
		}
		return st
	}
	for _, l := range c.h.view.leases {
		s := LeaseStatus{Instance: l.Instance, Holder: l.Holder, Epoch: l.Epoch, Yielding: l.yield, Candidates: append([]CandidateStatus(nil), l.candidates...)}
		if o := c.h.at[l.Instance]; o != nil && o.held != 0 && now.Before(o.expiry) {
			s.Mine, s.Expiry = true, o.expiry
		}
		st.Leases = append(st.Leases, s)
	}
	return st
}
