package vip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Attributes of links upon other links (linux/if_link.h).
const (
	macvlanMode        = 1 // IFLA_MACVLAN_MODE
	macvlanModePrivate = 1 // MACVLAN_MODE_PRIVATE
	ipvlanMode         = 1 // IFLA_IPVLAN_MODE
	ipvlanModeL2       = 0 // IPVLAN_MODE_L2
	ipvlanFlags        = 2 // IFLA_IPVLAN_FLAGS
)

// VMAC is an interface of our own upon another, with a virtual router's MAC address (RFC 9568 section 7.3): a macvlan in
// mode private, or an ipvlan, which shares the MAC address of the interface below.
type VMAC struct {
	Name   string
	Base   string           // the interface below
	MAC    net.HardwareAddr // of a macvlan
	IPVlan bool
	IPv6   bool // the virtual router's family; settings of the kernel differ
	// LinkLocal has an IPv6 macvlan carry the link-local address of its base, from which adverts are then sent by it.
	LinkLocal bool
	Source    netip.Prefix // address that an ipvlan sends from; zero: none
	Mode      string       // of an ipvlan: "", bridge, private, vepa
}

func (v VMAC) equal(w VMAC) bool {
	return bytes.Equal(v.MAC, w.MAC) && v.Name == w.Name && v.Base == w.Base && v.IPVlan == w.IPVlan && v.IPv6 == w.IPv6 &&
		v.LinkLocal == w.LinkLocal && v.Source == w.Source && v.Mode == w.Mode
}

func (v VMAC) kind() string {
	if v.IPVlan {
		return "ipvlan"
	}
	return "macvlan"
}

// ErrForeign: an interface of the name that a VMAC shall have is there and is none.
var ErrForeign = errors.New("an interface of that name exists and is no virtual MAC of ours")

// vrrpMAC is how every virtual router's MAC address begins (RFC 9568 section 7.3).
var vrrpMAC = []byte{0x00, 0x00, 0x5e, 0x00}

// raise makes the interface, with its settings, and sets it up. One that is there already and is as it shall be stays.
func (v VMAC) raise(c *conn) error {
	base, err := c.index(v.Base)
	if err != nil {
		return err
	}
	fresh := true
	if index, err := c.index(v.Name); err == nil {
		info, err := c.linkInfo(index)
		switch {
		case err != nil:
			return &LinkError{v.Name, err}
		case info.kind == v.kind() && info.base == base && (v.IPVlan || bytes.Equal(info.mac, v.MAC)):
			fresh = false
		case info.kind != "macvlan" && info.kind != "ipvlan", info.kind == "macvlan" && !bytes.HasPrefix(info.mac, vrrpMAC):
			return &LinkError{v.Name, ErrForeign}
		default:
			if err := c.delLink(index); err != nil {
				return &LinkError{v.Name, err}
			}
		}
	}
	if fresh {
		c.reset()
		c.newLink(v, base)
		if err := c.one("make"); err != nil {
			return &LinkError{v.Name, fmt.Errorf("%s on %s: %w", v.kind(), v.Base, err)}
		}
	}
	index, err := c.index(v.Name)
	if err != nil {
		return err
	}
	c.reset()
	c.noOwnAddress(index)
	if err := c.one("settings"); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv6
		return &LinkError{v.Name, err}
	}
	if err := v.settle(c); err != nil {
		return &LinkError{v.Name, err}
	}
	c.reset()
	c.setUp(index)
	if err := c.one("set up"); err != nil {
		return &LinkError{v.Name, err}
	}
	return v.addresses(c, base, index)
}

// settle gives the new interface the settings that keepalived gives it. None of them is anybody else's.
func (v VMAC) settle(c *conn) error {
	type setting struct {
		key   string
		value int
	}
	settings := []setting{{"ipv6/disable_ipv6", 0}}
	if !v.IPv6 {
		settings = []setting{
			{"ipv6/disable_ipv6", 1}, // no link-local address of its own
			{"arp_ignore", 1}, {"accept_local", 1}, {"rp_filter", 0}, {promoteSecondaries, 1},
		}
	}
	var errs []error
	for _, s := range settings {
		err := c.writeKnob(knob{v.Name, s.key}, s.value)
		if errors.Is(err, os.ErrNotExist) || !v.IPv6 && s.key == "ipv6/disable_ipv6" {
			continue // no IPv6 in this kernel, or /proc is read-only: addr_gen_mode has seen to it
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addresses gives the interface what adverts are sent from.
func (v VMAC) addresses(c *conn, base, index int) error {
	c.reset()
	switch {
	case v.IPVlan && v.Source.IsValid():
		c.ownAddr(index, v.Source)
	case v.LinkLocal:
		own, err := c.linkLocal(base)
		if err != nil {
			return &LinkError{v.Name, fmt.Errorf("link-local address of %s: %w", v.Base, err)}
		}
		if !own.IsValid() {
			return &LinkError{v.Base, ErrNoLinkLocal}
		}
		c.ownAddr(index, own)
	default:
		return nil
	}
	if err := c.one("source address"); err != nil && !errors.Is(err, unix.EEXIST) {
		return &LinkError{v.Name, err}
	}
	return nil
}

// ErrNoLinkLocal: an interface has no IPv6 link-local address to send from (yet).
var ErrNoLinkLocal = errors.New("no IPv6 link-local address")

// ownAddr appends a request for an address without duplicate detection that no other traffic is sent from.
func (c *conn) ownAddr(index int, p netip.Prefix) {
	at := c.begin(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	var flags byte
	if p.Addr().Is6() {
		flags = unix.IFA_F_NODAD
	}
	scope := byte(unix.RT_SCOPE_UNIVERSE)
	if p.Addr().IsLinkLocalUnicast() {
		scope = unix.RT_SCOPE_LINK
	}
	c.ifaddr(index, p, flags, scope)
	if p.Addr().Is6() {
		c.attr(unix.IFA_CACHEINFO, cacheInfo(0, forever))
	}
	c.end(at)
}

// linkLocal is the first IPv6 link-local address of an interface; invalid if it has none.
func (c *conn) linkLocal(index int) (found netip.Prefix, err error) {
	request := make([]byte, unix.SizeofIfAddrmsg)
	request[0] = unix.AF_INET6
	err = c.dump(unix.RTM_GETADDR, request, func(m message) {
		if a, ok := parseAddr(m.data); ok && a.index == index && a.prefix.Addr().IsLinkLocalUnicast() && a.prefix.Addr().Is6() && !found.IsValid() {
			found = a.prefix
		}
	})
	return found, err
}

func (c *conn) newLink(v VMAC, base int) {
	at := c.begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	c.ifinfo(0)
	c.attr(unix.IFLA_IFNAME, append([]byte(v.Name), 0))
	c.uint32(unix.IFLA_LINK, uint32(base))
	if !v.IPVlan {
		c.attr(unix.IFLA_ADDRESS, v.MAC)
	}
	info := c.nest(unix.IFLA_LINKINFO)
	c.attr(unix.IFLA_INFO_KIND, append([]byte(v.kind()), 0))
	data := c.nest(unix.IFLA_INFO_DATA)
	if v.IPVlan {
		c.attr(ipvlanMode, binary.NativeEndian.AppendUint16(nil, ipvlanModeL2))
		if flag := map[string]uint16{"private": 1, "vepa": 2}[v.Mode]; flag != 0 {
			c.attr(ipvlanFlags, binary.NativeEndian.AppendUint16(nil, flag))
		}
	} else {
		c.uint32(macvlanMode, macvlanModePrivate)
	}
	c.unnest(data)
	c.unnest(info)
	c.end(at)
}

// noOwnAddress appends a request that keeps the kernel from giving the interface a link-local address when it goes up.
func (c *conn) noOwnAddress(index int) {
	at := c.begin(unix.RTM_SETLINK, unix.NLM_F_ACK)
	c.ifinfo(index)
	spec := c.nest(unix.IFLA_AF_SPEC)
	inet6 := c.nest(unix.AF_INET6)
	c.attr(inet6AddrGenMode, []byte{addrGenNone})
	c.unnest(inet6)
	c.unnest(spec)
	c.end(at)
}

func (c *conn) setUp(index int) {
	at := c.begin(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	var b [unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(b[12:], unix.IFF_UP)
	c.out = append(c.out, b[:]...)
	c.end(at)
}

func (c *conn) delLink(index int) error {
	c.reset()
	at := c.begin(unix.RTM_DELLINK, unix.NLM_F_ACK)
	c.ifinfo(index)
	c.end(at)
	err := c.one("remove")
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// lower removes the interface if it is ours.
func (v VMAC) lower(c *conn) error {
	index, err := c.index(v.Name)
	if errors.Is(err, ErrNoInterface) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := c.linkInfo(index)
	if errors.Is(err, ErrNoInterface) {
		return nil
	}
	if err != nil {
		return &LinkError{v.Name, err}
	}
	if info.kind != v.kind() || !v.IPVlan && !bytes.Equal(info.mac, v.MAC) {
		return nil // somebody else's, whatever its name
	}
	if err := c.delLink(index); err != nil {
		return &LinkError{v.Name, err}
	}
	return nil
}
