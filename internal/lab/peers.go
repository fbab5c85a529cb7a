package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Keepalived starts a real keepalived on the host with this configuration. Its files, pid files of its own among them (it
// exits at once when it meets a stranger's), are put into dir. It logs to Output.
func (h *Host) Keepalived(dir, config string) (*Process, error) {
	path := func(suffix string) string { return filepath.Join(dir, "keepalived-"+h.name+suffix) }
	if err := os.WriteFile(path(".conf"), []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("host %s: keepalived: %w", h.name, err)
	}
	for _, pid := range []string{".pid", "-vrrp.pid", "-checkers.pid"} {
		if err := os.Remove(path(pid)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("host %s: keepalived: %w", h.name, err)
		}
	}
	p := h.Command("keepalived", "--dont-fork", "--log-console", "--log-detail", "--use-file", path(".conf"),
		"--pid", path(".pid"), "--vrrp_pid", path("-vrrp.pid"), "--checkers_pid", path("-checkers.pid"))
	return p, p.Start()
}

// HAProxy starts a real haproxy in the foreground on the host with this configuration, whose file is put into dir.
func (h *Host) HAProxy(dir, config string) (*Process, error) {
	path := filepath.Join(dir, "haproxy-"+h.name+".cfg")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("host %s: haproxy: %w", h.name, err)
	}
	p := h.Command("haproxy", "-db", "-f", path)
	return p, p.Start()
}

// Capture is tshark at work on a host: one row a packet.
type Capture struct {
	proc *Process

	mu      sync.Mutex
	partial []byte
	rows    [][]string
	changed chan struct{}
}

// Capture starts tshark on an interface with a capture filter ("proto 112"), a display filter ("vrrp", or empty) and the
// fields that make a row. It returns once packets are being caught.
func (h *Host) Capture(ctx context.Context, ifname, filter, display string, fields ...string) (*Capture, error) {
	c := &Capture{changed: make(chan struct{})}
	argv := []string{"tshark", "-l", "-n", "-i", ifname, "-f", filter, "-T", "fields", "-E", "separator=/t"}
	if display != "" {
		argv = append(argv, "-Y", display)
	}
	for _, f := range fields {
		argv = append(argv, "-e", f)
	}
	sockets, err := h.packetSockets()
	if err != nil {
		return nil, err
	}
	c.proc = h.Command(argv...)
	c.proc.Stdout = c
	// No settings of the user's, and its temporary file where it goes with the lab.
	c.proc.Env = []string{"HOME=/run", "TMPDIR=/run", "XDG_CONFIG_HOME=/run"}
	if err := c.proc.Start(); err != nil {
		return nil, err
	}
	for {
		// tshark announces itself before its socket is there; the socket is what catches.
		if now, err := h.packetSockets(); err != nil || now > sockets {
			return c, err
		}
		select {
		case <-c.proc.Done():
			return nil, fmt.Errorf("host %s: tshark: %w: %s", h.name, c.proc.Err(), c.proc.Output())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("host %s: tshark: %w", h.name, ctx.Err()), c.Stop())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// packetSockets counts the host's packet sockets.
func (h *Host) packetSockets() (int, error) {
	n := 0
	err := h.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/packet")
		n = bytes.Count(b, []byte("\n"))
		return err
	})
	return n, err
}

// Write implements io.Writer for tshark's output.
func (c *Capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = append(c.partial, b...)
	for {
		line, rest, whole := bytes.Cut(c.partial, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		c.rows = append(c.rows, strings.Split(string(line), "\t"))
		c.partial = rest
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// Rows lists what was caught so far: the fields' values in the order in which they were asked for.
func (c *Capture) Rows() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]string(nil), c.rows...)
}

// Await waits until n rows were caught that match (nil: any), and gives them.
func (c *Capture) Await(ctx context.Context, n int, match func(row []string) bool) ([][]string, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		var found [][]string
		for _, row := range c.Rows() {
			if match == nil || match(row) {
				found = append(found, row)
			}
		}
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-c.proc.Done():
			return found, fmt.Errorf("tshark ended (%v) after %d of %d packets", c.proc.Err(), len(found), n)
		case <-ctx.Done():
			return found, fmt.Errorf("%d of %d packets: %w", len(found), n, ctx.Err())
		}
	}
}

// Stop ends tshark; the rows stay.
func (c *Capture) Stop() error { return c.proc.Stop(2 * time.Second) }
