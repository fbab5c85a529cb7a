package main

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

func TestMain(m *testing.M) {
	if beInner() {
		return
	}
	lab.MainWithProgram(m, "github.com/reeve-lb/reeve", "hashicorpmetrics")
}

const wrkOutput = `Running 60m test @ http://127.0.0.1:8082/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.30ms  775.03us  13.02ms   78.11%
    Req/Sec    48.88k     3.97k   56.90k    66.67%
  146025 requests in 3.00s, 18.10MB read
Requests/sec:  48647.62
Transfer/sec:      6.03MB
bench requests=146025 duration=3000000 p50=940.000000 p99=3660.000000 p999=5120.500000 errors=0
`

func TestParseWrk(t *testing.T) {
	m, n, err := parseWrk(wrkOutput)
	if err != nil || n != 146025 || m[perSec] != 48675 || m[p50] != 0.94 || m[p99] != 3.66 || m[p999] != 5.1205 {
		t.Errorf("%+v, %d, %v", m, n, err)
	}
}

// TestParseWrkTrouble: a run that did not go well is no measurement.
func TestParseWrkTrouble(t *testing.T) {
	for name, out := range map[string]string{
		"nothing":     "",
		"errors":      strings.Replace(wrkOutput, "errors=0", "errors=3", 1),
		"no requests": strings.Replace(wrkOutput, "requests=146025", "requests=0", 1),
		"cut short":   wrkOutput[:200],
	} {
		if m, _, err := parseWrk(out); err == nil {
			t.Errorf("%s: %+v", name, m)
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

// TestOpener: a server that stops for a while costs all requests that were due meanwhile, not only the one it held.
func TestOpener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const pause = 200 * time.Millisecond
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 64<<10)
		for n := 0; ; n++ {
			if _, err := io.ReadAtLeast(c, buf[:len(request())], len(request())); err != nil {
				return
			}
			if n == 50 {
				time.Sleep(pause)
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}()
	o := &opener{request: []byte(request()), byFD: map[int32]int{}}
	if err := o.connect(netip.MustParseAddrPort(l.Addr().String()), 1); err != nil {
		t.Fatal(err)
	}
	o.run(1000, 500*time.Millisecond)
	r := o.result(500)
	if r.Answered != 500 || r.Bad != 0 {
		t.Fatalf("%+v", r)
	}
	slow := 0
	for _, took := range o.took {
		if took > int64(pause/4) {
			slow++
		}
	}
	if slow < 100 || r.P99 < float64(pause.Milliseconds())*3/4 {
		t.Errorf("%d of 500 waited for a quarter of the pause: %+v", slow, r)
	}
}

// TestJobs: the real programs take every configuration of the table.
func TestJobs(t *testing.T) {
	b := &bench{o: options{dir: t.TempDir(), reeve: lab.Program()}}
	for _, w := range rows() {
		j, err := w.job(b)
		if err != nil {
			t.Fatal(err)
		}
		ps, err := b.programs(j, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			argv := []string{"haproxy", "-c", "-f", p.argv[len(p.argv)-1]}
			switch p.name {
			case nameReeve, nameOneLoop:
				continue // it says what it does not know yet when the row is run
			case nameNginx:
				argv = append(append([]string{}, p.argv...), "-t")
			}
			if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s, %s: %v: %s", w.key, p.name, err, out)
			}
		}
		if want := strings.Count(j.haproxyConf("x"), "\n"); w.key == "rules" && want < ruleCount {
			t.Errorf("%d lines of rules", want)
		}
	}
}

// TestShort: a short run measures what this release carries out, and says of the rest that it is not there yet.
func TestShort(t *testing.T) {
	o := options{reeve: lab.Program(), dir: t.TempDir(), rows: []string{"keepalive-64", "open", "idle", "tcp-bulk", "tls-ecdsa-resumed", "h2"}}.shortened()
	o.length = 200 * time.Millisecond
	r, err := measureProxies(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != len(o.rows) {
		t.Fatalf("%d rows", len(r.Rows))
	}
	for _, row := range r.Rows {
		if row.State == failed {
			t.Errorf("%s: %s", row.Key, row.Why)
		}
		if row.State == notYet && !strings.HasPrefix(row.Key, "tls") && row.Key != "h2" {
			t.Errorf("%s is not there: %s", row.Key, row.Why)
		}
		for _, s := range row.Sides {
			for _, c := range row.Columns {
				if v := s.Values[c]; v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%s, %s: %s is %v", row.Key, s.Name, c, v)
				}
			}
		}
	}
	if text := (report{Proxies: r}).text(); !strings.Contains(text, "keepalive-64") || !strings.Contains(text, "<= 0.80") {
		t.Errorf("%s", text)
	}
}

func TestText(t *testing.T) {
	ps := []*program{{name: nameHAProxy}, {name: nameReeve}}
	row := rowReport{Key: "keepalive-64", Title: "keep-alive", State: done, Rounds: 3, RoundMS: 3000, Columns: []metric{cpuMicros, p99}}
	row.sum(ps, [][]measured{
		{{cpuMicros: 20, p99: 4}, {cpuMicros: 10, p99: 4}, {cpuMicros: 16, p99: 4}},
		{{cpuMicros: 15, p99: 5}, {cpuMicros: 8.5, p99: 5}, {cpuMicros: 12, p99: 5}},
	}, []goal{ratio(cpuMicros, .80), ratio(p99, 1), {p99, "", 600}, ratio(p99, 0)})
	text := report{
		Proxies: &proxyReport{Rows: []rowReport{row, {Key: "h2", Title: "HTTP/2", State: notYet, Why: "'proto' is not supported yet"}}},
		Failover: &failoverReport{Runs: 3, Rows: []failoverRow{{Kind: "kill", says: "killed (KILL)", Pair: outcome{GapMS: 2990, OwnersMax: 2, LeftOnFirst: true},
			Ours: outcome{GapMS: 72, OwnersMax: 1}}}},
	}.text()
	for _, want := range []string{"3 rounds of 3.0 s", "16.00", "0.75", "<= 0.80", "1.25", "MISS", "ok", "told", "not yet", "2990", "yes", "72", "no"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if g := row.Goals; !g[0].Passed || g[0].Got != .75 || g[1].Passed || !g[2].Passed || !g[3].Passed {
		t.Errorf("%+v", g)
	}
}
