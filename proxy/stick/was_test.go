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
}
