package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/mdlayher/arp"
	"golang.org/x/sys/unix"
)

const etherTypeARP = 0x0806

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// sender is an interface's packet socket with the frames of the last burst, which the next burst of the same addresses
// uses again.
type sender struct {
	fd        int
	link      Link
	addresses []netip.Addr
	frames    [][]byte
}

func (s *sender) close() error { return unix.Close(s.fd) }

// Announce sends repeat rounds of one gratuitous ARP request per IPv4 address of the group, without a pause: the burst
// after becoming MASTER. The schedule of bursts is the caller's. IPv6 addresses are announced by unsolicited neighbour
// advertisements.
func (m *Manager) Announce(g Group, repeat int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return err
	}
	byDev := map[string][]netip.Addr{}
	for _, a := range g.Addresses {
		dev := g.dev(a)
		byDev[dev] = append(byDev[dev], a.Prefix.Addr())
	}
	var errs []error
	for dev, addresses := range byDev {
		if err := m.announce(dev, addresses, repeat); err != nil {
			errs = append(errs, fmt.Errorf("announce %s: %w", g.Instance, err))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) announce(dev string, addresses []netip.Addr, repeat int) error {
	link, err := m.conn.link(dev)
	if err != nil || link.MAC == nil { // no Ethernet (loopback, a tunnel): nobody there asks by ARP
		return err
	}
	s, err := m.sender(link)
	if err != nil {
		return err
	}
	if !slices.Equal(s.addresses, addresses) {
		s.addresses, s.frames = addresses, nil
		for _, a := range addresses {
			f, err := announcement(link.MAC, a)
			if err != nil {
				return &LinkError{dev, err}
			}
			s.frames = append(s.frames, f)
		}
	}
	to := &unix.SockaddrLinklayer{Ifindex: link.Index, Protocol: 0}
	for range repeat {
		for _, f := range s.frames {
			if err := unix.Sendto(s.fd, f, unix.MSG_DONTWAIT, to); err != nil {
				m.forget(dev)
				return &LinkError{dev, err}
			}
		}
	}
	return nil
}

// sender returns the interface's socket, a new one when the interface is another than before.
func (m *Manager) sender(l Link) (*sender, error) {
	if s, ok := m.senders[l.Name]; ok {
		if s.link.Index == l.Index && slices.Equal(s.link.MAC, l.MAC) {
			return s, nil
		}
		m.forget(l.Name)
	}
	// Protocol 0: it sends and never receives.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	s := &sender{fd: fd, link: l}
	m.senders[l.Name] = s
	return s, nil
}

func (m *Manager) forget(dev string) {
	if s, ok := m.senders[dev]; ok {
		s.close()
		delete(m.senders, dev)
	}
}

// announcement is the frame that tells the segment where an address lives now.
func announcement(mac net.HardwareAddr, a netip.Addr) ([]byte, error) {
	if !a.Is4() {
		return neighbourAdvertisement(mac, a)
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
