package vip

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// mirror is what has been told about the machine's links and addresses: a pure core that turns netlink messages into
// the events in which the machine differs from it. The zero value knows nothing.
type mirror struct {
	links     map[int]linkState
	addresses map[indexed]bool
}

type linkState struct {
	name        string
	up, carrier bool
}

// indexed is an address on the interface of that index.
type indexed struct {
	index  int
	prefix netip.Prefix
}

// apply takes in one message and appends the events it means. Malformed messages mean none.
func (m *mirror) apply(kind uint16, data []byte, out []Event) []Event {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(data) < unix.SizeofIfInfomsg {
			return out
		}
		// A bridge or a wireless driver sends messages of its own family about a port; they say nothing about the link.
		if data[0] != unix.AF_UNSPEC {
			return out
		}
		index, s := parseLink(data)
		if kind == unix.RTM_DELLINK {
			return m.unlink(index, out)
		}
		return m.link(index, s, out)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, ok := parseAddr(data); ok {
			return m.address(a, kind == unix.RTM_NEWADDR, out)
		}
	}
	return out
}

func (m *mirror) link(index int, s linkState, out []Event) []Event {
	old, known := m.links[index]
	if known && old == s {
		return out
	}
	var moved []indexed
	if known && old.name != s.name {
		moved = m.of(index) // of them the kernel says nothing
		out = m.unlink(index, out)
	}
	if m.links == nil {
		m.links = map[int]linkState{}
	}
	m.links[index] = s
	out = append(out, Event{Kind: LinkChanged, Dev: s.name, Index: index, Up: s.up, Carrier: s.carrier})
	for _, a := range moved {
		out = m.address(a, true, out)
	}
	return out
}

// of lists the addresses on a link.
func (m *mirror) of(index int) []indexed {
	return slices.DeleteFunc(sorted(m.addresses), func(a indexed) bool { return a.index != index })
}

// unlink forgets a link with the addresses that go with it.
func (m *mirror) unlink(index int, out []Event) []Event {
	s, known := m.links[index]
	if !known {
		return out
	}
	for _, a := range m.of(index) {
		out = m.address(a, false, out)
	}
	delete(m.links, index)
	return append(out, Event{Kind: LinkGone, Dev: s.name, Index: index})
}

func (m *mirror) address(a indexed, on bool, out []Event) []Event {
	link, known := m.links[a.index]
	if m.addresses[a] == on || !known { // an unknown link's message was lost: its addresses come with the resync
		return out
	}
	kind := AddressGone
	if on {
		kind = AddressAdded
		if m.addresses == nil {
			m.addresses = map[indexed]bool{}
		}
		m.addresses[a] = true
	} else {
		delete(m.addresses, a)
	}
	return append(out, Event{Kind: kind, Dev: link.name, Index: a.index, Prefix: a.prefix})
}

// become makes m equal to now and returns the events in between.
func (m *mirror) become(now mirror) []Event {
	var out []Event
	for _, index := range slices.Sorted(maps.Keys(m.links)) {
		if s, there := now.links[index]; !there || s.name != m.links[index].name {
			out = m.unlink(index, out)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(now.links)) {
		out = m.link(index, now.links[index], out)
	}
	for _, a := range sorted(m.addresses) {
		if !now.addresses[a] {
			out = m.address(a, false, out)
		}
	}
	for _, a := range sorted(now.addresses) {
		out = m.address(a, true, out)
	}
	return out
}

func sorted(set map[indexed]bool) []indexed {
	return slices.SortedFunc(maps.Keys(set), func(a, b indexed) int {
		return cmp.Or(cmp.Compare(a.index, b.index), a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
}

func parseLink(b []byte) (int, linkState) {
	index := int(int32(binary.NativeEndian.Uint32(b[4:])))
	flags := binary.NativeEndian.Uint32(b[8:])
	s := linkState{up: flags&unix.IFF_UP != 0}
	s.carrier = s.up && flags&unix.IFF_RUNNING != 0
	attrs(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		if kind == unix.IFLA_IFNAME {
			s.name = unix.ByteSliceToString(v)
		}
	})
	return index, s
}

func parseAddr(b []byte) (indexed, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return indexed{}, false
	}
	bits := int(b[1])
	index := int(binary.NativeEndian.Uint32(b[4:]))
	var local, address netip.Addr
	attrs(b[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(v)
		}
	})
	if !local.IsValid() {
		local = address // IPv6 without a peer has no IFA_LOCAL
	}
	p := netip.PrefixFrom(local, bits)
	return indexed{index, p}, p.IsValid()
}
