package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/mdlayher/arp"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const etherTypeARP = 0x0806

// sendRetry is when a frame is tried again that the interface's queue had no room for.
const sendRetry = 2 * time.Millisecond

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// announcer is the rim of pacer: packet sockets, one an interface. It has a lock of its own, so that a long list, a slow
// pace or a full queue of one interface keeps nobody from putting addresses on and off.
type announcer struct {
	log  hclog.Logger
	kick chan struct{}

	mu      sync.Mutex
	conn    *conn // only to ask what an interface is like
	pacer   pacer
	senders map[string]*sender
	until   map[string]boottime.Time // by instance: after it nothing is announced
	refused uint64                   // frames that an interface did not take
}

// sender is an interface's packet socket with the frames of the last bursts, which the next burst of the same addresses
// uses again.
type sender struct {
	fd    int
	to    unix.SockaddrLinklayer
	link  Link
	known map[string]known // by instance
}

type known struct {
	addresses []netip.Addr
	arp, na   [][]byte
	router    bool // as na says
}

func newAnnouncer(log hclog.Logger) *announcer {
	return &announcer{
		log: log, kick: make(chan struct{}, 1), senders: map[string]*sender{}, until: map[string]boottime.Time{},
	}
}

// Announce announces the group's addresses repeat times each: gratuitous ARP requests, and for IPv6 unsolicited neighbour
// advertisements. The first frames leave before it returns, the others at the pace that Prepare was told while Run runs. It
// waits for nobody. Remove, and the expiry that Add and Extend were told, end it. When the next burst comes is the
// caller's to say.
func (m *Manager) Announce(g Group, repeat int) error { return m.announcer.announce(g, nil, repeat) }

// AnnounceOn announces once the group's addresses on these interfaces alone: what garp_extra_if repeats for virtual MACs
// that no advert leaves by (Plan.Extra).
func (m *Manager) AnnounceOn(g Group, devs []string) error { return m.announcer.announce(g, devs, 1) }

func (a *announcer) announce(g Group, only []string, repeat int) error {
	byDev := map[string][]netip.Addr{}
	for _, ad := range g.Addresses {
		if dev := g.dev(ad); only == nil || slices.Contains(only, dev) {
			byDev[dev] = append(byDev[dev], ad.Prefix.Addr())
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for dev, addresses := range byDev {
		if err := a.queue(g.Instance, dev, addresses, repeat); err != nil {
			errs = append(errs, fmt.Errorf("announce %s: %w", g.Instance, err))
		}
	}
	errs = append(errs, a.pump(boottime.Now()))
	if _, more := a.pacer.wait(boottime.Now()); more {
		a.wake()
	}
	return errors.Join(errs...)
}

func (a *announcer) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// run sends what is queued until ctx ends.
func (a *announcer) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		a.mu.Lock()
		if err := a.pump(boottime.Now()); err != nil {
			a.log.Warn("announcement not sent", "error", err)
		}
		wait, more := a.pacer.wait(boottime.Now())
		a.mu.Unlock()
		if !more {
			wait = time.Hour
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.kick:
		case <-timer.C:
		}
	}
}

// hold says until when an instance may announce; zero: for ever.
func (a *announcer) hold(instance string, until boottime.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until[instance] = until
}

// cancel ends an instance's announcements.
func (a *announcer) cancel(instance string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.until, instance)
	a.pacer.cancel(instance)
	for _, s := range a.senders {
		delete(s.known, instance)
	}
}

func (a *announcer) pace(p Pacing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pacer.set(p)
	a.wake()
}

func (a *announcer) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for dev, s := range a.senders {
		errs = append(errs, unix.Close(s.fd))
		delete(a.senders, dev)
	}
	if a.conn != nil {
		errs = append(errs, a.conn.close())
		a.conn = nil
	}
	a.pacer = pacer{pacing: a.pacer.pacing}
	return errors.Join(errs...)
}

// queue makes the bursts of one interface. a.mu is held.
func (a *announcer) queue(instance, dev string, addresses []netip.Addr, repeat int) error {
	if a.conn == nil {
		c, err := dial()
		if err != nil {
			return err
		}
		a.conn = c
	}
	link, err := a.conn.link(dev)
	if err != nil || link.MAC == nil { // no Ethernet (loopback, a tunnel): nobody there asks by ARP
		return err
	}
	s, err := a.sender(link)
	if err != nil {
		return err
	}
	k, router := s.known[instance], forwards(a.conn, dev, addresses)
	if k.router != router || !slices.Equal(k.addresses, addresses) {
		if k, err = announcements(link.MAC, addresses, router); err != nil {
			return &LinkError{dev, err}
		}
		s.known[instance] = k
	}
	a.pacer.add(&burst{instance: instance, dev: dev, frames: k.arp, left: repeat})
	a.pacer.add(&burst{instance: instance, dev: dev, na: true, frames: k.na, left: repeat})
	return nil
}

// pump sends what is due, a bounded number of frames. a.mu is held.
func (a *announcer) pump(now boottime.Time) error {
	var errs []error
	for range burstMax {
		l := a.pacer.due(now)
		if l == nil {
			break
		}
		if b := l.bursts[0]; a.expired(b.instance, now) || a.senders[b.dev] == nil {
			l.drop(b)
			continue
		}
		b, frame := l.take(now)
		s := a.senders[b.dev]
		switch err := unix.Sendto(s.fd, frame, unix.MSG_DONTWAIT, &s.to); err {
		case nil:
		case unix.EAGAIN, unix.ENOBUFS: // the interface's queue is full; the round that is missing one is not the last
			a.refused++
			l.next = now.Add(max(l.interval, sendRetry))
		default:
			l.drop(b)
			a.forget(b.dev)
			errs = append(errs, &LinkError{b.dev, err})
		}
	}
	return errors.Join(errs...)
}

func (a *announcer) expired(instance string, now boottime.Time) bool {
	until := a.until[instance]
	return !until.IsZero() && !now.Before(until)
}

// sender returns the interface's socket, a new one when the interface is another than before.
func (a *announcer) sender(l Link) (*sender, error) {
	if s, ok := a.senders[l.Name]; ok {
		if s.link.Index == l.Index && slices.Equal(s.link.MAC, l.MAC) {
			return s, nil
		}
		a.forget(l.Name)
	}
	// Protocol 0: it sends and never receives.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	s := &sender{fd: fd, link: l, to: unix.SockaddrLinklayer{Ifindex: l.Index}, known: map[string]known{}}
	a.senders[l.Name] = s
	return s, nil
}

func (a *announcer) forget(dev string) {
	if s, ok := a.senders[dev]; ok {
		unix.Close(s.fd)
		delete(a.senders, dev)
	}
}

// forwards tells whether the interface is a router's for IPv6, if any of the addresses is of that family. The kernel's own
// neighbour advertisements say the same.
func forwards(c *conn, dev string, addresses []netip.Addr) bool {
	if !slices.ContainsFunc(addresses, netip.Addr.Is6) {
		return false
	}
	on, err := c.readKnob(knob{dev, "ipv6/forwarding"})
	return err == nil && on != 0
}

func announcements(mac net.HardwareAddr, addresses []netip.Addr, router bool) (known, error) {
	k := known{addresses: addresses, router: router}
	for _, ad := range addresses {
		f, err := announcement(mac, ad, router)
		if err != nil {
			return known{}, err
		}
		if ad.Is4() {
			k.arp = append(k.arp, f)
		} else {
			k.na = append(k.na, f)
		}
	}
	return k, nil
}

// announcement is the frame that tells the segment where an address lives now.
func announcement(mac net.HardwareAddr, a netip.Addr, router bool) ([]byte, error) {
	if !a.Is4() {
		return neighbourAdvertisement(mac, a, router)
	}
	p, err := arp.NewPacket(arp.OperationRequest, mac, a, broadcastMAC, a)
	if err != nil {
		return nil, fmt.Errorf("gratuitous ARP for %s: %w", a, err)
	}
	body, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("gratuitous ARP for %s: %w", a, err)
	}
	return ethernet(broadcastMAC, mac, etherTypeARP, body), nil
}

func ethernet(to, from net.HardwareAddr, kind uint16, body []byte) []byte {
	f := make([]byte, 0, 14+len(body))
	f = append(f, to...)
	f = append(f, from...)
	f = append(f, byte(kind>>8), byte(kind))
	return append(f, body...)
}
