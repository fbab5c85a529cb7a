package packet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

func TestOf(t *testing.T) {
	on, off := true, false
	base := func() vrrp.Instance {
		return vrrp.Instance{
			VirtualRouterID: 51, AdvertInt: 2 * time.Second, AuthType: vrrp.AuthPass, AuthPass: "secret",
			Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("10.0.0.9/24")}},
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*vrrp.Instance, *vrrp.Global)
		check  func(Advert, Expect) bool
	}{
		{"version 2", func(*vrrp.Instance, *vrrp.Global) {},
			func(a Advert, e Expect) bool {
				return a.Version == 2 && a.AuthType == AuthPass && e.AuthType == AuthPass && e.AdvertInt == 2*time.Second && !e.Unicast
			}},
		{"the instance's version", func(in *vrrp.Instance, g *vrrp.Global) { in.Version = 3 },
			func(a Advert, e Expect) bool { return a.Version == 3 && e.Version == 3 && a.AuthType == AuthNone }},
		{"vrrp_version", func(in *vrrp.Instance, g *vrrp.Global) { g.Version = 3 },
			func(a Advert, e Expect) bool { return a.Version == 3 }},
		{"version 2 beside vrrp_version 3", func(in *vrrp.Instance, g *vrrp.Global) { in.Version, g.Version = 2, 3 },
			func(a Advert, e Expect) bool { return a.Version == 2 }},
		{"IPv6", func(in *vrrp.Instance, g *vrrp.Global) {
			in.Version = 2
			in.Addresses = []vrrp.Address{{Prefix: netip.MustParsePrefix("fe80::9/64")}}
		}, func(a Advert, e Expect) bool { return a.Version == 3 && e.IPv6 && e.Version == 3 }},
		{"vrrp_strict has no password", func(in *vrrp.Instance, g *vrrp.Global) { g.Strict = true },
			func(a Advert, e Expect) bool { return a.AuthType == AuthNone && e.AuthType == AuthNone }},
		{"auth_type AH", func(in *vrrp.Instance, g *vrrp.Global) { in.AuthType = vrrp.AuthAH },
			func(a Advert, e Expect) bool {
				return a.AuthType == AuthAH && a.AuthData == [8]byte{} && e.AuthType == AuthAH && e.Key == KeyOf("secret")
			}},
		{"vrrp_strict has no header", func(in *vrrp.Instance, g *vrrp.Global) { in.AuthType, g.Strict = vrrp.AuthAH, true },
			func(a Advert, e Expect) bool { return a.AuthType == AuthNone && e.AuthType == AuthNone }},
		{"version 3 has no header", func(in *vrrp.Instance, g *vrrp.Global) { in.AuthType, in.Version = vrrp.AuthAH, 3 },
			func(a Advert, e Expect) bool { return a.AuthType == AuthNone && e.AuthType == AuthNone }},
		{"no key, no header", func(in *vrrp.Instance, g *vrrp.Global) { in.AuthType, in.AuthPass = vrrp.AuthAH, "" },
			func(a Advert, e Expect) bool { return a.AuthType == AuthNone && e.AuthType == AuthNone }},
		{"strict_mode off", func(in *vrrp.Instance, g *vrrp.Global) { g.Strict, in.StrictMode = true, &off },
			func(a Advert, e Expect) bool { return a.AuthType == AuthPass }},
		{"unicast", func(in *vrrp.Instance, g *vrrp.Global) {
			in.Unicast = vrrp.Unicast{Peers: []vrrp.Peer{{Addr: a2, MinTTL: 3, MaxTTL: 255}}, OldChecksum: &on}
			g.CheckUnicastSrc = true
		}, func(a Advert, e Expect) bool {
			return e.Unicast && e.CheckSource && a.OldChecksum && !e.NoOldChecksum && e.Peers[0] == Peer{a2, 3, 255}
		}},
		{"a range checks sources", func(in *vrrp.Instance, g *vrrp.Global) {
			in.Unicast.Peers = []vrrp.Peer{{Addr: a1}, {Addr: a2, MinTTL: 3}}
		},
			func(a Advert, e Expect) bool { return e.CheckSource }},
		{"unless that is off", func(in *vrrp.Instance, g *vrrp.Global) {
			in.Unicast = vrrp.Unicast{Peers: []vrrp.Peer{{Addr: a2, MinTTL: 3, MaxTTL: 255}}, CheckSrc: &off}
		}, func(a Advert, e Expect) bool { return !e.CheckSource }},
		{"no range", func(in *vrrp.Instance, g *vrrp.Global) { in.Unicast.Peers = []vrrp.Peer{{Addr: a2, MaxTTL: 255}} },
			func(a Advert, e Expect) bool { return !e.CheckSource && e.Unicast }},
		{"old_unicast_checksum never", func(in *vrrp.Instance, g *vrrp.Global) { in.Unicast.OldChecksum = &off },
			func(a Advert, e Expect) bool { return !a.OldChecksum && e.NoOldChecksum }},
		{"skip_check_adv_addr", func(in *vrrp.Instance, g *vrrp.Global) { in.SkipCheckAdv, g.SkipCheckAdvAddr = &off, true },
			func(a Advert, e Expect) bool { return !e.SkipAddresses }},
		{"no interval written", func(in *vrrp.Instance, g *vrrp.Global) { in.AdvertInt = 0 },
			func(a Advert, e Expect) bool { return a.AdvertInt == time.Second }},
		{"no address, a source of IPv6", func(in *vrrp.Instance, g *vrrp.Global) { in.Addresses, in.McastSrcIP = nil, local6 },
			func(a Advert, e Expect) bool { return e.IPv6 && a.Version == 3 }},
		{"no address, a peer of IPv6", func(in *vrrp.Instance, g *vrrp.Global) {
			in.Addresses, in.Unicast.Peers = nil, []vrrp.Peer{{Addr: local6}}
		}, func(a Advert, e Expect) bool { return e.IPv6 }},
	} {
		in, g := base(), vrrp.Global{}
		tc.change(&in, &g)
		a, e, err := Of(in, g)
		if err != nil || !tc.check(a, e) {
			t.Errorf("%s: %+v %+v %v", tc.name, a, e, err)
		}
	}
	in := base()
	in.AdvertInt = 500 * time.Millisecond
	if _, _, err := Of(in, vrrp.Global{}); err == nil {
		t.Error("half a second goes into version 2")
	}
}
