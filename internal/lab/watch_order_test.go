package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// TestOrder: of changes found at the same time an address goes before it comes elsewhere, whatever else a host's socket
// held before; a host's own changes keep their order, and an address that did not go is seen on both.
func TestOrder(t *testing.T) {
	vip := ifaddr{1, netip.MustParseAddr("10.0.0.100")}
	other := ifaddr{1, netip.MustParseAddr("10.0.0.101")}
	for name, c := range map[string]struct {
		one, two []change // one had vip, two had other
		want     []string
	}{
		"a renewal does not hide a hand-over": {
			two: []change{{other, true}, {vip, true}}, one: []change{{vip, false}},
			want: []string{"two +101", "one -100", "two +100"},
		},
		"there and back": {
			two: []change{{vip, true}, {vip, false}}, one: []change{{vip, false}, {vip, true}},
			want: []string{"one -100", "one +100", "two +100", "two -100"},
		},
		"an overlap stays one": {
			two:  []change{{vip, true}},
			want: []string{"two +100"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			one := &watched{host: "one", have: map[ifaddr]bool{vip: true}}
			two := &watched{host: "two", have: map[ifaddr]bool{other: true}}
			var got []string
			order([]queue{{two, c.two}, {one, c.one}}, func(s *watched, c change) {
				sign := "-"
				if s.have[c.key] = c.added; c.added {
					sign = "+"
				}
				got = append(got, fmt.Sprintf("%s %s%d", s.host, sign, c.key.addr.As4()[3]))
			})
			if name == "there and back" { // which of the two comes first can't be known
				slices.Sort(got)
				slices.Sort(c.want)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("played %v, want %v", got, c.want)
			}
		})
	}
}
