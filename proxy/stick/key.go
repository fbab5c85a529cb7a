package stick

import (
	"fmt"
	"net/netip"
)

// Key is what an entry of a table is found by. It is comparable and making one of an address does not allocate. The zero
// Key is no key.
type Key struct{ addr netip.Addr }

// AddrKey is the key of a client's address: an IPv4-mapped one is the IPv4 address, a zone does not count.
func AddrKey(addr netip.Addr) Key { return Key{addr.Unmap().WithZone("")} }

// ParseKey reads what String wrote: an address.
func ParseKey(s string) (Key, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return Key{}, fmt.Errorf("key %q of a table of type ip: %w", s, err)
	}
	return AddrKey(addr), nil
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return !k.addr.IsValid() }

// Addr is the address k was made of.
func (k Key) Addr() netip.Addr { return k.addr }

// String spells the key for the wire and for people; it allocates.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return k.addr.String()
}
