package guard

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const (
	// flushEvery is how often what a full socket held back is offered again.
	flushEvery = 5 * time.Millisecond
	// A guard that dies is replaced at once, one that keeps dying after a pause that doubles up to backoffMax.
	backoffMin = 50 * time.Millisecond
	backoffMax = 5 * time.Second
	// livedLong is how long a guard must have lived for its death to count as the first.
	livedLong = time.Minute
)

// Options of Start.
type Options struct {
	Exe    string         // default: /proc/self/exe, the running binary even when it was replaced on disk
	Args   []string       // the hidden subcommand that calls Main
	Logger hclog.Logger   // nil: none
	Stderr *os.File       // where the guard writes its own log; nil: nowhere
	Gone   func(Released) // told what the guard removed; called from the client's goroutine, must not block; may be nil
}

// Stats counts what happened to a Client's guards.
type Stats struct {
	PID     int    // of the guard that runs now, 0 for none
	Starts  uint64 // guards started; more than one means that some died
	Held    uint64 // messages that found the socket full and waited; only the latest of an instance waits
	Removed uint64 // instances whose addresses the guard took off
}

// Client is the agent's side of a guard. All methods are safe for concurrent use and none waits for the guard.
type Client struct {
	o      Options
	log    hclog.Logger
	cancel context.CancelFunc
	done   chan struct{}
	kick   chan struct{} // cap 1: something is pending

	mu      sync.Mutex
	link    *link // nil while no guard runs
	holding map[string]Holding
	blob    []byte
	pending map[string]bool // instances whose latest state the guard does not have
	unsaid  bool            // the blob too
	closing bool
	buf     []byte

	pid                   atomic.Int64
	starts, held, removed atomic.Uint64
}

// Start starts a guard and returns when it is ready. ctx bounds the starting only; the guard is watched, and started
// again when it dies, until Close.
func Start(ctx context.Context, o Options) (*Client, error) {
	c := newClient(o)
	l, err := launch(ctx, c.o)
	if err != nil {
		return nil, err
	}
	c.adopt(l)
	c.begin()
	return c, nil
}

func newClient(o Options) *Client {
	if o.Exe == "" {
		o.Exe = "/proc/self/exe"
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Client{
		o: o, log: o.Logger, done: make(chan struct{}), kick: make(chan struct{}, 1),
		holding: map[string]Holding{}, pending: map[string]bool{},
	}
}

// begin starts the goroutines that Close waits for.
func (c *Client) begin() {
	life, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.supervise(life)
}

// Pet tells the guard that the instance has its addresses on until h.Expiry. Call it before the addresses go on and at
// each renewal. It keeps h.Addresses: don't change them afterwards.
func (c *Client) Pet(h Holding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	looks := boottime.Time(0)
	if old, ok := c.holding[h.Instance]; ok && h.extends(old) {
		looks = old.Expiry
	}
	c.holding[h.Instance] = h
	c.offer(h.Instance, looks)
}

// extends reports whether h only moves away the expiry of what the guard was told before.
func (h Holding) extends(old Holding) bool {
	return h.Epoch == old.Epoch && !h.Expiry.Before(old.Expiry) && slices.Equal(h.Addresses, old.Addresses)
}

// Drop makes the guard forget the instance: the agent took its addresses off itself.
func (c *Client) Drop(instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.holding, instance)
	c.offer(instance, 0)
}

// Say gives the guard what its hook Said needs to tell the cluster, in place of what it had. It fails when the blob is
// longer than BlobMax.
func (c *Client) Say(blob []byte) error {
	if len(blob) > BlobMax {
		return errors.New("instructions for the guard are too long")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blob, c.unsaid = slices.Clone(blob), true
	c.flush()
	return nil
}

// Alive reports whether a guard runs.
func (c *Client) Alive() bool { return c.pid.Load() != 0 }

// Done is closed when the client ended, after Close.
func (c *Client) Done() <-chan struct{} { return c.done }

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{PID: int(c.pid.Load()), Starts: c.starts.Load(), Held: c.held.Load(), Removed: c.removed.Load()}
}

// Close ends the guard by will: it takes off what was not dropped and does not tell of an agent's death. It waits for
// the client's goroutines, not for the guard. Calling it again does nothing.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closing {
		c.closing = true
		if c.link != nil {
			c.flush()
			c.buf = header(c.buf, kindBye)
			c.send() // a full socket: end of file, which wakes the guard anyway, then says the same, only louder
		}
		c.disown()
	}
	c.mu.Unlock()
	c.cancel()
	<-c.done
	return nil
}

// adopt makes a started guard the current one and tells it everything.
func (c *Client) adopt(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		l.close()
		return
	}
	c.link = l
	c.pid.Store(int64(l.pid))
	c.starts.Add(1)
	clear(c.pending)
	for name := range c.holding {
		c.pending[name] = true
	}
	c.unsaid = len(c.blob) > 0
	c.flush()
}

// disown lets go of the guard. c.mu is held.
func (c *Client) disown() {
	if c.link != nil {
		c.link.close()
		c.link = nil
		c.pid.Store(0)
	}
}

// offer sends the instance's latest state now, if the socket takes it; otherwise it waits, and the latest wins. The guard
// is woken unless it looks by itself in time: at looks, the expiry that it knows of, for which it has a timer. Only the
// clock read after sending tells: a guard that looked before might take the addresses off and look no more. c.mu is held.
func (c *Client) offer(instance string, looks boottime.Time) {
	if c.link == nil || len(c.pending) > 0 || c.unsaid {
		c.pending[instance] = true
		c.flush()
		return
	}
	if !c.deliver(instance) {
		c.pending[instance] = true
		c.wake()
		looks = 0 // for it to make room
	}
	if !boottime.Now().Before(looks) {
		c.link.ring()
	}
}

// deliver reports whether the instance needs no further delivery.
func (c *Client) deliver(instance string) bool {
	var err error
	if h, ok := c.holding[instance]; ok {
		c.buf, err = appendHold(c.buf, h)
	} else {
		c.buf, err = appendDrop(c.buf, instance)
	}
	if err != nil {
		c.log.Error("guard can't be told of an instance", "instance", instance, "error", err)
		return true
	}
	return c.send()
}

// flush offers what is pending until the socket is full, and wakes the guard in any case. c.mu is held.
func (c *Client) flush() {
	if c.link == nil {
		return
	}
	if !c.deliverAll() {
		c.wake()
	}
	c.link.ring()
}

// deliverAll reports whether nothing is pending any more.
func (c *Client) deliverAll() bool {
	for _, name := range slices.Sorted(maps.Keys(c.pending)) {
		if !c.deliver(name) {
			return false
		}
		delete(c.pending, name)
	}
	if c.unsaid {
		c.buf = appendSay(c.buf, c.blob)
		c.unsaid = !c.send()
	}
	return !c.unsaid
}

func (c *Client) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// send tries once, without waiting. A dead socket is the reader's to notice: the next guard is told everything anew.
func (c *Client) send() bool {
	if c.link.send(c.buf) {
		return true
	}
	c.held.Add(1)
	return false
}
