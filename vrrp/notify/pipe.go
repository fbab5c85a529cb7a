package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/script"
)

// A pipe's script that dies is started again, after a pause that grows while it goes on dying at once.
const (
	againFirst = time.Second
	againMost  = 30 * time.Second
	steady     = 10 * time.Second // having run this long it is well again
	lastWords  = 500 * time.Millisecond
)

// pipe is a named pipe that lines are written to. Guarded by the Notifier's mutex.
type pipe struct {
	path    string
	fd      int
	made    bool // here, so it is removed at the end
	log     hclog.Logger
	dropped uint64
	full    bool // said
}

// openPipe makes the pipe if it is not there. It is opened for reading too: a write then never fails for want of a reader,
// and what nobody has read yet waits in the kernel.
func openPipe(path, owner string, log hclog.Logger) (*pipe, error) {
	p := &pipe{path: path, log: log}
	err := unix.Mkfifo(path, 0o600)
	switch {
	case err == nil:
		p.made = true
	case !errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("make pipe %s: %w", path, err)
	}
	p.fd, err = unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open pipe %s: %w", path, err)
	}
	if err := p.own(owner); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// own checks that it is a pipe, and gives one that was made here to whom it is for.
func (p *pipe) own(owner string) error {
	var st unix.Stat_t
	if err := unix.Fstat(p.fd, &st); err != nil {
		return fmt.Errorf("pipe %s: %w", p.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("%s is there and is no pipe", p.path)
	}
	if !p.made || owner == "" {
		return nil
	}
	uid, gid, err := script.IDs(owner)
	if err == nil && (uid != unix.Geteuid() || gid != unix.Getegid()) {
		err = unix.Fchown(p.fd, uid, gid)
	}
	if err != nil {
		return fmt.Errorf("pipe %s for %s: %w", p.path, owner, err)
	}
	return nil
}

// write writes a line whole or, when the pipe is full, not at all. That is said once, until there is room again.
func (p *pipe) write(line string) {
	n, err := unix.Write(p.fd, []byte(line))
	if err == nil && n == len(line) {
		if p.full {
			p.log.Info("notify pipe has room again", "pipe", p.path, "dropped", p.dropped)
		}
		p.full = false
		return
	}
	p.dropped++
	if !p.full {
		p.log.Warn("notify pipe is full, nobody reads it; lines are dropped", "pipe", p.path, "error", err)
	}
	p.full = true
}

// close ends the pipe for its readers, and removes it if it was made here.
func (p *pipe) close() {
	unix.Close(p.fd)
	if p.made {
		_ = unix.Unlink(p.path)
	}
}

// openPipes makes the open pipes those of the settings. mu is held.
func (n *Notifier) openPipes() {
	keep := map[string]bool{}
	for _, f := range n.set.Pipes {
		if f.Path == "" || keep[f.Path] {
			continue
		}
		keep[f.Path] = true
		if n.pipes[f.Path] != nil {
			continue
		}
		owner := f.User
		if owner == "" {
			owner = n.set.User
		}
		p, err := openPipe(f.Path, owner, n.log)
		if err != nil {
			n.log.Error("notify pipe can't be used", "error", err)
			continue
		}
		n.pipes[f.Path] = p
	}
	for path, p := range n.pipes {
		if !keep[path] {
			p.close()
			delete(n.pipes, path)
		}
	}
}

func (n *Notifier) closePipes() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for path, p := range n.pipes {
		p.close()
		delete(n.pipes, path)
	}
}

// Dropped counts the lines that a pipe had no room for, by its path.
func (n *Notifier) Dropped() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]uint64{}
	for path, p := range n.pipes {
		out[path] = p.dropped
	}
	return out
}

// reader is the script of a pipe.
type reader struct {
	spec script.Spec
	end  context.CancelFunc
	gone chan struct{}
}

// runReaders keeps each pipe's script running until ctx ends. Then the pipes are closed, so that a script reads the rest
// and finds the end; one that does not end by itself is ended.
func (n *Notifier) runReaders(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	running := map[string]reader{}
	var all sync.WaitGroup
	for {
		select {
		case <-n.wake:
			n.reconcile(life, &all, running)
			continue
		case <-ctx.Done():
		}
		break
	}
	n.closePipes()
	grace := time.AfterFunc(lastWords, end)
	defer grace.Stop()
	defer end()
	all.Wait()
}

func (n *Notifier) reconcile(life context.Context, all *sync.WaitGroup, running map[string]reader) {
	n.mu.Lock()
	set := n.set
	want := map[string]script.Spec{}
	for _, f := range n.set.Pipes {
		if n.pipes[f.Path] == nil || len(f.Script.Argv) == 0 {
			continue
		}
		s := command(f.Script, set, -1)
		s.Argv, s.Timeout, s.KeepChildren = append(s.Argv, f.Path), -1, false
		want[f.Path] = s
	}
	n.mu.Unlock()
	ended := map[string]chan struct{}{}
	for path, r := range running {
		if s, ok := want[path]; !ok || !reflect.DeepEqual(s, r.spec) {
			r.end()
			ended[path] = r.gone
			delete(running, path)
		}
	}
	for path, s := range want {
		if _, ok := running[path]; ok {
			continue
		}
		own, end := context.WithCancel(life)
		r := reader{s, end, make(chan struct{})}
		running[path] = r
		before := ended[path]
		all.Go(func() {
			defer close(r.gone)
			defer end()
			if before != nil {
				<-before
			}
			n.keepRunning(own, path, s)
		})
	}
}

// keepRunning runs a pipe's script, again whenever it ends.
func (n *Notifier) keepRunning(ctx context.Context, path string, s script.Spec) {
	pause := againFirst
	for {
		r := script.Run(ctx, s)
		if ctx.Err() != nil || n.over(path) {
			return
		}
		if r.Duration > steady {
			pause = againFirst
		}
		n.log.Warn("notify pipe's script ended, it is started again", "pipe", path, "script", s.Argv[0],
			"result", r.String(), "in", pause, "output", string(r.Output))
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		pause = min(2*pause, againMost)
	}
}

// over reports whether the pipe is closed: its script found the end.
func (n *Notifier) over(path string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pipes[path] == nil
}
