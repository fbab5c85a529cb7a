package dump

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reeve-lb/reeve/vrrp"
)

// global is what keepalived's defaults come to.
func global() vrrp.Global {
	return vrrp.Global{
		RouterID: "LB1", Version: 2, McastGroup4: netip.MustParseAddr("224.0.0.18"), McastGroup6: netip.MustParseAddr("ff02::12"),
		GarpMasterDelay: 5 * time.Second, GarpMasterRepeat: 5, GarpMasterRefreshRept: 1, DownTimerAdverts: 3, ScriptUser: "root",
	}
}

func addr(s string) vrrp.Address { return vrrp.Address{Prefix: netip.MustParsePrefix(s)} }

func cmd(words string) vrrp.Command { return vrrp.Command{Argv: strings.Fields(words)} }

// snapshot is what keepalived 2.2.7 ran when it wrote testdata/keepalived.json.
func snapshot() Snapshot {
	g := global()
	g.GarpMasterRefresh, g.GarpLowerPrioDelay, g.SkipCheckAdvAddr = 60*time.Second, new(7*time.Second), true
	b1 := vrrp.Instance{
		Name: "B1", State: "BACKUP", Interface: "eth0", VirtualRouterID: 61, Priority: 100, AdvertInt: 2 * time.Second, Version: 2,
		NoPreempt: true, Promote: true, DontTrackPrim: true, Accept: new(false), LowerNoAdvert: new(true), HigherSend: new(true),
		Garp:         vrrp.Garp{MasterDelay: new(3 * time.Second), MasterRepeat: new(2)},
		Addresses:    []vrrp.Address{addr("10.9.0.110/24"), addr("10.9.0.111/32")},
		TrackScripts: []vrrp.Track{{Name: "chk"}, {Name: "bad", Weight: new(3)}}, TrackInterfaces: []vrrp.TrackInterface{{Name: "eth1", Weight: 5}, {Name: "eth0"}},
		Routes: []vrrp.Route{
			{Dst: netip.MustParsePrefix("10.21.0.0/24"), Dev: "eth0", Metric: 5, Table: "100"},
			{Dst: netip.MustParsePrefix("10.22.0.0/24"), Src: netip.MustParseAddr("10.9.0.110"), Via: netip.MustParseAddr("10.9.0.9")},
			{Dst: netip.MustParsePrefix("10.23.0.0/24"), Type: "blackhole"},
		},
		Rules: []vrrp.Rule{
			{From: netip.MustParsePrefix("10.9.0.110/32"), To: netip.MustParsePrefix("10.3.0.0/24"), Table: "100", Priority: 77},
			{IIF: "eth0", Fwmark: 3, Table: "100", Priority: 78},
		},
		Notifies: vrrp.Notifies{Master: cmd("/usr/bin/true"), Deleted: cmd("/usr/bin/true d"), MasterRxLower: cmd("/usr/bin/true l"), SayDeleted: true},
	}
	b1.Addresses[0].Broadcast, b1.Addresses[0].Scope = "+", "link"
	b1.Addresses[1].Broadcast, b1.Addresses[1].Label = "10.9.0.255", "eth0:x"
	b2 := vrrp.Instance{Name: "B2", Interface: "eth1", VirtualRouterID: 62, Priority: 120, PreemptDelay: 5500 * time.Millisecond, Version: 2,
		VMAC: vrrp.VMAC{Use: true, Name: "vr62"}, Addresses: []vrrp.Address{addr("10.9.1.110/32")}}
	b3 := vrrp.Instance{Name: "B3", Interface: "eth2", VirtualRouterID: 63, Priority: 120, Version: 3,
		Addresses: []vrrp.Address{addr("10.9.2.110/32")}, TrackScripts: []vrrp.Track{{Name: "bad", Weight: new(0)}}}
	b4 := vrrp.Instance{Name: "B4", Interface: "eth0", VirtualRouterID: 64, Priority: 255, StrictMode: new(true), Version: 2, Addresses: []vrrp.Address{addr("10.9.0.64/32")}}
	b6 := vrrp.Instance{Name: "B6", Interface: "eth0", VirtualRouterID: 66, Priority: 100, AuthType: 2, AuthPass: "abc", Version: 2,
		Addresses: []vrrp.Address{addr("10.9.0.66/32")}, Notifies: vrrp.Notifies{Stop: cmd("/usr/bin/true s")}}
	b7 := vrrp.Instance{Name: "B7", Interface: "eth1", VirtualRouterID: 67, Priority: 100, Version: 3,
		Addresses: []vrrp.Address{addr("2001:db8::5/64"), addr("fe80::5/128")}, Excluded: []vrrp.Address{addr("10.9.1.66/32")},
		Notifies: vrrp.Notifies{Fault: cmd("/usr/bin/true s")}}
	at := time.Unix(1795276412, 791121000)
	return Snapshot{
		Config: vrrp.Config{
			Global: g, Instances: []vrrp.Instance{b1, b2, b3, b4, b6, b7},
			Scripts: []vrrp.Script{
				{Name: "chk", Command: []string{"/usr/bin/true"}, Interval: 2 * time.Second, Timeout: 3 * time.Second, Weight: -20, Rise: 2, Fall: 3},
				{Name: "bad", Command: []string{"/usr/bin/false", "x", "y z"}, Interval: time.Second, Weight: -10, Rise: 1, Fall: 1, InitFail: true},
			},
			SyncGroups: []vrrp.SyncGroup{{Name: "G2", Members: []string{"B2", "B3"}, TrackScripts: []vrrp.Track{{Name: "bad"}}, SMTPAlert: new(true)}},
		},
		Groups:  map[string]State{"G2": Fault},
		Scripts: map[string]Script{"chk": {Known: true, Good: true}, "bad": {Known: true}},
		Instances: map[string]Instance{
			"B1": {State: Backup, Want: Backup, Since: at, Priority: 105, MasterRouter: netip.MustParseAddr("10.9.0.2"), MasterPrio: 200,
				Source: netip.MustParseAddr("10.9.0.1"), Stats: Stats{AdvertRcvd: 1}},
			"B2": {State: Fault, Want: Fault, Since: at, Priority: 110},
			"B3": {State: Fault, Want: Fault, Since: at, Priority: 120, Faults: 2},
			"B4": {State: Master, Want: Master, Since: at, Priority: 255, AddressesOn: true, Stats: Stats{AdvertSent: 7, BecomeMaster: 1}},
			"B6": {State: Master, Want: Master, Since: at, Priority: 100, AddressesOn: true, Stats: Stats{AdvertSent: 4, BecomeMaster: 1}},
			"B7": {State: Master, Want: Master, Since: at, Priority: 100, AddressesOn: true, Stats: Stats{AdvertSent: 4, BecomeMaster: 1}},
		},
	}
}

// TestJSON: byte for byte what keepalived wrote, but for the moments of the last transitions.
func TestJSON(t *testing.T) {
	golden, err := os.ReadFile("testdata/keepalived.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := JSON(snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(golden), lines(got)); diff != "" {
		t.Errorf("-keepalived +ours:\n%s", diff)
	}
	if !json.Valid(got) {
		t.Errorf("no JSON: %s", got)
	}
}

// lines breaks JSON at its commas, so that a difference can be read.
func lines(b []byte) []string {
	return strings.Split(strings.ReplaceAll(string(b), `,"`, ",\n\""), "\n")
}

// TestNothing: no instances, or instances that never ran, are no reason to write what is no JSON.
func TestNothing(t *testing.T) {
	b, err := JSON(Snapshot{})
	if err != nil || string(b) != "[]\n" {
		t.Errorf("%q, %v", b, err)
	}
	s := Snapshot{Config: vrrp.Config{Instances: []vrrp.Instance{{Name: "a\"/<\n", Priority: 7}}}}
	b, err = JSON(s)
	var back []struct{ Data struct{ IName string } }
	if err != nil || json.Unmarshal(b, &back) != nil || back[0].Data.IName != "a\"/<\n" {
		t.Errorf("%s, %v", b, err)
	}
	for _, text := range [][]byte{Data(s), StatsText(s), ParentData(s)} {
		if len(text) == 0 || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("%q", text)
		}
	}
}

// TestData holds the part of keepalived.data that programs read against keepalived's own, line for line: instances but
// what belongs to keepalived's own sockets and processes, and scripts.
func TestData(t *testing.T) {
	golden, err := os.ReadFile("testdata/keepalived.data")
	if err != nil {
		t.Fatal(err)
	}
	theirs, mine := keep(golden), keep(Data(snapshot()))
	if diff := cmp.Diff(theirs, mine); diff != "" {
		t.Errorf("-keepalived +ours:\n%s", diff)
	}
}

// machinery are keys whose values are keepalived's own affair: file descriptors, timers, ids of users, what it counts of
// its configuration.
var machinery = []string{"fd_in", "Read timeout", "Last transition", "Number of", "Master down timer", "Multicast address", "Using src_ip",
	"Use VMAC", "Flags", "transition script", "Result", "Insecure", "Script uid", "Unicast checksum", "VRRP instances", "B2, weight", "Notify priority"}

func keep(b []byte) []string {
	var out []string
	in := false
	for l := range strings.Lines(string(b)) {
		l = strings.TrimRight(l, "\n")
		if strings.HasPrefix(l, "------<") {
			in = strings.Contains(l, "Topology") || strings.Contains(l, "VRRP Scripts")
			continue
		}
		own := false
		for _, m := range machinery {
			own = own || strings.Contains(l, m)
		}
		if in && !own {
			out = append(out, l)
		}
	}
	return out
}

func TestStats(t *testing.T) {
	s := Snapshot{
		Config:    vrrp.Config{Instances: []vrrp.Instance{{Name: "VI_1"}}},
		Instances: map[string]Instance{"VI_1": {Stats: Stats{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}}},
	}
	want := `VRRP Instance: VI_1
  Advertisements:
    Received: 1
    Sent: 2
  Became master: 3
  Released master: 4
  Packet Errors:
    Length: 5
    TTL: 7
    Invalid Type: 8
    Advertisement Interval: 6
    Address List: 9
  Authentication Errors:
    Invalid Type: 10
    Type Mismatch: 11
    Failure: 12
  Priority Zero:
    Received: 13
    Sent: 14
`
	if diff := cmp.Diff(want, string(StatsText(s))); diff != "" {
		t.Error(diff)
	}
}

// TestSub: counters that were cleared begin at 0; those of an instance made anew since are below what was remembered.
func TestSub(t *testing.T) {
	before := Stats{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	now := Stats{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28}
	if got := now.Sub(before); got != before {
		t.Errorf("%+v", got)
	}
	if got := (Stats{}).Sub(before); got != (Stats{}) {
		t.Errorf("%+v", got)
	}
}

func TestStates(t *testing.T) {
	for i, word := range []string{"INIT", "BACKUP", "MASTER", "FAULT"} {
		if State(i).String() != word || ParseState(word) != State(i) {
			t.Errorf("%d is %q, %q is %d", i, State(i), word, ParseState(word))
		}
	}
	if State(9).String() != "INIT" || State(-1).String() != "INIT" || ParseState("?") != Init {
		t.Error("what is unknown is not INIT")
	}
}
