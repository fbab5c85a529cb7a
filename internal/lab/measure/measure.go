// Package measure is a client that notices: it asks each address of a lab at a steady pace, by a new connection each time,
// and tells how long no answer came and how many questions went without one.
package measure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"golang.org/x/sys/unix"
)

// poolSize is how many sockets are made at a time.
const poolSize = 64

// Options of a client; the zero value asks "/" every 10 ms and gives up after a second.
type Options struct {
	Every   time.Duration // between two questions to one target
	Timeout time.Duration // of one question
	Path    string
}

// Client asks targets from a host. Its methods but Run are safe for concurrent use, while Run runs too.
type Client struct {
	host    *lab.Host
	opts    Options
	targets []netip.AddrPort
	pools   map[int][]int // unused sockets by family; Run's own

	mu      sync.Mutex
	answers map[netip.AddrPort][]Answer
	sent    map[netip.AddrPort]int
	last    map[netip.AddrPort]time.Time // when the last question was sent
}

// New makes a client; nothing is sent before Run.
func New(h *lab.Host, o Options, targets ...netip.AddrPort) *Client {
	if o.Every == 0 {
		o.Every = 10 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Path == "" {
		o.Path = "/"
	}
	return &Client{
		host: h, opts: o, targets: targets, pools: map[int][]int{},
		answers: map[netip.AddrPort][]Answer{}, sent: map[netip.AddrPort]int{}, last: map[netip.AddrPort]time.Time{},
	}
}

// Run asks until ctx ends, then waits for what is still under way (at most the timeout). Slow questions hold no other up.
func (c *Client) Run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer c.empty()
	defer asking.Wait()
	tick := time.NewTicker(c.opts.Every)
	defer tick.Stop()
	for {
		for _, t := range c.targets {
			fd, err := c.socket(lab.Family(t.Addr()))
			if err != nil {
				return fmt.Errorf("measuring: %w", err)
			}
			now := time.Now()
			c.mu.Lock()
			c.sent[t]++
			c.last[t] = now
			c.mu.Unlock()
			asking.Go(func() {
				a := ask(fd, now, t, c.opts.Path, c.opts.Timeout)
				c.mu.Lock()
				defer c.mu.Unlock()
				c.answers[t] = append(c.answers[t], a)
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Client) socket(family int) (int, error) {
	pool := c.pools[family]
	if len(pool) == 0 {
		var err error
		if pool, err = c.host.Sockets(poolSize, family, netip.Addr{}); err != nil {
			return -1, err
		}
	}
	fd := pool[len(pool)-1]
	c.pools[family] = pool[:len(pool)-1]
	return fd, nil
}

func (c *Client) empty() {
	for _, pool := range c.pools {
		for _, fd := range pool {
			_ = unix.Close(fd)
		}
	}
	clear(c.pools)
}

// Answers lists what came of the questions to a target that are decided, in the order in which they were.
func (c *Client) Answers(target netip.AddrPort) []Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.answers[target])
}

// Slot is a short stretch of time, as Recent counts it.
type Slot struct{ OK, Failed int }

// Recent counts, for the last n stretches of this length that are over, oldest first, the answers of a target that arrived
// and the questions sent then that got none.
func (c *Client) Recent(target netip.AddrPort, length time.Duration, n int) []Slot {
	slots := make([]Slot, n)
	end := time.Now().Truncate(length)
	start := end.Add(-time.Duration(n) * length)
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.answers[target]
	for i := len(list) - 1; i >= 0 && !list[i].Done.Before(start); i-- {
		at := list[i].Done
		if !list[i].OK() {
			at = list[i].Sent
		}
		if at.Before(start) || !at.Before(end) {
			continue
		}
		if slot := &slots[int(at.Sub(start)/length)]; list[i].OK() {
			slot.OK++
		} else {
			slot.Failed++
		}
	}
	return slots
}

// Report is what the client noticed at one target.
type Report struct {
	Requests int           // questions sent
	Errors   int           // of them, those that were decided without a 200
	Gap      time.Duration // the longest time in which no 200 arrived, between two that did or up to the last question
	GapFrom  time.Time     // when the last answer before that gap came
	Servers  map[string]int
	Causes   map[string]int // of the errors
}

// Report sums up what came of the questions sent to a target since a moment (all of them: zero).
func (c *Client) Report(target netip.AddrPort, since time.Time) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	var kept []Answer
	for _, a := range c.answers[target] {
		if !a.Sent.Before(since) {
			kept = append(kept, a)
		}
	}
	r := summarize(kept, c.last[target])
	if since.IsZero() {
		r.Requests = c.sent[target]
	}
	return r
}

// All sums up every target: counts added, the longest gap of any.
func (c *Client) All(since time.Time) Report {
	sum := Report{Servers: map[string]int{}, Causes: map[string]int{}}
	for _, t := range c.targets {
		r := c.Report(t, since)
		sum.Requests += r.Requests
		sum.Errors += r.Errors
		if r.Gap > sum.Gap {
			sum.Gap, sum.GapFrom = r.Gap, r.GapFrom
		}
		for cause, n := range r.Causes {
			sum.Causes[cause] += n
		}
		for name, n := range r.Servers {
			sum.Servers[name] += n
		}
	}
	return sum
}

// summarize finds gaps and errors. last is when the last question was sent: should no answer have come since long before,
// that is a gap too.
func summarize(answers []Answer, last time.Time) Report {
	r := Report{Requests: len(answers), Servers: map[string]int{}, Causes: map[string]int{}}
	var arrived []time.Time
	for _, a := range answers {
		if a.OK() {
			arrived = append(arrived, a.Done)
			r.Servers[a.Body]++
			continue
		}
		r.Errors++
		if a.Err != nil {
			r.Causes[a.Err.Error()]++
		} else {
			r.Causes[fmt.Sprintf("status %d", a.Status)]++
		}
	}
	slices.SortFunc(arrived, time.Time.Compare)
	if len(arrived) > 0 && last.After(arrived[len(arrived)-1]) {
		arrived = append(arrived, last)
	}
	for i := 1; i < len(arrived); i++ {
		if gap := arrived[i].Sub(arrived[i-1]); gap > r.Gap {
			r.Gap, r.GapFrom = gap, arrived[i-1]
		}
	}
	return r
}

// ErrNoAnswer is returned by Await when no 200 came in time.
var ErrNoAnswer = errors.New("no answer")

// Await asks a target again and again until a 200 comes, and gives it. Use it to wait until a service is there.
func Await(ctx context.Context, h *lab.Host, target netip.AddrPort, path string) (Answer, error) {
	for {
		a := Ask(h, netip.Addr{}, target, path, 200*time.Millisecond)
		if a.OK() {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("%s: %w: %w (status %d, %v)", target, ErrNoAnswer, context.Cause(ctx), a.Status, a.Err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ServerNames lists the names that answered, sorted.
func (r Report) ServerNames() []string { return slices.Sorted(maps.Keys(r.Servers)) }
