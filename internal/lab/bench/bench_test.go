package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serveWord {
		fail(serve(os.Args[2]))
		return
	}
	lab.Main(m)
}

const wrkOutput = `Running 3600m test @ http://127.0.0.1:8082/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.30ms  775.03us  13.02ms   78.11%
    Req/Sec    48.88k     3.97k   56.90k    66.67%
  Latency Distribution
     50%  940.00us
     75%    1.61ms
     90%    2.26ms
     99%    3.66ms
  146025 requests in 3.00s, 18.10MB read
Requests/sec:  48647.62
Transfer/sec:      6.03MB
`

func TestParseWrk(t *testing.T) {
	r, err := parseWrk(wrkOutput)
	if err != nil || r.requests != 146025 || r.perSec != 48647.62 || r.p50 != 0.94 || r.p99 != 3.66 {
		t.Errorf("%+v, %v", r, err)
	}
	slow, err := parseWrk(strings.ReplaceAll(wrkOutput, "99%    3.66ms", "99%    1.25s"))
	if err != nil || slow.p99 != 1250 {
		t.Errorf("%+v, %v", slow, err)
	}
}

// TestParseWrkTrouble: a run that did not go well is no measurement.
func TestParseWrkTrouble(t *testing.T) {
	for name, out := range map[string]string{
		"nothing":      "",
		"errors":       wrkOutput + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
		"bad answers":  wrkOutput + "  Non-2xx or 3xx responses: 146025\n",
		"no requests":  strings.Replace(wrkOutput, "146025", "0", 1),
		"cut short":    wrkOutput[:200],
		"no latencies": strings.ReplaceAll(wrkOutput, "%", ""),
	} {
		if r, err := parseWrk(out); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{0: nil, 3: {3}, 2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := median(values); got != want {
			t.Errorf("median of %v is %v, want %v", values, got, want)
		}
	}
}

func TestSum(t *testing.T) {
	got := sum([]outcome{{GapMS: 30, Errors: 1, OwnersMax: 1}, {GapMS: 10, Errors: 7, OwnersMax: 2}, {GapMS: 20, LeftOnFirst: true, OwnersMax: 1}})
	if want := (outcome{GapMS: 20, Errors: 7, OwnersMax: 2, LeftOnFirst: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestDemoSaysWhatIsRead: the fields of the demo's report that a comparison needs have these names.
func TestDemoSaysWhatIsRead(t *testing.T) {
	var o outcome
	d := json.NewDecoder(strings.NewReader(`{"failover_gap_ms": 72.2, "errors": 6, "owners_seen_max": 1, "vip_left_on_dead": true}`))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil || o != (outcome{72.2, 6, 1, true}) {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestCPU: time burnt is time counted.
func TestCPU(t *testing.T) {
	before, err := cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	x := 0.0
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		x += math.Sqrt(x + 1)
	}
	after, err := cpu(os.Getpid())
	if err != nil || after-before < 50*time.Millisecond {
		t.Errorf("from %v to %v (%v, %v)", before, after, err, x)
	}
	if _, err := cpu(-1); err == nil {
		t.Error("a process that is not there has had time")
	}
}

// TestServe: the server answers each of several requests on a connection, also two that come at once.
func TestServe(t *testing.T) {
	n := lab.New(t)
	box := n.Host("box")
	n.Start(box, os.Args[0], serveWord, serverAddr)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var conn net.Conn
	for {
		var err error
		if conn, err = box.Dial(ctx, "tcp", serverAddr); err == nil {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
	defer conn.Close()
	request := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, count := range []int{1, 2, 1} {
		n.Must(conn.SetDeadline(time.Now().Add(5 * time.Second)))
		if _, err := io.WriteString(conn, strings.Repeat(request, count)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, count*len(answer))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != strings.Repeat(string(answer), count) {
			t.Fatalf("%d requests got %q (%v)", count, got, err)
		}
	}
}

// TestPair: keepalived's own hand-over is measured as it is known to be: under a second after a good-bye.
func TestPair(t *testing.T) {
	leave := kinds[len(kinds)-1]
	o, err := pair(t.Context(), t.TempDir(), leave.fail)
	if err != nil {
		t.Fatal(err)
	}
	if o.GapMS < 100 || o.GapMS > 3000 || o.OwnersMax != 1 || o.LeftOnFirst {
		t.Errorf("%s: %+v", leave.name, o)
	}
}

func TestText(t *testing.T) {
	text := report{
		HTTP: &httpReport{Connections: 64, Rounds: 5, RoundMS: 3000, Rows: []httpRow{{"HAProxy", 15.78, 1, 61400, .94, 3.66}, {"Reeve", 12.9, .82, 70000, .7, 3.2}}},
		Failover: &failoverReport{Runs: 3, Rows: []failoverRow{{Kind: "kill", says: "killed (KILL)", Pair: outcome{GapMS: 2990, OwnersMax: 2, LeftOnFirst: true},
			Ours: outcome{GapMS: 72, OwnersMax: 1}}}},
	}.text()
	for _, want := range []string{"64 connections", "5 rounds of 3.0 s", "15.78", "0.82", "70000", "2990", "yes", "72", "no"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	width := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, "CPU µs") {
			width = len([]rune(line))
		}
		if strings.Contains(line, "HAProxy  ") || strings.Contains(line, "Reeve  ") {
			if len([]rune(line)) != width {
				t.Errorf("the columns do not meet:\n%s", fmt.Sprint(text))
			}
		}
	}
}
