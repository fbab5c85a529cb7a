package vip

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

type checked struct{ *testing.M }

// Run fails the package when a goroutine is left.
func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		return 1
	}
	return code
}

func TestMain(m *testing.M) { lab.Main(checked{m}) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func group(dev string, life time.Duration, prefixes ...string) Group {
	g := Group{Instance: "VI_1", Interface: dev, Lifetime: life}
	for _, p := range prefixes {
		g.Addresses = append(g.Addresses, vrrp.Address{Prefix: prefix(p)})
	}
	return g
}

// within fails the test unless cond comes true in time.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
