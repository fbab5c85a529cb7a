package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// measured is what one round of one program gave.
type measured map[metric]float64

// metric names a figure; it is its name in JSON, too.
type metric string

const (
	cpuMicros metric = "cpu_us"     // of the proxy, for each unit of work
	cpuGiB    metric = "cpu_ms_gib" // of the proxy, for each GiB
	perSec    metric = "per_second" // units of work, or MB
	p50       metric = "p50_ms"
	p99       metric = "p99_ms"
	p999      metric = "p999_ms"
	served    metric = "served_pct" // of what was due
	idleBytes metric = "bytes"      // for each idle connection
)

// heads are the metrics as columns have them.
var heads = map[metric]string{
	cpuMicros: "CPU µs", cpuGiB: "CPU ms/GiB", perSec: "per second", p50: "p50 ms", p99: "p99 ms", p999: "p99.9 ms", served: "served %",
	idleBytes: "bytes",
}

// goal is a bound of one figure of Reeve's.
type goal struct {
	of   metric
	to   string  // what it is divided by: the program's name; "": nothing, the bound is absolute
	most float64 // 0: no goal, the figure is told
}

func ratio(of metric, most float64) goal { return goal{of, nameHAProxy, most} }

// row is one kind of work.
type row struct {
	key     string
	title   string
	columns []metric
	goals   []goal
	job     func(b *bench) (job, error)
	free    bool // not pinned: the proxies have both cores
	fresh   bool // each round on programs of its own, which were warmed up: memory
	silent  bool // no log line is to be expected
	// tune is asked once the programs run, before the rounds.
	tune  func(ctx context.Context, b *bench, ps []*program) error
	round func(ctx context.Context, b *bench, p *program, length time.Duration) (measured, error)
	share int // of the usual length of a round, in percent; 0: all
}

var latencies = []metric{cpuMicros, perSec, p50, p99, p999}

func httpJob(*bench) (job, error) { return job{nginx: plain}, nil }

// byWrk is a round of wrk's.
func byWrk(w wrkRun) func(context.Context, *bench, *program, time.Duration) (measured, error) {
	return func(ctx context.Context, b *bench, p *program, length time.Duration) (measured, error) {
		return b.wrk(ctx, p, length, w)
	}
}

// rows are all kinds of work, in the order of the table.
func rows() []row {
	all := []row{
		{key: "keepalive-64", title: "HTTP keep-alive, 64 connections, requests of 700 bytes", columns: latencies, job: httpJob,
			goals: []goal{ratio(cpuMicros, .80)}, round: byWrk(wrkRun{conns: 64})},
		{key: "keepalive-512", title: "HTTP keep-alive, 512 connections", columns: latencies, job: httpJob,
			goals: []goal{ratio(cpuMicros, .60), ratio(p99, 1)}, round: byWrk(wrkRun{conns: 512})},
		{key: "open", title: "HTTP at 70 % of what HAProxy can do, 512 connections, open loop", columns: []metric{cpuMicros, served, p50, p99, p999},
			job: httpJob, goals: []goal{ratio(p99, 1)}, tune: openRate, round: openRound},
		{key: "close", title: "HTTP, a connection for each request (Connection: close)", columns: latencies, job: httpJob,
			goals: []goal{ratio(cpuMicros, .55)}, round: byWrk(wrkRun{conns: 64, close: true})},
		{key: "idle", title: "Memory of an idle client connection", columns: []metric{idleBytes}, job: httpJob, fresh: true,
			goals: []goal{{idleBytes, "", 600}}, round: holdRound("clear")},
		{key: "tcp", title: "TCP, ping-pong of 64 connections", columns: latencies, job: func(*bench) (job, error) { return job{mode: "tcp"}, nil },
			goals: []goal{ratio(cpuMicros, .95)}, round: byWrk(wrkRun{conns: 64})},
		{key: "tcp-bulk", title: "TCP, 1 GiB to one client", columns: []metric{cpuGiB, perSec},
			job:   func(*bench) (job, error) { return job{mode: "tcp", server: bulkAddr}, nil },
			goals: []goal{ratio(cpuGiB, .50)}, round: byCurl("http")},
		{key: "http-bulk", title: "HTTP, 1 GiB to one client", columns: []metric{cpuGiB, perSec},
			job:   func(*bench) (job, error) { return job{server: bulkAddr}, nil },
			goals: []goal{ratio(cpuGiB, 0)}, round: byCurl("http")},
		{key: "two-loops", title: "HTTP keep-alive, 128 connections, two threads on both cores", columns: latencies, free: true,
			job:   func(*bench) (job, error) { return job{threads: 2}, nil },
			goals: []goal{ratio(cpuMicros, .80), {cpuMicros, nameOneLoop, 1.05}}, round: byWrk(wrkRun{conns: 128})},
		{key: "rules", title: fmt.Sprintf("HTTP, %d rules of %d ACLs each", ruleCount, ruleACLs), columns: latencies,
			job:   func(*bench) (job, error) { return job{front: manyRules()}, nil },
			goals: []goal{ratio(cpuMicros, 1)}, round: byWrk(wrkRun{conns: 8})},
		{key: "maps", title: fmt.Sprintf("HTTP, two maps of %d keys, asked for with each request", mapKeys), columns: latencies,
			job:   func(b *bench) (job, error) { front, err := b.bigMaps(); return job{front: front}, err },
			goals: []goal{ratio(cpuMicros, 1)}, round: byWrk(wrkRun{conns: 64, script: mapScript})},
		{key: "h2", title: "HTTP/2 to HTTP/1, 16 connections of 10 streams", columns: []metric{cpuMicros, perSec},
			job:   func(*bench) (job, error) { return job{bind: "proto h2", listen: "http2", nginx: plain}, nil },
			goals: []goal{ratio(cpuMicros, 1)}, round: byH2load("http")},
	}
	return append(all, tlsRows()...)
}

// tlsRows are those of them under TLS.
func tlsRows() []row {
	under := func(kind, alpn string) func(b *bench) (job, error) {
		return func(b *bench) (job, error) { return b.tlsJob(kind, alpn) }
	}
	var all []row
	for _, r := range []struct {
		kind, how string
		most      float64
	}{{"ecdsa", "full", .75}, {"ecdsa", "resumed", .70}, {"rsa", "full", 0}, {"rsa", "resumed", .70}} {
		all = append(all, row{key: "tls-" + r.kind + "-" + r.how, title: fmt.Sprintf("TLS 1.3 handshakes, %s, %s", map[string]string{"ecdsa": "ECDSA P-256", "rsa": "RSA-2048"}[r.kind], r.how),
			columns: []metric{cpuMicros, perSec}, job: under(r.kind, ""), silent: true, share: 60,
			goals: []goal{ratio(cpuMicros, r.most)}, round: handsRound(r.how)})
	}
	return append(all,
		row{key: "tls-keepalive", title: "HTTP keep-alive under TLS, 64 connections", columns: latencies, job: under("ecdsa", ""),
			goals: []goal{ratio(cpuMicros, .80)}, round: byWrk(wrkRun{conns: 64, scheme: "https"})},
		row{key: "tls-bulk", title: "HTTP under TLS, 1 GiB to one client", columns: []metric{cpuGiB, perSec},
			job: func(b *bench) (job, error) {
				j, err := b.tlsJob("ecdsa", "")
				j.server, j.nginx = bulkAddr, ""
				return j, err
			}, goals: []goal{ratio(cpuGiB, .85)}, round: byCurl("https")},
		row{key: "tls-idle", title: "Memory of an idle client connection under TLS", columns: []metric{idleBytes}, job: under("ecdsa", ""), fresh: true,
			goals: []goal{{idleBytes, "", 12000}}, round: holdRound("tls")},
		row{key: "tls-h2", title: "HTTP/2 under TLS to HTTP/1, 16 connections of 10 streams", columns: []metric{cpuMicros, perSec},
			job: func(b *bench) (job, error) {
				j, err := b.tlsJob("ecdsa", " alpn h2,http/1.1")
				j.listen = "ssl http2"
				return j, err
			}, goals: []goal{ratio(cpuMicros, 0)}, round: byH2load("https")},
	)
}

func byCurl(scheme string) func(context.Context, *bench, *program, time.Duration) (measured, error) {
	return func(ctx context.Context, b *bench, p *program, _ time.Duration) (measured, error) {
		return b.curl(ctx, p, scheme)
	}
}

func byH2load(scheme string) func(context.Context, *bench, *program, time.Duration) (measured, error) {
	return func(ctx context.Context, b *bench, p *program, length time.Duration) (measured, error) {
		return b.h2load(ctx, p, length, 10, scheme)
	}
}

// openShare is the part of HAProxy's capacity that is asked for.
const openShare = .70

// openRate finds out what HAProxy can do.
func openRate(ctx context.Context, b *bench, ps []*program) error {
	m, err := b.wrk(ctx, ps[0], max(b.o.length/2, 300*time.Millisecond), wrkRun{conns: 512})
	if err != nil {
		return err
	}
	b.rate = int(m[perSec] * openShare)
	progress("open loop: %d requests a second", b.rate)
	return nil
}

func openRound(ctx context.Context, b *bench, p *program, length time.Duration) (measured, error) {
	var r openResult
	used, err := b.own(ctx, p, &r, openWord, p.addr, "512", strconv.Itoa(b.rate), strconv.FormatInt(length.Milliseconds(), 10))
	if err != nil {
		return nil, err
	}
	if r.Bad > 0 || r.Answered == 0 {
		return nil, fmt.Errorf("%d of %d requests were not answered with 200", r.Bad, r.Due)
	}
	return measured{cpuMicros: used.Seconds() * 1e6 / float64(r.Answered), served: 100 * float64(r.Answered) / float64(r.Due),
		p50: r.P50, p99: r.P99, p999: r.P999}, nil
}

func handsRound(how string) func(context.Context, *bench, *program, time.Duration) (measured, error) {
	return func(ctx context.Context, b *bench, p *program, length time.Duration) (measured, error) {
		var r handsResult
		used, err := b.own(ctx, p, &r, handsWord, p.addr, strconv.FormatInt(length.Milliseconds(), 10), how)
		if err != nil {
			return nil, err
		}
		if r.Handshakes == 0 {
			return nil, errors.New("no handshake")
		}
		return measured{cpuMicros: used.Seconds() * 1e6 / float64(r.Handshakes), perSec: float64(r.Handshakes) / r.Seconds}, nil
	}
}

// Idle connections: as many as HAProxy takes at this machine's limit of descriptors.
const (
	idleClear = 7800
	idleTLS   = 3000
)

// holdRound opens idle connections and looks at what they cost. The program has served some before, so that what is made
// once is not counted.
func holdRound(how string) func(context.Context, *bench, *program, time.Duration) (measured, error) {
	return func(ctx context.Context, b *bench, p *program, _ time.Duration) (measured, error) {
		n := idleClear
		if how == "tls" {
			n = idleTLS
		}
		n = min(n, b.o.idle)
		if err := b.held(ctx, p, 64, how, func() error { return nil }); err != nil {
			return nil, err
		}
		before, err := resident(p.proc.Pid())
		if err != nil {
			return nil, err
		}
		var after float64
		err = b.held(ctx, p, n, how, func() (err error) {
			after, err = resident(p.proc.Pid())
			return err
		})
		return measured{idleBytes: (after - before) / float64(n)}, err
	}
}

// settle is how long connections are idle before their memory is looked at.
const settle = time.Second

// held calls look while n connections are idle.
func (b *bench) held(ctx context.Context, p *program, n int, how string, look func() error) error {
	client := b.tool(p, []string{b.self, holdWord, p.addr, strconv.Itoa(n), how})
	if err := client.Start(); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := client.AwaitOutput(ready, held); err != nil {
		return errors.Join(err, client.Stop(0))
	}
	select {
	case <-time.After(min(settle, b.o.length)):
	case <-ctx.Done():
	}
	return errors.Join(look(), client.Stop(5*time.Second))
}
