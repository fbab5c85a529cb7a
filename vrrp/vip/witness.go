package vip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const (
	// filterMax is how many addresses the kernel's filter compares; a program has at most 4096 instructions.
	filterMax = 900
	// framesMax is how many frames are looked at in a row; then the witness rests, and what its small buffer can't hold
	// meanwhile is lost.
	framesMax    = 64
	witnessRest  = 20 * time.Millisecond
	witnessBytes = 64 << 10
	// Bounds of what frames can make us report.
	reportAgain = time.Minute
	reportsMax  = 256 // remembered
	reportPace  = 10  // a second
)

// claim is a frame's word that a MAC address has, or wants, an IP address.
type claim struct {
	index   int // of the interface that it came by
	address netip.Addr
	mac     [6]byte
}

// parseARP reads a claim: an ARP packet's sender has its address (RFC 5227 section 2.4), and one without a sender's address
// probes for its target (section 2.1.1).
func parseARP(b []byte) (c claim, ok bool) {
	const start = 14
	if len(b) < start+28 || binary.BigEndian.Uint16(b[12:]) != etherTypeARP {
		return c, false
	}
	p := b[start:]
	if binary.BigEndian.Uint16(p) != 1 || binary.BigEndian.Uint16(p[2:]) != 0x0800 || p[4] != 6 || p[5] != 4 {
		return c, false
	}
	c.mac = [6]byte(p[8:])
	c.address = netip.AddrFrom4([4]byte(p[14:]))
	if c.address.IsUnspecified() {
		c.address = netip.AddrFrom4([4]byte(p[24:]))
	}
	return c, !c.address.IsUnspecified()
}

// parseND reads a claim: a neighbour advertisement's sender has the target, and a solicitation from nowhere probes for it
// (RFC 4862 section 5.4).
func parseND(b []byte) (c claim, ok bool) {
	const ip, icmp = 14, 54
	if len(b) < icmp+24 || binary.BigEndian.Uint16(b[12:]) != etherTypeIPv6 || b[ip+6] != icmpv6 || b[ip+7] != 255 {
		return c, false
	}
	c.mac = [6]byte(b[6:])
	c.address = netip.AddrFrom16([16]byte(b[icmp+8:]))
	switch b[icmp] {
	case ndAdvert:
		if o := b[icmp+24:]; len(o) >= 8 && o[0] == 2 && o[1] == 1 { // target link-layer address
			c.mac = [6]byte(o[2:])
		}
		return c, true
	case ndSolicit:
		return c, netip.AddrFrom16([16]byte(b[ip+8:])).IsUnspecified()
	}
	return c, false
}

// Statements of a filter.
func load(size uint16, at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | size | unix.BPF_ABS, K: at}
}

func unless(k uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
}

func verdict(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

const wholeFrame = 1<<32 - 1

// anyOf accepts a frame whose loaded word is one of these.
func anyOf(f []unix.SockFilter, words []uint32) []unix.SockFilter {
	for _, w := range words {
		f = append(f, unless(w, 1), verdict(wholeFrame))
	}
	return f
}

// arpFilter lets ARP pass in which one of the addresses is the sender's, or the target of a probe.
func arpFilter(addresses []uint32) []unix.SockFilter {
	f := anyOf([]unix.SockFilter{load(unix.BPF_W, 28)}, addresses)
	f = append(f, unless(0, 1), unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 1}, verdict(0), load(unix.BPF_W, 38))
	return append(anyOf(f, addresses), verdict(0))
}

// ndFilter lets neighbour discovery pass whose target ends like one of the addresses.
func ndFilter(ends []uint32) []unix.SockFilter {
	f := []unix.SockFilter{
		load(unix.BPF_B, 20),
		unless(icmpv6, 3), // to the verdict
		load(unix.BPF_B, 54),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: ndSolicit, Jt: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: ndAdvert, Jt: 1},
		verdict(0),
		load(unix.BPF_W, 74), // the end of the target
	}
	return append(anyOf(f, ends), verdict(0))
}

// owned is an address of ours as a frame on one interface can meet it.
type owned struct {
	place    place
	instance string
	mac      string
}

type met struct {
	index   int
	address netip.Addr
}

// witness hears, by packet sockets that only receive, who else on the segments claims an address that is on here. Owned by
// its goroutine; kick may be called by anybody.
type witness struct {
	m       *Manager
	ears    [2]int // ARP, neighbour discovery; -1: not needed
	conn    *conn
	ours    map[met]owned
	macs    map[[6]byte]bool
	told    map[claim]boottime.Time
	window  boottime.Time
	reports int
}

func newWitness(m *Manager) *witness {
	return &witness{m: m, ears: [2]int{-1, -1}, told: map[claim]boottime.Time{}}
}

// run listens until ctx ends. That a socket can't be had is told once and costs the watch only.
func (w *witness) run(ctx context.Context, emit func(Event) bool) {
	defer w.close()
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		w.m.log.Warn("duplicate addresses are not looked for", "error", err)
		return
	}
	defer unix.Close(stop)
	poke := func() { _, _ = unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }
	end := context.AfterFunc(ctx, poke)
	defer end()
	w.m.onHeld(poke)
	defer w.m.onHeld(nil)
	failed := false
	for ctx.Err() == nil {
		if err := w.learn(); err != nil && !failed {
			failed = true
			w.m.log.Warn("duplicate addresses are not looked for", "error", err)
		}
		w.listen(ctx, stop, emit)
	}
}

// listen hands on claims until it is poked.
func (w *witness) listen(ctx context.Context, stop int, emit func(Event) bool) {
	fds := []unix.PollFd{{Fd: int32(stop), Events: unix.POLLIN}}
	for _, fd := range w.ears {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) // a negative one is not looked at
	}
	var b [256]byte
	for ctx.Err() == nil {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		if fds[0].Revents != 0 {
			_, _ = unix.Read(stop, b[:8])
			return
		}
		full := false
		for i, fd := range w.ears {
			if fds[i+1].Revents != 0 {
				full = w.hear(fd, i == 0, b[:], emit) || full
			}
		}
		if full {
			rest := []unix.PollFd{{Fd: int32(stop), Events: unix.POLLIN}}
			_, _ = unix.Poll(rest, int(witnessRest/time.Millisecond))
		}
	}
}

// hear looks at a bounded number of frames and reports whether there may be more.
func (w *witness) hear(fd int, arp bool, b []byte, emit func(Event) bool) bool {
	for range framesMax {
		n, from, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		if err != nil {
			return false
		}
		sa, ok := from.(*unix.SockaddrLinklayer)
		if !ok || sa.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		parse := parseND
		if arp {
			parse = parseARP
		}
		c, ok := parse(b[:n])
		c.index = sa.Ifindex
		if !ok {
			continue
		}
		if e, tell := w.judge(c, boottime.Now()); tell && !emit(e) {
			return false
		}
	}
	return true
}

// judge says whether a claim is to be told: an address of ours, a MAC address that is not, not told of lately.
func (w *witness) judge(c claim, now boottime.Time) (Event, bool) {
	o, ours := w.ours[met{c.index, c.address}]
	if !ours || w.macs[c.mac] || !w.allow(c, now) {
		return Event{}, false
	}
	return Event{
		Kind: DuplicateAddress, Dev: o.place.dev, Index: c.index, Prefix: o.place.prefix, Instance: o.instance,
		OurMAC: o.mac, TheirMAC: net.HardwareAddr(c.mac[:]).String(),
	}, true
}

func (w *witness) allow(c claim, now boottime.Time) bool {
	c.index = 0 // a macvlan and its base hear the same frame
	if at, ok := w.told[c]; ok && now.Sub(at) < reportAgain {
		return false
	}
	if now.Sub(w.window) >= time.Second || w.window.IsZero() {
		w.window, w.reports = now, 0
	}
	if w.reports >= reportPace {
		return false
	}
	w.reports++
	if len(w.told) >= reportsMax {
		clear(w.told)
	}
	w.told[c] = now
	return true
}

// learn takes in which addresses are on, and makes the sockets hear of them alone.
func (w *witness) learn() error {
	held := w.m.places()
	w.ours, w.macs = map[met]owned{}, map[[6]byte]bool{}
	if w.conn == nil {
		c, err := dial()
		if err != nil {
			return err
		}
		w.conn = c
	}
	links := map[string]linkInfo{}
	indexes := map[string]int{}
	err := w.conn.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(m message) {
		if len(m.data) < unix.SizeofIfInfomsg {
			return
		}
		l := parseLinkInfo(m.data)
		links[l.name] = l
		indexes[l.name] = int(int32(binary.NativeEndian.Uint32(m.data[4:])))
		if len(l.mac) == 6 {
			w.macs[[6]byte(l.mac)] = true
		}
	})
	if err != nil && !errors.Is(err, errInterrupted) {
		return err
	}
	var arp, nd []uint32
	for p, instance := range held {
		l := links[p.dev]
		o := owned{place: p, instance: instance, mac: net.HardwareAddr(l.mac).String()}
		address := p.prefix.Addr()
		w.ours[met{indexes[p.dev], address}] = o
		if l.kind == "macvlan" || l.kind == "ipvlan" {
			w.ours[met{l.base, address}] = o
		}
		b := address.AsSlice()
		end := binary.BigEndian.Uint32(b[len(b)-4:])
		if address.Is4() {
			arp = append(arp, end)
		} else {
			nd = append(nd, end)
		}
	}
	return errors.Join(
		w.ear(0, etherTypeARP, arp, arpFilter),
		w.ear(1, etherTypeIPv6, nd, ndFilter))
}

// ear makes one of the sockets hear of these addresses; of more than filterMax it leaves the surplus out.
func (w *witness) ear(i int, protocol uint16, words []uint32, filter func([]uint32) []unix.SockFilter) error {
	if len(words) == 0 {
		if w.ears[i] >= 0 {
			unix.Close(w.ears[i])
			w.ears[i] = -1
		}
		return nil
	}
	program := filter(words[:min(len(words), filterMax)])
	fprog := &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if w.ears[i] >= 0 {
		return unix.SetsockoptSockFprog(w.ears[i], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // deaf until it is bound
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, witnessBytes),
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8}))
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("packet socket: %w", err)
	}
	w.ears[i] = fd
	return nil
}

func (w *witness) close() {
	for i, fd := range w.ears {
		if fd >= 0 {
			unix.Close(fd)
			w.ears[i] = -1
		}
	}
	if w.conn != nil {
		w.conn.close()
		w.conn = nil
	}
}
