package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/cluster/tables"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stick"
	"github.com/reeve-lb/reeve/vrrp"
)

// TestEveryVerdictIsTranslated: both rooms have the same words; one that is added to the lease room without one here is seen.
func TestEveryVerdictIsTranslated(t *testing.T) {
	for k := lease.Granted; k.String() != "unknown"; k++ {
		if got := translate(lease.Verdict{Kind: k}).Kind; got.String() != k.String() {
			t.Errorf("%v becomes %v", k, got)
		}
	}
	v := lease.Verdict{Instance: "VI_1", Kind: lease.Granted, Epoch: 7, Expiry: 9, Holder: "lb1", Voters: 3}
	want := vrrp.Verdict{Instance: "VI_1", Kind: vrrp.Granted, Epoch: 7, Expiry: 9, Holder: "lb1", Voters: 3}
	if diff := cmp.Diff(want, translate(v)); diff != "" {
		t.Error(diff)
	}
}

// TestJoinChecks: a check takes from its server what its own lines leave open, and only that.
func TestJoinChecks(t *testing.T) {
	d := config.Document{
		Proxy: proxy.Config{
			Global: proxy.Global{SpreadChecks: 5},
			Backends: []proxy.Backend{{
				Name:   "app",
				Common: proxy.Common{Timeouts: proxy.Timeouts{Connect: time.Second, Check: 3 * time.Second}},
				Servers: []proxy.Server{
					{Name: "s1", Address: "192.0.2.1:80", Check: "app/s1"},
					{Name: "s2", Address: "192.0.2.2:80", Check: "app/s2"},
					{Name: "s3", Address: "192.0.2.3:80"},
				},
			}},
		},
		Checks: map[string]check.Config{
			"app/s1": {Name: "app/s1", Kind: check.TCP},
			"app/s2": {Name: "app/s2", Kind: check.TCP, Address: "192.0.2.9:81", Connect: time.Minute, Timeout: time.Minute, Jitter: 1},
		},
	}
	want := map[string]check.Config{
		"app/s1": {Name: "app/s1", Kind: check.TCP, Address: "192.0.2.1:80", Connect: time.Second, Timeout: 3 * time.Second, Jitter: 5},
		"app/s2": {Name: "app/s2", Kind: check.TCP, Address: "192.0.2.9:81", Connect: time.Minute, Timeout: time.Minute, Jitter: 1},
	}
	if diff := cmp.Diff(want, joinChecks(d)); diff != "" {
		t.Error(diff)
	}
}

// offered is a table that keeps what it is offered.
type offered []tables.Binding

func (o *offered) Offer(bs []tables.Binding) int { *o = append(*o, bs...); return len(bs) }

// TestSticky: bindings carry their table's size to the cluster, and changes of the log come back with the life that is
// left of them.
func TestSticky(t *testing.T) {
	var to offered
	s := newSticky(&to)
	s.configure(proxy.Config{Backends: []proxy.Backend{{Name: "app", StickTable: &proxy.StickTable{Size: 10}}, {Name: "bare"}}})
	s.Offer(stick.Binding{Table: "app", Key: "192.0.2.1", Server: "s1", Was: "s2", TTL: time.Minute})
	s.Offer(stick.Binding{Table: "app", Key: "192.0.2.2", Server: "s1", TTL: 1 << 62})
	want := offered{
		{Key: tables.Key{Table: "app", Key: "192.0.2.1"}, Server: "s1", Was: "s2", Expire: time.Minute, Size: 10},
		{Key: tables.Key{Table: "app", Key: "192.0.2.2"}, Server: "s1", Size: 10},
	}
	if diff := cmp.Diff(want, to); diff != "" {
		t.Error(diff)
	}

	now := time.Now()
	entry := func(key string, age, life time.Duration) tables.Entry {
		return tables.Entry{Key: tables.Key{Table: "app", Key: key}, Server: "s1", Renewed: now.Add(-age), Expires: now.Add(life - age)}
	}
	fresh := s.applied([]tables.Change{
		{Kind: tables.Bound, Entry: entry("a", time.Hour, time.Minute)}, // this machine's clock is an hour ahead
		{Kind: tables.Deleted, Entry: entry("b", 0, time.Minute)},
		{Kind: tables.Kept, Entry: tables.Entry{Key: tables.Key{Table: "app", Key: "c"}, Server: "s2"}},
	})
	if fresh[0].TTL != time.Minute || !fresh[1].Deletes() || fresh[2].TTL != longest || fresh[2].Server != "s2" {
		t.Errorf("fresh changes: %+v", fresh)
	}
	restored := s.applied([]tables.Change{{Kind: tables.Reset}, {Kind: tables.Bound, Entry: entry("a", 40*time.Second, time.Minute)}})
	if len(restored) != 1 || restored[0].TTL > 20*time.Second || restored[0].TTL < 10*time.Second {
		t.Errorf("restored with %+v, want about 20 s left", restored)
	}
}
