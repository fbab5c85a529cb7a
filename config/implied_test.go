package config

import (
	"slices"
	"testing"
)

// TestImplied: what a node runs tracks the interfaces where its addresses, routes and rules are.
func TestImplied(t *testing.T) {
	const text = `track_group TG {
  group {
    VI_1
  }
}
static_ipaddress {
  10.9.0.1/24 dev eth10 track_group TG
  10.9.0.2/24 dev eth90
}
static_routes {
  192.0.2.0/24 via 10.9.0.9 dev eth11 track_group TG
  192.0.3.0/24 via 10.9.0.9 dev eth91
}
static_rules {
  from 192.0.2.1 iif eth12 table 100 priority 901 track_group TG
}
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  track_interface {
    eth1 weight -10
  }
  virtual_ipaddress {
    10.1.0.100/24
    10.1.0.101/24 dev eth0
    10.1.0.102/24 dev eth1
    10.1.0.103/24 dev eth2
    10.1.0.104/24 dev eth2
    10.1.0.105/24 dev eth92 no_track
  }
  virtual_ipaddress_excluded {
    10.1.0.106/24 dev eth3
  }
  virtual_routes {
    192.0.4.0/24 via 10.1.0.9 dev eth4
    192.0.5.0/24 via 10.1.0.9 dev eth93 no_track
  }
  virtual_rules {
    from 192.0.4.1 iif eth5 table 100 priority 801
    from 192.0.4.2 oif eth6 table 100 priority 802
    from 192.0.4.3 iif eth94 table 100 priority 803 no_track
  }
}
vrrp_instance VI_2 {
  interface eth0
  virtual_router_id 52
  virtual_ipaddress {
    10.1.0.200/24
  }
}
`
	doc, _, ps := Load([]File{{Name: "k.conf", Content: []byte(text)}}, Options{})
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	want := map[string][]string{
		"VI_1": {"eth1", "eth2", "eth3", "eth4", "eth5", "eth6", "eth10", "eth11", "eth12"}, "VI_2": nil,
	}
	for _, in := range doc.For("lb1").VRRP.Instances {
		var got []string
		for _, tr := range in.TrackInterfaces {
			if (tr.Weight != 0) != (tr.Name == "eth1") {
				t.Errorf("%s has the weight %d", tr.Name, tr.Weight)
			}
			got = append(got, tr.Name)
		}
		if !slices.Equal(got, want[in.Name]) {
			t.Errorf("%s tracks %v, want %v", in.Name, got, want[in.Name])
		}
	}
	if n := len(doc.VRRP.Instances[0].TrackInterfaces); n != 1 {
		t.Errorf("the document itself has %d", n)
	}
}
