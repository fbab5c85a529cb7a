package guard

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// supervise owns the client's goroutines: it reads what the current guard says until that dies, and starts the next.
func (c *Client) supervise(ctx context.Context) {
	defer close(c.done)
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		c.flushLoop(ctx)
	}()
	defer func() { <-flushed }()
	pause := time.Duration(0)
	for {
		c.mu.Lock()
		l := c.link
		c.mu.Unlock()
		started := time.Now()
		if l != nil {
			c.listen(l)
		}
		if ctx.Err() != nil {
			return
		}
		if l != nil {
			c.mourn(l.pid)
		}
		if time.Since(started) >= livedLong {
			pause = 0
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(max(2*pause, backoffMin), backoffMax)
		c.replace(ctx)
	}
}

// mourn says loudly that a guard died, and reaps it where the agent is what orphans fall to (process 1 of a container).
func (c *Client) mourn(pid int) {
	c.mu.Lock()
	c.disown()
	closing := c.closing
	c.mu.Unlock()
	if closing {
		return
	}
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	c.log.Error("guard process died, starting another: until then only their lifetime ends the addresses of a dead agent", "pid", pid)
}

func (c *Client) replace(ctx context.Context) {
	l, err := launch(ctx, c.o)
	if err == nil {
		c.adopt(l)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.log.Error("guard process can't be started", "error", err)
		return
	}
	c.log.Info("guard process started", "pid", l.pid)
}

// listen reads the guard's messages until its socket ends.
func (c *Client) listen(l *link) {
	b := make([]byte, messageMax)
	for {
		n, err := c.hear(l, b)
		if err == unix.EAGAIN {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		m, err := parse(b[:n])
		if err != nil || m.kind != kindRemoved {
			continue
		}
		r := Released{Instance: string(m.instance), Epoch: m.epoch}
		c.removed.Add(1)
		c.log.Warn("guard removed the addresses of an instance that was not renewed in time", "instance", r.Instance, "epoch", r.Epoch)
		if c.o.Gone != nil {
			c.o.Gone(r)
		}
	}
}

// hear waits for a message and takes it in, if the link is still the client's then.
func (c *Client) hear(l *link, b []byte) (int, error) {
	if _, err := l.ear.wait(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return 0, os.ErrClosed
	}
	return receive(l.sock, b)
}

// flushLoop offers again what a full socket held back.
func (c *Client) flushLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.kick:
		}
		if !sleep(ctx, flushEvery) {
			return
		}
		c.mu.Lock()
		c.flush()
		c.mu.Unlock()
	}
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
