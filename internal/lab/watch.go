package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddrEvent says that an address came to a host or left it. Repeats (a lifetime renewed) are not events.
type AddrEvent struct {
	At    time.Time // when it was read, with the monotonic clock: one clock for all hosts
	Host  string
	Addr  netip.Addr
	Added bool
}

// Tenure is a stretch of time in which a host had an address.
type Tenure struct {
	Host string
	From time.Time
	To   time.Time // zero: it still has it
}

// Watch records which host had which address when. One thread of high priority reads the events of all hosts. What it
// finds at one wake-up has no order across hosts: then removals come first (order), so that a hand-over is not mistaken
// for an overlap. An overlap shorter than the thread's lateness, usually far below a millisecond, can so escape it.
// Safe for concurrent use.
type Watch struct {
	epoll, wake int
	over        chan struct{}

	mu      sync.Mutex
	sockets map[int32]*watched // by file descriptor
	events  []AddrEvent
	owners  map[netip.Addr]map[string]int // how many interfaces of a host have it
	max     map[netip.Addr]int
	changed chan struct{}
	lost    error // events were dropped by the kernel: the record is no longer whole
}

type watched struct {
	host string
	fd   int
	have map[ifaddr]bool
}

type ifaddr struct {
	index int
	addr  netip.Addr
}

// change is one message of a host's socket.
type change struct {
	key   ifaddr
	added bool
}

// Watch gives the lab's watch and starts it at the first call. Addresses that are there already count as added now.
func (n *Net) Watch() (*Watch, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watch != nil {
		return n.watch, nil
	}
	w, err := newWatch()
	if err != nil {
		return nil, fmt.Errorf("address watch: %w", err)
	}
	for _, h := range n.hosts {
		if err := w.add(h); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	n.watch = w
	return w, nil
}

func newWatch() (*Watch, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(err, unix.Close(epoll))
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)}); err != nil {
		return nil, errors.Join(err, unix.Close(epoll), unix.Close(wake))
	}
	w := &Watch{
		epoll: epoll, wake: wake, over: make(chan struct{}), sockets: map[int32]*watched{},
		owners: map[netip.Addr]map[string]int{}, max: map[netip.Addr]int{},
	}
	go w.run()
	return w, nil
}

// add begins to watch a host.
func (w *Watch) add(h *Host) error {
	s := &watched{host: h.name, have: map[ifaddr]bool{}}
	err := h.Do(func() (err error) {
		s.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		// A big buffer first: an event lost would be a hole in the evidence.
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<21)
		return unix.Bind(s.fd, &unix.SockaddrNetlink{
			Family: unix.AF_NETLINK, Groups: 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1),
		})
	})
	if err != nil {
		return fmt.Errorf("address watch: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	list, err := h.nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("address watch: host %s: %w", h.name, err)
	}
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		w.record(s, ifaddr{a.LinkIndex, ip.Unmap()}, true, time.Now())
	}
	w.sockets[int32(s.fd)] = s
	// Edge triggered, and each socket drained when its turn comes.
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(s.fd)})
}

func (w *Watch) run() {
	defer close(w.over)
	runtime.LockOSThread()                                      // never unlocked: the thread's priority goes with it
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20) // an ordinary user may not: it is late more often
	buf := make([]byte, 1<<16)
	ready := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, ready, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			w.fail(fmt.Errorf("address watch: %w", err))
			return
		}
		w.mu.Lock()
		at := time.Now()
		var queues []queue
		for _, e := range ready[:max(n, 0)] {
			if e.Fd == int32(w.wake) {
				w.mu.Unlock()
				return
			}
			queues = append(queues, queue{w.sockets[e.Fd], w.drain(e.Fd, buf)})
		}
		order(queues, func(s *watched, c change) { w.record(s, c.key, c.added, at) })
		w.mu.Unlock()
	}
}

// queue is what one host's socket held, in its order.
type queue struct {
	host    *watched
	changes []change
}

// order plays queues that were found at the same time: each in its own order, and before any address comes to a host,
// all that can go have gone. A lifetime renewed is no coming.
func order(queues []queue, play func(*watched, change)) {
	for {
		coming := -1
		progress := false
		for i := range queues {
			q := &queues[i]
			for len(q.changes) > 0 {
				c := q.changes[0]
				if c.added && !q.host.have[c.key] {
					if coming < 0 {
						coming = i
					}
					break
				}
				play(q.host, c)
				q.changes, progress = q.changes[1:], true
			}
		}
		switch {
		case progress:
		case coming < 0:
			return
		default:
			q := &queues[coming]
			play(q.host, q.changes[0])
			q.changes = q.changes[1:]
		}
	}
}

// drain reads all that a socket has; the caller holds the lock.
func (w *Watch) drain(fd int32, buf []byte) (out []change) {
	s := w.sockets[fd]
	for {
		n, err := unix.Read(int(fd), buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return out
		case err != nil: // ENOBUFS: more came than the buffer held
			w.lost = fmt.Errorf("address watch: host %s: events lost: %w", s.host, err)
			return out
		}
		out = parse(out, buf[:n])
	}
}

// parse appends the address changes of a datagram.
func parse(out []change, b []byte) []change {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(nl.NativeEndian().Uint32(b))
		kind := nl.NativeEndian().Uint16(b[4:])
		if length < unix.SizeofNlMsghdr || length > len(b) {
			break
		}
		if kind == unix.RTM_NEWADDR || kind == unix.RTM_DELADDR {
			if key, ok := parseIfaddr(b[unix.SizeofNlMsghdr:length]); ok {
				out = append(out, change{key, kind == unix.RTM_NEWADDR})
			}
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return out
}

// parseIfaddr reads struct ifaddrmsg and its attributes. IFA_LOCAL is the own address where there is one (IPv4), else
// IFA_ADDRESS is.
func parseIfaddr(b []byte) (ifaddr, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return ifaddr{}, false
	}
	key := ifaddr{index: int(nl.NativeEndian().Uint32(b[4:]))}
	attrs, err := nl.ParseRouteAttr(b[unix.SizeofIfAddrmsg:])
	if err != nil {
		return ifaddr{}, false
	}
	for _, want := range []uint16{unix.IFA_ADDRESS, unix.IFA_LOCAL} {
		for _, a := range attrs {
			if ip, ok := netip.AddrFromSlice(a.Value); ok && a.Attr.Type == want {
				key.addr = ip
			}
		}
	}
	return key, key.addr.IsValid()
}

// record notes a change; the caller holds the lock.
func (w *Watch) record(s *watched, key ifaddr, added bool, at time.Time) {
	if s.have[key] == added {
		return
	}
	if added {
		s.have[key] = true
	} else {
		delete(s.have, key)
	}
	hosts := w.owners[key.addr]
	if hosts == nil {
		hosts = map[string]int{}
		w.owners[key.addr] = hosts
	}
	before := hosts[s.host]
	if added {
		hosts[s.host]++
	} else if hosts[s.host]--; hosts[s.host] == 0 {
		delete(hosts, s.host)
	}
	if (before > 0) == (hosts[s.host] > 0) {
		return // another interface of the host has it too
	}
	w.max[key.addr] = max(w.max[key.addr], len(hosts))
	w.events = append(w.events, AddrEvent{At: at, Host: s.host, Addr: key.addr, Added: added})
	w.notify()
}

func (w *Watch) notify() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func (w *Watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = err
	w.notify()
}

// Events lists what happened so far, oldest first.
func (w *Watch) Events() []AddrEvent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]AddrEvent(nil), w.events...)
}

// Err tells whether the record has a hole; then no count of owners can be trusted.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Owners lists the hosts that have the address now.
func (w *Watch) Owners(addr netip.Addr) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for h := range w.owners[addr] {
		out = append(out, h)
	}
	return out
}

// OwnersMax is on how many hosts the address was at one instant, at most, since the watch began.
func (w *Watch) OwnersMax(addr netip.Addr) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.max[addr]
}

// Timeline lists who had the address when, by beginning.
func (w *Watch) Timeline(addr netip.Addr) []Tenure {
	var out []Tenure
	for _, e := range w.Events() {
		if e.Addr != addr {
			continue
		}
		if e.Added {
			out = append(out, Tenure{Host: e.Host, From: e.At})
			continue
		}
		for i := len(out) - 1; i >= 0; i-- {
			if out[i].Host == e.Host && out[i].To.IsZero() {
				out[i].To = e.At
				break
			}
		}
	}
	return out
}

// Await waits until cond, asked now and after each change, says yes. cond may ask the watch.
func (w *Watch) Await(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed, lost := w.changed, w.lost
		w.mu.Unlock()
		if lost != nil {
			return lost
		}
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// AwaitOwner waits until the address is on exactly one of these hosts and on no other; with no host named, on any one.
func (w *Watch) AwaitOwner(ctx context.Context, addr netip.Addr, hosts ...string) (string, error) {
	var owner string
	err := w.Await(ctx, func() bool {
		now := w.Owners(addr)
		if len(now) != 1 {
			return false
		}
		owner = now[0]
		for _, h := range hosts {
			if h == owner {
				return true
			}
		}
		return len(hosts) == 0
	})
	if err != nil {
		return "", fmt.Errorf("address %s: on %v, wanted on one of %v: %w", addr, w.Owners(addr), hosts, err)
	}
	return owner, nil
}

// close ends the reader and waits for it.
func (w *Watch) close() error {
	one := make([]byte, 8)
	nl.NativeEndian().PutUint64(one, 1)
	if _, err := unix.Write(w.wake, one); err != nil {
		return fmt.Errorf("address watch: %w", err)
	}
	<-w.over
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := []error{unix.Close(w.epoll), unix.Close(w.wake)}
	for fd := range w.sockets {
		errs = append(errs, unix.Close(int(fd)))
	}
	clear(w.sockets)
	return errors.Join(errs...)
}
