package agent

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// known is a cluster where lb1 holds VI_1 and lb2 is the other candidate, seen by a node whose configuration has VI_1 and
// VI_2 (election vrrp).
func known() knowledge {
	vip := vrrp.Address{Prefix: netip.MustParsePrefix("192.0.2.10/24")}
	return knowledge{
		node: "lb3", election: vrrp.ElectionCluster,
		running: running{version: 4, applied: true, doc: config.Document{VRRP: vrrp.Config{Instances: []vrrp.Instance{
			{Name: "VI_1", Interface: "eth0", Addresses: []vrrp.Address{vip}, Pos: source.Pos{File: "lb3.conf", Line: 1, Col: 1}},
			{Name: "VI_2", Interface: "eth7", Election: vrrp.ElectionVRRP, Pos: source.Pos{File: "lb3.conf", Line: 9, Col: 1}},
		}}}},
		leases: lease.Status{Quorum: true, Leader: "lb2", Leases: []lease.LeaseStatus{
			{Instance: "VI_1", Holder: "lb1", Epoch: 7, Candidates: []lease.CandidateStatus{
				{Node: "lb1", Candidacy: lease.Candidacy{Priority: 150, Ready: true, Holding: true}},
				{Node: "lb2", Candidacy: lease.Candidacy{Priority: 100, Ready: true}},
			}},
			{Instance: "VI_new", Holder: "lb2", Epoch: 2},
			{Instance: "VI_gone", Epoch: 3},
		}},
	}
}

// TestWhyWhereItDoesNotStand: a node that does not take part answers with what the cluster knows, and says why it stands aside.
func TestWhyWhereItDoesNotStand(t *testing.T) {
	trouble := func(line int, text string) func(*knowledge) {
		return func(k *knowledge) {
			k.running.problems.Errorf(source.Pos{File: "lb3.conf", Line: line, Col: 1}, "", "%s", text)
		}
	}
	for _, c := range []struct {
		name, instance string
		change         func(*knowledge)
		holder         string
		epoch          uint64
		candidates     int
		says           string
	}{
		{"a witness", "VI_1", func(k *knowledge) { k.witness = true }, "lb1", 7, 2, "witness"},
		{"a witness, plain VRRP", "VI_2", func(k *knowledge) { k.witness = true }, "", 0, 0, "witness"},
		{"not taken up yet", "VI_1", nil, "lb1", 7, 2, "not taken it up yet"},
		{"its own trouble", "VI_2", trouble(9, "no interface eth7"), "", 0, 0, "no interface eth7"},
		{"trouble of all", "VI_2", trouble(1, "addresses can't be guarded"), "", 0, 0, "can't be guarded"},
		{"trouble of another", "VI_1", trouble(9, "no interface eth7"), "lb1", 7, 2, "not taken it up yet"},
		{"a version behind", "VI_new", nil, "lb2", 2, 0, "version 4 of the configuration"},
		{"without a configuration", "VI_1", func(k *knowledge) { k.running = running{} }, "lb1", 7, 2, "has no such instance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := known()
			if c.change != nil {
				c.change(&k)
			}
			y, err := k.why(c.instance)
			if err != nil {
				t.Fatal(err)
			}
			if y.Holder != c.holder || y.Epoch != c.epoch || len(y.Candidates) != c.candidates || y.Instance != c.instance || y.Node != "lb3" {
				t.Errorf("%+v", y)
			}
			if y.State != "" || !strings.HasPrefix(y.Cause, "this node does not stand for it: ") || !strings.Contains(y.Cause, c.says) {
				t.Errorf("state %q, cause %q, want none and %q", y.State, y.Cause, c.says)
			}
		})
	}
}

func TestWhyOfNothing(t *testing.T) {
	for _, name := range []string{"VI_9", "VI_gone", ""} {
		var e *api.Error
		if _, err := known().why(name); !errors.As(err, &e) || e.Code != api.CodeNotFound || !strings.Contains(e.Message, "vip list") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestWhyWhereItStands: what the speaker of the node says comes first, the cluster's candidates beside it.
func TestWhyWhereItStands(t *testing.T) {
	k := known()
	k.speaks = []speaker.InstanceStatus{{Instance: "VI_1", Election: "cluster", State: machine.Backup, BasePriority: 90, Priority: 90, Cause: "start"}}
	y, err := k.why("VI_1")
	if err != nil || y.State != "BACKUP" || y.Priority != 90 || y.Cause != "start" || y.Holder != "lb1" || len(y.Candidates) != 2 {
		t.Errorf("%v: %+v", err, y)
	}
}

// TestListShowsAll: `vip list` has each instance once, also those that this node does not stand for.
func TestListShowsAll(t *testing.T) {
	k := known()
	k.speaks = []speaker.InstanceStatus{{Instance: "VI_1", Election: "cluster", State: machine.Backup}}
	var got []string
	for _, v := range k.vips() {
		got = append(got, v.Instance+" "+v.State+" "+v.Holder+" "+v.Election)
	}
	if want := []string{"VI_1 BACKUP lb1 cluster", "VI_2   vrrp"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (knowledge{}).vips(); got == nil || len(got) != 0 {
		t.Errorf("no instances are %v, want an empty list", got)
	}
}
