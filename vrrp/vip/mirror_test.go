package vip

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func linkMessage(index int, name string, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	c := conn{out: b}
	c.attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	return c.out
}

func addrMessage(index int, p netip.Prefix) []byte {
	var c conn
	c.ifaddr(index, p, 0, 0)
	return c.out
}

// told is what a reader of the events believes.
type told struct {
	links     map[string]Event
	addresses map[place]bool
}

func (w *told) hear(t *rapid.T, events []Event) {
	for _, e := range events {
		p := place{e.Dev, e.Prefix}
		switch e.Kind {
		case LinkChanged:
			w.links[e.Dev] = e
		case LinkGone:
			if _, ok := w.links[e.Dev]; !ok {
				t.Fatalf("%s gone twice", e.Dev)
			}
			delete(w.links, e.Dev)
		case AddressAdded:
			if w.addresses[p] {
				t.Fatalf("%v added twice", p)
			}
			w.addresses[p] = true
		case AddressGone:
			if !w.addresses[p] {
				t.Fatalf("%v gone twice", p)
			}
			delete(w.addresses, p)
		}
	}
}

// Whatever messages come and however many are lost: after a resync the reader believes what is so.
func TestMirrorConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var machine, seen mirror
		reader := told{map[string]Event{}, map[place]bool{}}
		names := []string{"eth0", "eth1", "br0"}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			index := rapid.IntRange(1, 3).Draw(t, "index")
			kind := rapid.SampledFrom([]uint16{unix.RTM_NEWLINK, unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_NEWADDR, unix.RTM_DELADDR}).Draw(t, "kind")
			_, there := machine.links[index]
			var data []byte
			switch kind {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK:
				flags := rapid.SampledFrom([]uint32{0, unix.IFF_UP, unix.IFF_UP | unix.IFF_RUNNING}).Draw(t, "flags")
				data = linkMessage(index, names[index-1], flags)
			default:
				if !there {
					continue // the kernel tells of no address without its link
				}
				last := byte(rapid.IntRange(1, 4).Draw(t, "address"))
				data = addrMessage(index, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 24))
			}
			machine.apply(kind, data, nil)
			if rapid.Bool().Draw(t, "arrives") {
				reader.hear(t, seen.apply(kind, data, nil))
			}
		}
		reader.hear(t, seen.become(machine))
		if len(reader.links) != len(machine.links) || len(reader.addresses) != len(machine.addresses) {
			t.Fatalf("believes %v, so is %v", reader, machine)
		}
		for index, s := range machine.links {
			if e := reader.links[s.name]; e.Index != index || e.Up != s.up || e.Carrier != s.carrier {
				t.Fatalf("believes %+v, so is %+v", e, s)
			}
		}
		for a := range machine.addresses {
			if !reader.addresses[place{machine.links[a.index].name, a.prefix}] {
				t.Fatalf("%v not told of", a)
			}
		}
		if extra := seen.become(machine); len(extra) != 0 || !maps.Equal(seen.addresses, machine.addresses) {
			t.Fatalf("a second resync tells %v", extra)
		}
	})
}

func TestMirrorRename(t *testing.T) {
	var m mirror
	m.apply(unix.RTM_NEWLINK, linkMessage(2, "eth0", unix.IFF_UP), nil)
	m.apply(unix.RTM_NEWADDR, addrMessage(2, prefix("10.0.0.1/24")), nil)
	got := m.apply(unix.RTM_NEWLINK, linkMessage(2, "wan0", unix.IFF_UP), nil)
	want := []Event{
		{Kind: AddressGone, Dev: "eth0", Index: 2, Prefix: prefix("10.0.0.1/24")},
		{Kind: LinkGone, Dev: "eth0", Index: 2},
		{Kind: LinkChanged, Dev: "wan0", Index: 2, Up: true},
		{Kind: AddressAdded, Dev: "wan0", Index: 2, Prefix: prefix("10.0.0.1/24")},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("event %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

func FuzzMirror(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWLINK), linkMessage(2, "eth0", unix.IFF_UP))
	f.Add(uint16(unix.RTM_NEWADDR), addrMessage(2, prefix("10.0.0.1/24")))
	f.Add(uint16(unix.RTM_NEWADDR), addrMessage(2, prefix("fd00::1/64")))
	f.Add(uint16(unix.RTM_NEWADDR), []byte{2, 33, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 1})
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		var m mirror
		m.apply(unix.RTM_NEWLINK, linkMessage(1, "lo", unix.IFF_UP), nil)
		for _, e := range m.apply(kind, data, nil) {
			if e.Kind < LinkChanged || e.Kind > AddressGone {
				t.Errorf("%+v", e)
			}
		}
		messages(data, func(x message) { _ = x.err() })
	})
}
