package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// brportLocked is IFLA_BRPORT_LOCKED of linux/if_link.h (since 5.16): frames from a source address that the bridge has
// not been told to expect at this port are dropped.
const brportLocked = 39

// Port is one link between a host and a switch. Its cuts are made on the switch's side: the host sees them only as a
// switch would let it. Safe for concurrent use.
type Port struct {
	host   *Host
	sw     *Switch
	name   string // of the host's side
	link   netlink.Link
	now    wanted
	master int // island it is on, -1 for none
}

// wanted is what a link shall be like; the zero value is a healthy one.
type wanted struct {
	down    bool // no carrier
	cut     bool // nothing passes, carrier up
	in, out bool // nothing reaches the host; nothing of the host gets out
	island  int
}

// Carrier takes the switch's side of the link up or down: the host sees its carrier go, as when a cable is pulled.
func (p *Port) Carrier(up bool) error { return p.change(func(w *wanted) { w.down = !up }) }

// Cut drops all frames of the link, both ways; the carrier stays up.
func (p *Port) Cut() error { return p.change(func(w *wanted) { w.cut = true }) }

// CutIn drops what is sent to the host; what the host sends passes.
func (p *Port) CutIn() error { return p.change(func(w *wanted) { w.in = true }) }

// CutOut drops what the host sends; what is sent to it passes.
func (p *Port) CutOut() error { return p.change(func(w *wanted) { w.out = true }) }

// Heal undoes what was done to this link, save a partition.
func (p *Port) Heal() error { return p.change(func(w *wanted) { *w = wanted{island: w.island} }) }

func (p *Port) change(edit func(*wanted)) error {
	p.host.net.mu.Lock()
	defer p.host.net.mu.Unlock()
	return p.set(edit)
}

// set carries a change out; the caller holds the lock of the net.
func (p *Port) set(edit func(*wanted)) error {
	want := p.now
	edit(&want)
	if err := p.apply(want); err != nil {
		return fmt.Errorf("host %s: link %s: %w", p.host.name, p.name, err)
	}
	p.now = want
	return nil
}

func (p *Port) apply(want wanted) error {
	nlh := p.host.net.nl
	island := want.island
	if want.cut {
		island = -1
	}
	if island != p.master {
		if err := p.move(island); err != nil {
			return err
		}
	}
	if island >= 0 {
		if err := p.filter(want.in, want.out); err != nil {
			return err
		}
	}
	if want.down == p.now.down {
		return nil
	}
	if want.down {
		return nlh.LinkSetDown(p.link)
	}
	return p.up()
}

// move takes the switch's side to the bridge of another island. A veth keeps its carrier over it.
func (p *Port) move(island int) error {
	nlh := p.host.net.nl
	if p.master >= 0 {
		if err := nlh.LinkSetNoMaster(p.link); err != nil {
			return fmt.Errorf("leaving the switch: %w", err)
		}
		p.master = -1
	}
	if island < 0 {
		return nil
	}
	bridge, err := p.sw.island(island)
	if err != nil {
		return err
	}
	if err := nlh.LinkSetMasterByIndex(p.link, bridge.Attrs().Index); err != nil {
		return fmt.Errorf("joining the switch: %w", err)
	}
	p.master = island
	return nil
}

// filter makes the one-way cuts. Towards the host: the bridge forgets where it is and floods nothing to it. From the host:
// the port is locked and no source address is expected there. Both need that the bridge learns nothing at the port.
func (p *Port) filter(in, out bool) error {
	flags := []struct {
		attr int
		on   bool
	}{
		{nl.IFLA_BRPORT_LEARNING, !in && !out},
		{nl.IFLA_BRPORT_UNICAST_FLOOD, !in},
		{nl.IFLA_BRPORT_MCAST_FLOOD, !in},
		{nl.IFLA_BRPORT_BCAST_FLOOD, !in},
		{brportLocked, out},
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(p.link.Attrs().Index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	for _, f := range flags {
		value := byte(0)
		if f.on {
			value = 1
		}
		info.AddRtAttr(f.attr, []byte{value})
	}
	info.AddRtAttr(nl.IFLA_BRPORT_FLUSH, nil)
	req.AddData(info)
	return p.host.net.fabric.do(func() error { // the request opens its socket in the thread's namespace
		if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("cutting one way (Linux 5.16 or newer): %w", err)
		}
		return nil
	})
}

// up brings the switch's side up and waits until the link can carry frames.
func (p *Port) up() error {
	nlh := p.host.net.nl
	if err := nlh.LinkSetUp(p.link); err != nil {
		return err
	}
	// The kernel brings the operational state after the carrier, from a work queue; until then a bridge does not forward and
	// the host's side drops what it is given. Both ends have to be there.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		own, err := nlh.LinkByIndex(p.link.Attrs().Index)
		if err != nil {
			return err
		}
		far, err := p.host.nl.LinkByName(p.name)
		if err != nil {
			return err
		}
		// A side that the host itself has down is not waited for.
		if far.Attrs().RawFlags&unix.IFF_UP == 0 || own.Attrs().OperState == netlink.OperUp && far.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
	return errors.New("the link does not come up")
}
