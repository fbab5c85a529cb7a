package cluster

import (
	"net/netip"
	"testing"
)

// 0.0.0.0 hears no IPv6: an address of that family would be told to the others in vain.
func TestAdvertiseIsOfTheBoundFamily(t *testing.T) {
	c := Config{Bind: netip.IPv4Unspecified()}
	if err := c.addresses(); err != nil {
		t.Fatal(err)
	}
	if !c.Advertise.Is4() || c.Advertise.IsUnspecified() {
		t.Errorf("bound to %v, advertises %v", c.Bind, c.Advertise)
	}
}

func TestAdvertiseKeepsWhatIsGiven(t *testing.T) {
	bind, given := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.7")
	for _, c := range []Config{{Bind: bind}, {Bind: bind, Advertise: given}, {Advertise: given}} {
		want := c.Advertise
		if !want.IsValid() {
			want = bind
		}
		if err := c.addresses(); err != nil || c.Advertise != want {
			t.Errorf("advertises %v, want %v: %v", c.Advertise, want, err)
		}
	}
}
