package vip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// eventBound is how many events may wait for the reader of Watch. Beyond it the kernel's socket buffer fills, overflows
// in the end, and the whole state is read again: nothing is lost but intermediate states.
const eventBound = 256

// EventKind says what happened. The zero kind is invalid.
type EventKind int

const (
	// LinkChanged: an interface appeared, or went up or down, or its carrier came or went.
	LinkChanged EventKind = iota + 1
	// LinkGone: an interface vanished (or got another name).
	LinkGone
	// AddressAdded: an address came on, whoever put it there.
	AddressAdded
	// AddressGone: an address went off. With an Instance it was to stay on: somebody else, the guard or its lifetime
	// took it off.
	AddressGone
	// DuplicateAddress: another MAC address on the segment claims an address that is on here, by ARP or neighbour discovery.
	// It is told once a minute of each.
	DuplicateAddress
)

// String implements fmt.Stringer.
func (k EventKind) String() string {
	if k < LinkChanged || k > DuplicateAddress {
		return "unknown"
	}
	return [...]string{"link changed", "link gone", "address added", "address gone", "duplicate address"}[k-1]
}

// Event is one change on the machine. At the start of Run there is one for each link and address that is there.
type Event struct {
	Kind     EventKind
	Dev      string
	Index    int
	Up       bool         // LinkChanged
	Carrier  bool         // LinkChanged
	Prefix   netip.Prefix // AddressAdded, AddressGone, DuplicateAddress
	Instance string       // of these: the group that has the address on by Add; "" for none
	OurMAC   string       // DuplicateAddress
	TheirMAC string       // DuplicateAddress
}

// Watch returns the one channel of events; it is closed when Run ends.
func (m *Manager) Watch() <-chan Event { return m.events }

// Run watches links and addresses, and sends the announcements that were paced, until ctx ends; then it closes the channel
// of Watch and returns nil. It can run once.
func (m *Manager) Run(ctx context.Context) error {
	defer close(m.events)
	w, err := openWatcher()
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	defer w.close()
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	life, end := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { m.announcer.run(life) })
	helpers.Go(func() { m.mends(life) })
	defer func() { end(); helpers.Wait() }()
	emit := func(e Event) bool {
		if e.Kind == AddressAdded || e.Kind == AddressGone {
			e.Instance = m.holder(place{e.Dev, e.Prefix})
		}
		m.notice(e)
		select {
		case m.events <- e:
			return true
		case <-life.Done():
			return false
		}
	}
	w.tick = func() time.Duration {
		late, next := m.damper.due(boottime.Now())
		for _, e := range late {
			if !emit(e) {
				break
			}
		}
		return next
	}
	helpers.Go(func() {
		defer end()
		err = w.run(ctx, func(e Event) bool { return !m.damper.event(e, boottime.Now()) || emit(e) })
	})
	// The witness makes its sockets as it goes, and here is the thread that the caller may have put into a network namespace.
	newWitness(m).run(life, emit)
	<-life.Done()
	helpers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch interfaces: %w", err)
}

// places is what is on by Add, with whose it is.
func (m *Manager) places() map[place]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.held)
}

// onHeld has f called when places changes.
func (m *Manager) onHeld(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heldChanged = f
}

func (m *Manager) holder(p place) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held[p]
}

// watcher is the rim of mirror: a socket in the multicast groups, another for dumps, an eventfd that ends the wait.
type watcher struct {
	events, dumps *conn
	stop          int
	tick          func() time.Duration // what time alone brings; tells when to be called again, negative: no need
}

func openWatcher() (*watcher, error) {
	events, err := dial(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, err
	}
	dumps, err := dial()
	if err != nil {
		events.close()
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		events.close()
		dumps.close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &watcher{events: events, dumps: dumps, stop: stop}, nil
}

func (w *watcher) close() {
	w.events.close()
	w.dumps.close()
	unix.Close(w.stop)
}

func (w *watcher) wake() { _, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (w *watcher) run(ctx context.Context, emit func(Event) bool) error {
	var seen mirror
	// The groups are joined already: what changes during the dump comes again as an event.
	if err := w.resync(&seen, emit); err != nil {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(w.events.fd), Events: unix.POLLIN}, {Fd: int32(w.stop), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		timeout := -1
		if next := w.tick(); next >= 0 {
			timeout = int(next/time.Millisecond) + 1
		}
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
		if fds[0].Revents == 0 {
			continue
		}
		var out []Event
		err := w.events.receive(func(msg message) { out = seen.apply(msg.kind, msg.data, out) })
		switch {
		case errors.Is(err, unix.ENOBUFS):
			err = w.resync(&seen, emit)
		case errors.Is(err, unix.EAGAIN):
			err = nil
		}
		if err != nil {
			return err
		}
		for _, e := range out {
			if !emit(e) {
				return ctx.Err()
			}
		}
	}
	return ctx.Err()
}

// resync reads everything and emits how it differs from what was told so far. While the machine changes too fast for a
// whole picture it waits, longer each time.
func (w *watcher) resync(seen *mirror, emit func(Event) bool) error {
	const tries = 12
	for try := range tries {
		w.events.discard() // older than the dump that follows
		now, err := w.dump()
		if err == nil {
			for _, e := range seen.become(now) {
				if !emit(e) {
					break
				}
			}
			return nil
		}
		if !errors.Is(err, errInterrupted) {
			return err
		}
		stop := []unix.PollFd{{Fd: int32(w.stop), Events: unix.POLLIN}}
		if n, _ := unix.Poll(stop, 1<<try); n > 0 {
			return nil
		}
	}
	return errInterrupted
}

func (w *watcher) dump() (mirror, error) {
	var now mirror
	collect := func(m message) { now.apply(m.kind, m.data, nil) }
	if err := w.dumps.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), collect); err != nil {
		return now, err
	}
	return now, w.dumps.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), collect)
}
