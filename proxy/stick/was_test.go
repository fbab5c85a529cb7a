package stick_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy/stick"
)

// TestBindNamesWhatItReplaces: only a server that the log has agreed on is named, so that a race of two first bindings is
// still decided by the log.
func TestBindNamesWhatItReplaces(t *testing.T) {
	tb := stick.New(10, time.Minute)
	k := stick.AddrKey(netip.MustParseAddr("192.0.2.1"))
	if b := tb.Bind("app", k, "s1", 0); b.Was != "" {
		t.Fatalf("first binding replaces %q", b.Was)
	}
	if b := tb.Bind("app", k, "s2", 1); b.Was != "" {
		t.Fatalf("a tentative binding was named as agreed: %q", b.Was)
	}
	tb.Apply(k, "s1", time.Minute, 2)
	if b := tb.Bind("app", k, "s2", 3); b.Was != "s1" {
		t.Fatalf("replaces %q, want s1", b.Was)
	}
	if b := tb.Bind("app", k, "s3", 4); b.Was != "s1" {
		t.Fatalf("bound anew before the log spoke: replaces %q, want s1", b.Was)
	}
	tb.Apply(k, "s3", time.Minute, 5)
	if b := tb.Bind("app", k, "s3", 6); b.Was != "" {
		t.Fatalf("a renewal replaces %q", b.Was)
	}
	tb.Delete(k)
	if b := tb.Bind("app", k, "s4", 7); b.Was != "" {
		t.Fatalf("after it was forgotten it replaces %q", b.Was)
	}
}

// TestTentativeInPieces: whatever the size of the pieces, each unconfirmed entry comes once, and none that is confirmed,
// gone or expired.
func TestTentativeInPieces(t *testing.T) {
	tb := stick.New(100, time.Minute)
	key := func(i int) stick.Key { return stick.AddrKey(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})) }
	want := map[string]bool{}
	for i := range 50 {
		tb.Bind("app", key(i), "s1", int64(i))
		want[key(i).String()] = true
	}
	tb.Apply(key(7), "s1", time.Minute, 50)
	tb.Delete(key(30))
	delete(want, "10.0.0.7")
	delete(want, "10.0.0.30")
	delete(want, "10.0.0.0") // expires
	now := int64(time.Minute)
	for _, n := range []int{1, 7, 50, 1000} {
		got, rounds := map[string]bool{}, 0
		for from, next := 0, -1; next != 0; from, rounds = next, rounds+1 {
			var bs []stick.Binding
			bs, next = tb.Tentative("app", from, n, now)
			if len(bs) > n {
				t.Fatalf("%d of pieces of %d", len(bs), n)
			}
			for _, b := range bs {
				if got[b.Key] || !want[b.Key] || b.Server != "s1" || b.Table != "app" {
					t.Errorf("pieces of %d: %+v", n, b)
				}
				got[b.Key] = true
			}
		}
		if len(got) != len(want) || rounds != (49+n)/n {
			t.Errorf("pieces of %d: %d of %d entries in %d rounds", n, len(got), len(want), rounds)
		}
	}
}
