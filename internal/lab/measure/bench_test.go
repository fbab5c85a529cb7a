package measure

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"golang.org/x/sys/unix"
)

// BenchmarkClient tells what measuring costs: CPU time of this process, client and server together, for each question.
func BenchmarkClient(b *testing.B) {
	n := lab.New(b)
	server, client := n.Host("web", "10.0.0.1/24"), n.Host("client", "10.0.0.2/24")
	if _, err := server.Web(":80"); err != nil {
		b.Fatal(err)
	}
	targets := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}
	before := cpu(b)
	asked := 0
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		c := New(client, Options{}, targets...)
		if err := c.Run(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		r := c.All(time.Time{})
		if r.Errors > 0 {
			b.Fatalf("%d errors: %v", r.Errors, r.Causes)
		}
		asked += r.Requests
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(asked), "cpu-µs/question")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
