package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

const forever = 0xffffffff // INFINITY_LIFE_TIME

// put adds or renews every address of the group. m.mu is held.
func (m *Manager) put(g Group, until boottime.Time) error {
	if err := m.open(); err != nil {
		return err
	}
	var unshut error
	if g.Block {
		unshut = m.shutAddresses(g)
	}
	m.conn.reset()
	var asked []place // by request of the batch; a zero place is a request that may fail
	var errs []error
	promoted := map[int]bool{}
	for _, a := range g.Addresses {
		dev := g.dev(a)
		index, err := m.conn.index(dev)
		if err != nil {
			errs = append(errs, &AddressError{"add", a.Prefix.String(), dev, err})
			continue
		}
		if !m.recovered && wantsPromotion(a.Prefix) && !promoted[index] { // else Prepare has
			promoted[index] = true
			m.conn.promote(index)
			asked = append(asked, place{})
		}
		if err := m.conn.newAddr(index, a, g.lifetime()); err != nil {
			errs = append(errs, &AddressError{"add", a.Prefix.String(), dev, err})
			continue
		}
		asked = append(asked, place{dev, where(a)})
	}
	if !until.IsZero() && !boottime.Now().Before(until) {
		m.conn.reset()
		return fmt.Errorf("addresses of %s: %w", g.Instance, ErrExpired)
	}
	m.announcer.hold(g.Instance, until)
	fresh := false
	for _, p := range asked {
		if p.dev != "" {
			fresh = fresh || m.held[p] != g.Instance
			m.held[p] = g.Instance
		}
	}
	if fresh && m.heldChanged != nil {
		m.heldChanged()
	}
	errs = append(errs, m.send(asked))
	m.follow(g, unshut)
	if err := errors.Join(errs...); err != nil {
		delete(m.extended, g.Instance)
		return err
	}
	m.extended[g.Instance] = extension{boottime.Now(), len(g.Addresses)}
	return nil
}

// follow puts the routes and rules on that go with the addresses, and keeps their faults with that of the filter, which
// came before. What is new among them is logged.
func (m *Manager) follow(g Group, unshut error) {
	var errs []error
	if unshut != nil {
		errs = append(errs, unshut)
	}
	if p := (policy{g.Routes, g.Rules}); !p.empty() && m.conn != nil {
		now := p
		if on, ok := m.installed[g.Instance]; ok && reflect.DeepEqual(on.policy, p) {
			now = p.tracked() // what says no_track is put on once
		}
		more := now.install(m.conn)
		if len(more) == 0 {
			m.installed[g.Instance] = installed{p, g.lifetime() < 0}
		}
		m.renew(errors.Join(more...))
		errs = append(errs, more...)
	}
	m.faulty.Lock()
	defer m.faulty.Unlock()
	before := m.faults[g.Instance]
	if len(errs) == 0 {
		delete(m.faults, g.Instance)
		return
	}
	m.faults[g.Instance] = errs
	if fmt.Sprint(errs) != fmt.Sprint(before) {
		m.log.Warn("what goes with an instance's addresses could not be added", "instance", g.Instance, "error", errors.Join(errs...))
	}
}

// renew replaces a netlink socket that failed.
func (m *Manager) renew(err error) {
	if errors.Is(err, errSocket) && m.conn != nil {
		m.conn.close()
		m.conn = nil
	}
}

// shutAddresses filters the traffic of the group's addresses.
func (m *Manager) shutAddresses(g Group) error {
	list := make([]blocked, 0, len(g.Addresses))
	for _, a := range g.Addresses {
		b := blocked{address: a.Prefix.Addr()}
		if local(b.address) {
			index, err := m.conn.index(g.dev(a))
			if err != nil {
				continue // nor can the address go on
			}
			b.index = index
		}
		list = append(list, b)
	}
	return m.fw.block(g.Instance, list)
}

// send flushes the batch whose requests asked describes, and joins what failed.
func (m *Manager) send(asked []place) error {
	results, err := m.conn.flush()
	if err != nil {
		// The socket's state is unknown (an answer may still come): begin with a new one.
		m.conn.close()
		m.conn = nil
		return err
	}
	var errs []error
	for i, p := range asked {
		switch err := results[i]; {
		case err == nil:
		case p.dev == "":
			m.log.Warn("interface does not promote secondary addresses", "error", err)
		default:
			delete(m.held, p)
			errs = append(errs, &AddressError{"add", p.prefix.String(), p.dev, err})
		}
	}
	return errors.Join(errs...)
}

// take removes every address of the group, with what goes with them, and returns those that were there.
func (m *Manager) take(g Group) ([]netip.Prefix, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.off(g)
}

// off is take with m.mu held.
func (m *Manager) off(g Group) ([]netip.Prefix, error) {
	m.announcer.cancel(g.Instance)
	delete(m.extended, g.Instance)
	m.faulty.Lock()
	delete(m.faults, g.Instance)
	m.faulty.Unlock()
	delete(m.installed, g.Instance)
	places := g.places()
	before := len(m.held)
	for _, p := range places {
		delete(m.held, p)
	}
	if len(m.held) != before && m.heldChanged != nil {
		m.heldChanged()
	}
	if err := m.open(); err != nil {
		return nil, err
	}
	if p := (policy{g.Routes, g.Rules}); !p.empty() {
		if err := errors.Join(p.uninstall(m.conn)...); err != nil {
			m.log.Warn("routes or rules of an instance could not be removed", "instance", g.Instance, "error", err)
			m.renew(err)
			if err := m.open(); err != nil {
				return nil, err
			}
		}
	}
	m.conn.takePeers(g)
	found, err := remove(m.conn, places)
	m.renew(err)
	if uerr := m.fw.unblock(g.Instance); uerr != nil && err == nil {
		m.log.Warn("filter of an instance's addresses could not be removed", "instance", g.Instance, "error", uerr)
	}
	return found, err
}

// errSocket marks a failure of the netlink socket, after which a new one is needed.
var errSocket = errors.New("netlink socket failed")

// remove takes addresses off in as few system calls as possible and returns those that were on.
func remove(c *conn, places []place) ([]netip.Prefix, error) {
	c.reset()
	var found []netip.Prefix
	var errs []error
	asked := make([]place, 0, len(places))
	for _, p := range places {
		index, err := c.index(p.dev)
		switch {
		case errors.Is(err, ErrNoInterface): // its addresses went with it
		case err != nil:
			errs = append(errs, &AddressError{"remove", p.prefix.String(), p.dev, err})
		default:
			c.delAddr(index, p.prefix)
			asked = append(asked, p)
		}
	}
	results, err := c.flush()
	if err != nil {
		return nil, fmt.Errorf("remove addresses: %w: %w", errSocket, err)
	}
	for i, p := range asked {
		err := results[i]
		switch {
		case err == nil:
			found = append(found, p.prefix)
		case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV):
		default:
			errs = append(errs, &AddressError{"remove", p.prefix.String(), p.dev, err})
		}
	}
	return found, errors.Join(errs...)
}

// wantsPromotion: of several addresses of one IPv4 subnet the first is primary, and takes the others along when it
// goes. A /32 has its subnet to itself.
func wantsPromotion(p netip.Prefix) bool { return p.Addr().Is4() && p.Bits() < 32 }

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (c *conn) ifaddr(index int, p netip.Prefix, flags, scope byte) {
	c.out = append(c.out, family(p.Addr()), byte(p.Bits()), flags, scope)
	c.out = binary.NativeEndian.AppendUint32(c.out, uint32(index))
	c.attr(unix.IFA_LOCAL, p.Addr().AsSlice())
	c.attr(unix.IFA_ADDRESS, p.Addr().AsSlice())
}

// newAddr appends a request that adds an address or renews it.
func (c *conn) newAddr(index int, a vrrp.Address, life time.Duration) error {
	scope, err := scopeOf(a.Scope)
	if err != nil {
		return err
	}
	brd, err := broadcastOf(a.Broadcast, a.Prefix)
	if err != nil {
		return err
	}
	if len(a.Label) >= unix.IFNAMSIZ {
		return fmt.Errorf("label %q is longer than %d bytes", a.Label, unix.IFNAMSIZ-1)
	}
	at := c.begin(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	var flags byte
	if !a.Prefix.Addr().Is4() {
		flags = unix.IFA_F_NODAD // two seconds of duplicate detection are two seconds of outage
	}
	if a.NoDAD {
		flags |= unix.IFA_F_NODAD
	}
	c.ifaddr(index, where(a), flags, scope)
	if a.Peer.IsValid() {
		c.point(a.Peer)
	}
	if f := addressFlags(a); f != 0 {
		c.uint32(unix.IFA_FLAGS, f|uint32(flags))
	}
	if brd.IsValid() {
		c.attr(unix.IFA_BROADCAST, brd.AsSlice())
	}
	if a.Label != "" && a.Prefix.Addr().Is4() {
		c.attr(unix.IFA_LABEL, append([]byte(a.Label), 0))
	}
	c.attr(unix.IFA_CACHEINFO, cacheInfo(preferred(a, life), seconds(life)))
	c.end(at)
	return nil
}

// takePeers removes addresses of point-to-point links: the kernel finds them by their peer's.
func (c *conn) takePeers(g Group) {
	c.reset()
	for _, a := range g.Addresses {
		if !a.Peer.IsValid() {
			continue
		}
		if index, err := c.index(g.dev(a)); err == nil {
			at := c.begin(unix.RTM_DELADDR, unix.NLM_F_ACK)
			c.ifaddr(index, where(a), 0, 0)
			c.point(a.Peer)
			c.end(at)
		}
	}
	if len(c.starts) > 0 {
		_, _ = c.flush() // what is left is left: remove tells
	}
}

func (c *conn) delAddr(index int, p netip.Prefix) {
	at := c.begin(unix.RTM_DELADDR, unix.NLM_F_ACK)
	c.ifaddr(index, p, 0, 0)
	c.end(at)
}

// preferred is 0 for an IPv6 host address: it stands beside the interface's own ones, and connections that the machine
// begins are not to be sent from it. IPv4 takes the first address of the subnet anyway.
// preferred_lft says otherwise; nothing is preferred for longer than it is valid.
func preferred(a vrrp.Address, life time.Duration) uint32 {
	switch own := a.PreferredLft; {
	case own != nil && *own == 0:
		return 0
	case own != nil:
		return min(seconds(*own), seconds(life))
	case a.Prefix.Addr().Is6() && a.Prefix.IsSingleIP():
		return 0
	}
	return seconds(life)
}

// where is the address as the kernel lists it: of a point-to-point link with the peer's prefix length.
func where(a vrrp.Address) netip.Prefix {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Prefix.Addr(), a.Peer.Bits())
	}
	return a.Prefix
}

// point makes the address that was appended last one of a point-to-point link: its last attribute, IFA_ADDRESS, becomes
// the peer's.
func (c *conn) point(peer netip.Prefix) {
	b := peer.Addr().AsSlice()
	copy(c.out[len(c.out)-len(b):], b)
}

// addressFlags are the flags of ip-address(8) that do not fit into the header's byte, and those that do.
func addressFlags(a vrrp.Address) (f uint32) {
	for flag, on := range map[uint32]bool{
		unix.IFA_F_HOMEADDRESS: a.Home, unix.IFA_F_MANAGETEMPADDR: a.MngTmpAddr,
		unix.IFA_F_NOPREFIXROUTE: a.NoPrefixRoute, unix.IFA_F_MCAUTOJOIN: a.AutoJoin,
	} {
		if on {
			f |= flag
		}
	}
	return f
}

// seconds is a lifetime as the kernel counts it.
func seconds(life time.Duration) uint32 {
	if life <= 0 {
		return forever
	}
	return uint32(min((life+time.Second-1)/time.Second, forever-1))
}

// cacheInfo is struct ifa_cacheinfo: preferred and valid lifetime in seconds, two time stamps the kernel ignores.
func cacheInfo(preferred, valid uint32) []byte {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint32(b, preferred)
	binary.NativeEndian.PutUint32(b[4:], valid)
	return b
}

// scopeOf reads a scope as ip(8) spells it; "" is global.
func scopeOf(word string) (byte, error) {
	switch word {
	case "", "global", "universe":
		return unix.RT_SCOPE_UNIVERSE, nil
	case "site":
		return unix.RT_SCOPE_SITE, nil
	case "link":
		return unix.RT_SCOPE_LINK, nil
	case "host":
		return unix.RT_SCOPE_HOST, nil
	case "nowhere":
		return unix.RT_SCOPE_NOWHERE, nil
	}
	n, err := strconv.ParseUint(word, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("unknown scope %q", word)
	}
	return byte(n), nil
}

// broadcastOf reads a broadcast word: "" none, "+" host bits set, "-" host bits clear, else an address.
func broadcastOf(word string, p netip.Prefix) (netip.Addr, error) {
	if word == "" || !p.Addr().Is4() {
		return netip.Addr{}, nil
	}
	switch word {
	case "+":
		b := p.Masked().Addr().As4()
		host := ^uint32(0) >> p.Bits() // a shift by 32 leaves nothing
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|host)
		return netip.AddrFrom4(b), nil
	case "-":
		return p.Masked().Addr(), nil
	}
	a, err := netip.ParseAddr(word)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("bad broadcast address %q", word)
	}
	return a, nil
}
