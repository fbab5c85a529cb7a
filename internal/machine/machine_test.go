package machine

import (
	"net/netip"
	"slices"
	"testing"
)

func TestNetworks(t *testing.T) {
	nets, ok := Networks("lo")
	if !ok {
		t.Fatal("there is no lo")
	}
	if len(nets) > 0 && !slices.Contains(nets, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("lo has %v", nets)
	}
	if nets, ok := Networks("no-such-thing"); ok || nets != nil {
		t.Errorf("an interface that is not there has %v", nets)
	}
}
