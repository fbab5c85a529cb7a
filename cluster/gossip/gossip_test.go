package gossip

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"
)

func TestWithPort(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:7301", "10.0.0.1:99": "10.0.0.1:99", "::1": "[::1]:7301", "[::1]": "[::1]:7301", "[::1]:5": "[::1]:5",
		"lb2": "lb2:7301", "lb2.example.com:8": "lb2.example.com:8",
	} {
		if got := WithPort(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func peer(name, id, cluster, proto, addr string) serf.Member {
	a := netip.MustParseAddrPort(addr)
	return serf.Member{Name: name, Addr: a.Addr().AsSlice(), Port: a.Port(), Tags: map[string]string{tagID: id, tagCluster: cluster, tagProto: proto}}
}

func TestWhoIsRefused(t *testing.T) {
	taken := ""
	o := &Options{Name: "me", ID: "1", ClusterID: "c", Advertise: netip.MustParseAddr("10.0.0.1"), Port: 7301,
		NameTaken: func(a netip.AddrPort, _ string) { taken = a.String() }}
	var logs bytes.Buffer
	g := &guard{o: o, log: hclog.New(&hclog.LoggerOptions{Output: &logs}), known: map[string]identity{}}
	g.learn(serf.MemberEvent{Type: serf.EventMemberJoin, Members: []serf.Member{peer("lb2", "2", "c", "1", "10.0.0.2:7301")}})
	for _, c := range []struct {
		what, refusal string
		m             serf.Member
	}{
		{"a new node", "", peer("lb3", "3", "c", "1", "10.0.0.3:7301")},
		{"a known node", "", peer("lb2", "2", "c", "1", "10.0.0.2:7301")},
		{"a known node that moved", "", peer("lb2", "2", "c", "1", "10.0.0.9:7301")},
		{"a new life at the same address", "", peer("lb2", "9", "c", "1", "10.0.0.2:7301")},
		{"the next protocol", "", peer("lb3", "3", "c", "2", "10.0.0.3:7301")},
		{"oneself", "", peer("me", "1", "c", "1", "10.0.0.1:7301")},
		{"a former life of oneself", "", peer("me", "7", "c", "1", "10.0.0.1:7301")},
		{"a second lb2", "node name lb2 is taken: 10.0.0.2:7301 has it, 10.0.0.5:7301 wants it", peer("lb2", "5", "c", "1", "10.0.0.5:7301")},
		{"another cluster", `node x at 10.0.0.6:7301 is of another cluster ("d", ours is "c")`, peer("x", "6", "d", "1", "10.0.0.6:7301")},
		{"a protocol too far", "speaks protocol", peer("x", "6", "c", "3", "10.0.0.6:7301")},
		{"no id", "has no id", peer("x", "", "c", "1", "10.0.0.6:7301")},
		{"a second me", "node name me is taken", peer("me", "8", "c", "1", "10.0.0.8:7301")},
	} {
		err := g.NotifyMerge([]*serf.Member{&c.m})
		if (err == nil) != (c.refusal == "") || (err != nil && !strings.Contains(err.Error(), c.refusal)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.refusal)
		}
	}
	if taken != "10.0.0.8:7301" {
		t.Errorf("told of %q", taken)
	}
	// Once a node is gone its name is free.
	g.learn(serf.MemberEvent{Type: serf.EventMemberFailed, Members: []serf.Member{peer("lb2", "2", "c", "1", "10.0.0.2:7301")}})
	m := peer("lb2", "5", "c", "1", "10.0.0.5:7301")
	if err := g.NotifyMerge([]*serf.Member{&m}); err != nil {
		t.Errorf("the name of a failed node: %v", err)
	}
	before := logs.Len()
	stranger := peer("x", "6", "d", "1", "10.0.0.6:7301")
	for range 50 {
		_ = g.NotifyMerge([]*serf.Member{&stranger})
	}
	if logs.Len() != before {
		t.Errorf("repeats itself:\n%s", logs.String())
	}
}

func TestLinesOfStrangersAreLimited(t *testing.T) {
	var b bytes.Buffer
	l := newStdLogger(hclog.New(&hclog.LoggerOptions{Output: &b, Level: hclog.Info}))
	for i := range 1000 {
		l.Printf("[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.7:%d", i)
		l.Printf("[ERR] memberlist: msg type (%d) not supported from=10.0.0.8:1", i%250)
		l.Printf("[INFO] serf: EventMemberJoin: x")
	}
	out := b.String()
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, "refused gossip of another cluster key: address=10.0.0.7") || !strings.Contains(out, "refused gossip: address=10.0.0.8") {
		t.Errorf("logged:\n%s", out)
	}
}
