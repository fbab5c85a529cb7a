package measure

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	lab.MustEnter()
	goleak.VerifyTestMain(m)
}

func at(ms int) time.Time { return time.Unix(100, 0).Add(time.Duration(ms) * time.Millisecond) }

func TestSummarize(t *testing.T) {
	ok := func(sent, done int) Answer { return Answer{Sent: at(sent), Done: at(done), Status: 200, Body: "s"} }
	bad := func(sent, done, status int) Answer { return Answer{Sent: at(sent), Done: at(done), Status: status} }
	cases := []struct {
		name    string
		answers []Answer
		last    time.Time
		gap     int
		errors  int
	}{
		{"nothing", nil, at(0), 0, 0},
		{"steady", []Answer{ok(0, 1), ok(10, 11), ok(20, 21)}, at(20), 10, 0},
		{"late answers are sorted by arrival", []Answer{ok(0, 50), ok(10, 11), ok(20, 21)}, at(20), 29, 0},
		{"an error is no answer", []Answer{ok(0, 1), bad(10, 11, 503), ok(20, 21)}, at(20), 20, 1},
		{"none to the end", []Answer{ok(0, 1), bad(10, 1010, 0), bad(20, 1020, 0)}, at(500), 499, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := summarize(c.answers, c.last)
			if got := int(r.Gap.Milliseconds()); got != c.gap {
				t.Errorf("gap %d ms, want %d", got, c.gap)
			}
			if r.Errors != c.errors || r.Requests != len(c.answers) {
				t.Errorf("%d errors of %d, want %d of %d", r.Errors, r.Requests, c.errors, len(c.answers))
			}
		})
	}
}

// A link that is cut for 200 ms is a gap of about that, and questions sent meanwhile come through by retransmission or fail.
func TestClientSeesACut(t *testing.T) {
	n := lab.New(t)
	server, client := n.Host("web", "10.0.0.1/24"), n.Host("client", "10.0.0.2/24", "10.0.0.3/24")
	if _, err := server.Web(":80"); err != nil {
		t.Fatal(err)
	}
	target := netip.MustParseAddrPort("10.0.0.1:80")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := Await(ctx, client, target, "/"); err != nil {
		t.Fatal(err)
	}
	c := New(client, Options{}, target)
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- c.Run(running) }()
	answers := func(more int) {
		t.Helper()
		goal := c.Report(target, time.Time{}).Servers["web"] + more
		for c.Report(target, time.Time{}).Servers["web"] < goal {
			if ctx.Err() != nil {
				t.Fatalf("no more answers: %+v", c.Report(target, time.Time{}))
			}
			time.Sleep(time.Millisecond)
		}
	}
	answers(20)
	n.Must(server.Cut())
	cut := time.Now()
	time.Sleep(200 * time.Millisecond) // the length of the cut is the subject
	n.Must(server.Heal())
	length := time.Since(cut)
	answers(20)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	r := c.All(time.Time{})
	if r.Gap < length-15*time.Millisecond || r.Gap > length+time.Second {
		t.Errorf("gap %v, the link was cut for %v", r.Gap, length)
	}
	if r.Requests < 40 {
		t.Errorf("only %d questions", r.Requests)
	}
	if a := Ask(client, netip.MustParseAddr("10.0.0.3"), target, "/", time.Second); !a.OK() || a.Body != "web" {
		t.Errorf("from a second address: %+v", a)
	}
	if a := Ask(client, netip.Addr{}, netip.MustParseAddrPort("10.0.0.1:81"), "/", time.Second); a.OK() || a.Err == nil {
		t.Errorf("a closed port: %+v", a)
	}
}
