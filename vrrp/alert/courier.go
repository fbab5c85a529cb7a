package alert

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	queueBound   = 256
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// message is an event on its way.
type message struct {
	Event
	seq   uint64
	auth  AuthError  // a complaint instead of a transition
	proto ProtoError // of an advert that breaks the protocol; 0: it is none
}

// sender delivers one message. Its send is called by one goroutine at a time and returns when ctx ends.
type sender interface {
	send(ctx context.Context, m message) error
	tries() int
}

// refusal is an error that another try would not change.
type refusal struct{ error }

// Unwrap returns the cause.
func (r refusal) Unwrap() error { return r.error }

// courier brings messages to one addressee, in order.
type courier struct {
	name string
	log  hclog.Logger
	wake chan struct{}
	gone chan struct{} // closed by retire

	mu      sync.Mutex
	send    sender
	queue   []message
	busy    bool
	resting chan struct{} // closed and replaced whenever nothing is left to do
	c       Count
	full    bool // said
}

func newCourier(name string, send sender, log hclog.Logger) *courier {
	return &courier{
		name: name, send: send, log: log, wake: make(chan struct{}, 1), gone: make(chan struct{}), resting: make(chan struct{}),
	}
}

// change has the messages that wait go by other settings.
func (c *courier) change(send sender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send = send
}

// retire ends run. What waits is given up: its addressee is no longer configured.
func (c *courier) retire() { close(c.gone) }

// put queues a message; the oldest gives way.
func (c *courier) put(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) >= queueBound {
		c.queue = slices.Delete(c.queue, 0, 1)
		c.c.Dropped++
		if !c.full {
			c.log.Warn("alerts can't be delivered as fast as they come, the oldest are dropped", "to", c.name, "error", c.c.Error)
		}
		c.full = true
	}
	c.queue = append(c.queue, m)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends or the courier retires.
func (c *courier) run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-c.gone:
			end()
		case <-ctx.Done():
		}
	}()
	defer func() { end(); <-watched }()
	for {
		m, ok := c.next()
		if ok {
			c.deliver(ctx, m)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
	}
}

// next takes the oldest message.
func (c *courier) next() (message, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = len(c.queue) > 0
	if !c.busy {
		close(c.resting)
		c.resting = make(chan struct{})
		c.full = false
		return message{}, false
	}
	m := c.queue[0]
	c.queue = slices.Delete(c.queue, 0, 1)
	return m, true
}

// deliver tries as often as the sender says.
func (c *courier) deliver(ctx context.Context, m message) {
	pause := backoffFirst
	for try := 1; ; try++ {
		c.mu.Lock()
		send := c.send
		c.mu.Unlock()
		err := send.send(ctx, m)
		if ctx.Err() != nil && err != nil {
			return
		}
		var no refusal
		last := try >= send.tries() || errors.As(err, &no)
		c.result(err, last)
		if err == nil {
			return
		}
		if last {
			c.log.Warn("alert given up", "to", c.name, m.kind(), m.Name, "state", m.To, "tries", try, "error", err)
			return
		}
		c.log.Debug("alert not delivered, trying again", "to", c.name, "in", pause, "error", err)
		t := time.NewTimer(pause + time.Duration(rand.Int64N(int64(pause/4))))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		pause = min(2*pause, backoffMost)
	}
}

func (c *courier) result(err error, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c.Error = ""
	switch {
	case err == nil:
		c.c.Sent++
		return
	case last:
		c.c.Failed++
	}
	c.c.Error = err.Error()
}

func (c *courier) count() Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.c
	n.Waiting = len(c.queue)
	if c.busy {
		n.Waiting++
	}
	return n
}

// idle waits until the queue is empty and the last message through.
func (c *courier) idle(ctx context.Context) error {
	for {
		c.mu.Lock()
		done, resting := len(c.queue) == 0 && !c.busy, c.resting
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-resting:
		case <-c.gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
