package track

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

const (
	scanEvery    = 100 * time.Millisecond // without the connector: who is new
	settle       = time.Second            // how long a new process may turn into another (fork, then exec) and be seen at once
	revisitEvery = 10 * time.Second       // each process is looked at again in this time, whatever else is known
	eventsBound  = 64
)

// tracked is one vrrp_track_process.
type tracked struct {
	matcher
	quorum
	count int
}

// process is one that was seen. Only those that match have a pidfd.
type process struct {
	born    time.Time // when it was seen first
	mark    uint64    // of the last listing it was in
	pidfd   int       // -1: none
	matches []int     // indexes of watcher.tracked
}

// watcher counts processes. It is owned by the goroutine of runProcesses.
type watcher struct {
	t         *Tracker
	proc      *procfs
	epoll     int
	bell      bell
	connector *connector
	tracked   []*tracked
	argv      bool // some matcher wants the command line
	seen      map[int]*process
	young     []int // seen for less than settle
	ring      []int // all others, looked at in turn
	turn      int
	mark      uint64
	lastPID   string
	nextScan  time.Time
	buf       []byte
	looks     uint64 // processes that were opened
}

func (t *Tracker) runProcesses(ctx context.Context) {
	w := &watcher{t: t, proc: newProcfs(t.o.Proc), seen: map[int]*process{}, buf: make([]byte, 8<<10)}
	defer w.close()
	if err := w.open(); err != nil {
		t.o.Logger.Error("track_process does not work", "error", err)
		return
	}
	apply := make(chan struct{}, 1)
	gone := w.bell.follow(ctx, t.processes, apply)
	defer func() { <-gone }()
	events := make([]unix.EpollEvent, eventsBound)
	for ctx.Err() == nil {
		select {
		case <-apply:
			w.apply()
		default:
		}
		n, err := unix.EpollWait(w.epoll, events, w.timeout(time.Now()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			t.o.Logger.Error("track_process no longer works", "error", err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			w.event(int(e.Fd), int(e.Pad))
		}
		if len(w.tracked) > 0 {
			w.tick(time.Now())
		}
	}
}

func (w *watcher) open() error {
	w.epoll, w.bell = -1, bell{-1}
	var err error
	if w.bell, err = newBell(); err != nil {
		return err
	}
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	return w.listen(w.bell.fd, 0)
}

func (w *watcher) close() {
	w.clear()
	for _, fd := range []int{w.epoll, w.bell.fd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// clear forgets all processes and the connector.
func (w *watcher) clear() {
	for pid := range w.seen {
		w.drop(pid)
	}
	w.young, w.ring, w.lastPID = nil, nil, ""
	if w.connector != nil {
		unix.Close(w.connector.fd)
		w.connector = nil
	}
}

func (w *watcher) listen(fd, pid int) error {
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(pid)})
}

// apply makes what is counted what is wanted. What did not change keeps its state and its delays.
func (w *watcher) apply() {
	w.t.mu.Lock()
	wanted := w.t.wantedProcess
	old := w.t.processState
	w.t.processState = map[string]ProcessState{}
	for _, c := range wanted {
		if s, ok := old[c.Name]; ok {
			w.t.processState[c.Name] = s
		}
	}
	w.t.mu.Unlock()
	w.clear()
	before := w.tracked
	w.tracked, w.argv = nil, false
	for _, c := range wanted {
		d := &tracked{matcher: newMatcher(c), quorum: quorum{c: c, state: old[c.Name]}}
		if i := slices.IndexFunc(before, func(b *tracked) bool { return sameProcess(b.c, c) }); i >= 0 {
			d.quorum = before[i].quorum
		}
		w.argv = w.argv || d.argv
		w.tracked = append(w.tracked, d)
	}
	if len(wanted) == 0 {
		return
	}
	w.connect()
	w.list(time.Now())
	w.publish(time.Now())
}

func sameProcess(a, b vrrp.Process) bool {
	a.Pos = b.Pos
	return reflect.DeepEqual(a, b)
}

// connect asks the kernel to tell. Where it does not, processes are looked for.
func (w *watcher) connect() {
	if !w.proc.own || w.t.o.NoConnector {
		return
	}
	c, err := newConnector()
	if err == nil {
		if err = w.listen(c.fd, 0); err != nil {
			unix.Close(c.fd)
		}
	}
	if err != nil {
		w.t.o.Logger.Debug("processes are found by reading "+w.proc.root, "every", scanEvery, "error", err)
		return
	}
	w.connector = c
}

func (w *watcher) timeout(now time.Time) int {
	if len(w.tracked) == 0 {
		return -1
	}
	next := w.nextScan
	for _, d := range w.tracked {
		if !d.due.IsZero() && d.due.Before(next) {
			next = d.due
		}
	}
	return int(max(next.Sub(now)+time.Millisecond-1, 0) / time.Millisecond)
}

// event is a descriptor that has something to say: pid's that it ended.
func (w *watcher) event(fd, pid int) {
	switch {
	case fd == w.bell.fd:
		w.bell.hush()
	case w.connector != nil && fd == w.connector.fd:
		w.told()
	case pid > 0:
		if p := w.seen[pid]; p != nil && p.pidfd == fd {
			w.drop(pid)
		}
	}
}

// told reads what the kernel has to say, a bounded number of datagrams at a time. When something was lost, all is looked at.
func (w *watcher) told() {
	for range eventsBound {
		more, err := w.connector.read(w.buf, w.kernel)
		if err != nil {
			w.nextScan = time.Time{}
			if !errors.Is(err, unix.ENOBUFS) {
				w.t.o.Logger.Warn("process connector failed, processes are looked for", "error", err)
				unix.Close(w.connector.fd)
				w.connector = nil
				w.ring = slices.Collect(maps.Keys(w.seen))
			}
			return
		}
		if !more {
			return
		}
	}
}

// kernel takes one event. A fork alone makes another of what its parent is; only an exec or a new name changes that.
func (w *watcher) kernel(what uint32, data []byte) {
	if len(data) < 8 {
		return
	}
	pid, tgid := int(binary.NativeEndian.Uint32(data)), int(binary.NativeEndian.Uint32(data[4:]))
	switch what {
	case procEventFork: // parent pid, parent tgid, child pid, child tgid
		if len(data) < 16 {
			return
		}
		child, group := int(binary.NativeEndian.Uint32(data[8:])), int(binary.NativeEndian.Uint32(data[12:]))
		if parent := w.seen[tgid]; child == group && parent != nil && len(parent.matches) > 0 {
			w.look(child, time.Now())
		}
	case procEventExec:
		w.look(tgid, time.Now())
	case procEventComm:
		if pid == tgid {
			w.look(pid, time.Now())
		}
	case procEventExit:
		if pid == tgid {
			w.drop(pid)
		}
	}
}

// tick does what is due.
func (w *watcher) tick(now time.Time) {
	if !now.Before(w.nextScan) {
		if w.connector != nil {
			w.list(now)
		} else {
			w.scan(now)
		}
	}
	w.publish(now)
}

// list looks at every process.
func (w *watcher) list(now time.Time) {
	w.nextScan = now.Add(scanEvery)
	if w.connector != nil {
		w.nextScan = now.Add(revisitEvery)
	}
	w.lastPID, _ = w.proc.last()
	w.mark++
	err := w.proc.pids(func(pid int) {
		w.look(pid, now)
		if p := w.seen[pid]; p != nil {
			p.mark = w.mark
		}
	})
	w.listed(err)
}

// scan looks at who is new, again at who was new a moment ago, and at the others in turn. While the kernel gave out no
// number there is nobody new and the list of processes need not be read.
func (w *watcher) scan(now time.Time) {
	w.nextScan = now.Add(scanEvery)
	last, ok := w.proc.last()
	if !ok || last != w.lastPID {
		w.lastPID = last
		w.mark++
		err := w.proc.pids(func(pid int) {
			p := w.seen[pid]
			if p == nil {
				w.look(pid, now)
				p = w.seen[pid]
			}
			if p != nil {
				p.mark = w.mark
			}
		})
		w.listed(err)
	}
	w.young = slices.DeleteFunc(w.young, func(pid int) bool {
		p := w.seen[pid]
		if p != nil {
			w.look(pid, now)
		}
		if p != nil && now.Sub(p.born) > settle {
			w.ring = append(w.ring, pid)
			p = nil
		}
		return p == nil
	})
	w.revisit(now)
}

// revisit looks at some of those that were there for long, so that all have their turn.
func (w *watcher) revisit(now time.Time) {
	n := len(w.ring)/int(revisitEvery/scanEvery) + 1
	for range min(n, len(w.ring)) {
		if w.turn >= len(w.ring) {
			w.turn = 0
		}
		pid := w.ring[w.turn]
		if w.seen[pid] == nil {
			w.ring[w.turn] = w.ring[len(w.ring)-1]
			w.ring = w.ring[:len(w.ring)-1]
			if len(w.ring) == 0 {
				return
			}
			continue
		}
		w.look(pid, now)
		w.turn++
	}
}

// listed forgets who was not in the list.
func (w *watcher) listed(err error) {
	if err != nil {
		w.t.o.Logger.Warn("processes can't be listed", "error", err)
		return
	}
	for pid, p := range w.seen {
		if p.mark != w.mark {
			w.drop(pid)
		}
	}
}

// look reads what a process is now.
func (w *watcher) look(pid int, now time.Time) {
	w.looks++
	comm, ok := w.proc.name(pid)
	if !ok {
		w.drop(pid)
		return
	}
	var argv []string
	if w.argv {
		argv = w.proc.arguments(pid)
	}
	p := w.seen[pid]
	if p == nil {
		p = &process{born: now, mark: w.mark, pidfd: -1}
		w.seen[pid] = p
		if w.connector == nil {
			w.young = append(w.young, pid)
		}
	}
	before := len(p.matches)
	for _, i := range p.matches {
		w.tracked[i].count--
	}
	p.matches = p.matches[:0]
	for i, d := range w.tracked {
		if d.match(comm, argv) {
			d.count++
			p.matches = append(p.matches, i)
		}
	}
	if (before > 0) != (len(p.matches) > 0) {
		w.follow(pid, p)
	}
}

// follow opens a process that matches, so that the kernel says at once when it ends, or lets go of one that no longer does.
func (w *watcher) follow(pid int, p *process) {
	if len(p.matches) == 0 {
		w.let(p)
		return
	}
	if !w.proc.own {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone, which the next look tells, or no pidfds, then only looks do
	}
	if w.listen(fd, pid) != nil {
		unix.Close(fd)
		return
	}
	p.pidfd = fd
}

func (w *watcher) let(p *process) {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd) // which takes it out of the epoll set
		p.pidfd = -1
	}
}

// drop forgets a process.
func (w *watcher) drop(pid int) {
	p := w.seen[pid]
	if p == nil {
		return
	}
	for _, i := range p.matches {
		if i < len(w.tracked) {
			w.tracked[i].count--
		}
	}
	w.let(p)
	delete(w.seen, pid)
}

// publish takes the counts into account and tells what changed.
func (w *watcher) publish(now time.Time) {
	changed := false
	for _, d := range w.tracked {
		old := d.state
		d.step(d.count, now)
		if d.state == old {
			continue
		}
		if old.Known && old.Up != d.state.Up {
			w.t.o.Logger.Info("track_process changed", "track_process", d.c.Name, "state", d.state.Word(), "why", d.state.Note)
		}
		w.t.mu.Lock()
		w.t.processState[d.c.Name] = d.state
		w.t.mu.Unlock()
		changed = true
	}
	if changed {
		w.t.o.Changed()
	}
}
