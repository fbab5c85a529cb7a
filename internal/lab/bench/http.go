package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/measure"
)

// httpReport is one line a proxy; the first is what the others are compared with.
type httpReport struct {
	Connections int       `json:"connections"`
	Rounds      int       `json:"rounds"`
	RoundMS     int64     `json:"round_ms"`
	Rows        []httpRow `json:"proxies"`
}

// httpRow holds medians over the rounds.
type httpRow struct {
	Name           string  `json:"name"`
	CPUMicros      float64 `json:"cpu_us_per_request"`
	Ratio          float64 `json:"cpu_of_first"` // median of the ratios within a round
	RequestsPerSec float64 `json:"requests_per_second"`
	P50MS          float64 `json:"p50_ms"`
	P99MS          float64 `json:"p99_ms"`
}

// sample is what one round of one proxy gave.
type sample struct {
	cpuMicros, perSec, p50, p99 float64
}

const serverAddr = "127.0.0.1:8081"

// proxy is a program under test: how it is started and where it listens.
type proxy struct {
	name string
	addr string
	argv []string
	proc *lab.Process
}

const haproxyConf = `global
    maxconn 4000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend web
    bind %s
    option forwardfor
    default_backend app
backend app
    server one %s
`

const nginxConf = `daemon off;
master_process off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    upstream app { server %[3]s; keepalive 256; keepalive_requests 1000000000; }
    server {
        listen %[2]s;
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
}
`

// proxies writes the configurations: the same work for all three, on one core, nothing logged.
func proxies(o options) ([]*proxy, error) {
	haproxy, nginx, reeve := "127.0.0.1:8082", "127.0.0.1:8083", "127.0.0.1:8084"
	files := map[string]string{
		"haproxy.cfg": fmt.Sprintf(haproxyConf, haproxy, serverAddr),
		"nginx.conf":  fmt.Sprintf(nginxConf, o.dir, nginx, serverAddr),
		"reeve.cfg":   fmt.Sprintf(haproxyConf, reeve, serverAddr),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	file := func(name string) string { return filepath.Join(o.dir, name) }
	return []*proxy{
		{name: "HAProxy", addr: haproxy, argv: []string{"haproxy", "-db", "-f", file("haproxy.cfg")}},
		{name: "nginx", addr: nginx, argv: []string{"nginx", "-p", o.dir, "-c", file("nginx.conf")}},
		{name: "Reeve", addr: reeve, argv: []string{o.reeve, "agent", "-dev", "-log-level=warn", file("reeve.cfg")}},
	}, nil
}

// Cores: the proxy has one to itself, so that it is what limits the figures; load and server share another.
const proxyCore, loadCore = "0", "1"

func pinned(core string, argv ...string) []string {
	return append([]string{"taskset", "-c", core}, argv...)
}

func measureHTTP(ctx context.Context, o options) (r *httpReport, err error) {
	n, err := lab.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	box, err := n.Host("box")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := box.Command(pinned(loadCore, self, serveWord, serverAddr)...).Start(); err != nil {
		return nil, err
	}
	ps, err := proxies(o)
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		p.proc = box.Command(pinned(proxyCore, p.argv...)...)
		if err := p.proc.Start(); err != nil {
			return nil, err
		}
		if err := p.ready(ctx, box); err != nil {
			return nil, err
		}
	}
	return rounds(ctx, o, box, ps)
}

// ready waits until the proxy answers.
func (p *proxy) ready(ctx context.Context, box *lab.Host) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := measure.Await(ctx, box, netip.MustParseAddrPort(p.addr), "/"); err != nil {
		return fmt.Errorf("%s does not answer: %w: %s", p.name, err, p.proc.Output())
	}
	return nil
}

// rounds lets the proxies take turns, so that what else the machine does falls on all of them.
func rounds(ctx context.Context, o options, box *lab.Host, ps []*proxy) (*httpReport, error) {
	samples := make([][]sample, len(ps))
	for round := range o.rounds + 1 {
		length := o.length
		if round == 0 { // warm-up, not counted
			length = min(length, time.Second)
		}
		for i, p := range ps {
			s, err := load(ctx, o, box, p, length)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], s)
				progress("round %d of %d: %s %.1f µs of CPU a request, %.0f requests/s", round, o.rounds, p.name, s.cpuMicros, s.perSec)
			}
		}
	}
	r := &httpReport{Connections: o.conns, Rounds: o.rounds, RoundMS: o.length.Milliseconds()}
	for i, p := range ps {
		row := httpRow{Name: p.name}
		for _, f := range []struct {
			to   *float64
			from func(k int) float64
		}{
			{&row.CPUMicros, func(k int) float64 { return samples[i][k].cpuMicros }},
			{&row.Ratio, func(k int) float64 { return samples[i][k].cpuMicros / samples[0][k].cpuMicros }},
			{&row.RequestsPerSec, func(k int) float64 { return samples[i][k].perSec }},
			{&row.P50MS, func(k int) float64 { return samples[i][k].p50 }},
			{&row.P99MS, func(k int) float64 { return samples[i][k].p99 }},
		} {
			var values []float64
			for k := range samples[i] {
				values = append(values, f.from(k))
			}
			*f.to = median(values)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

// load is one round: wrk asks as fast as it gets answers.
func load(ctx context.Context, o options, box *lab.Host, p *proxy, length time.Duration) (sample, error) {
	before, err := cpu(p.proc.Pid())
	if err != nil {
		return sample{}, err
	}
	// wrk takes whole seconds alone; it is stopped by INT, upon which it reports.
	wrk := box.Command(pinned(loadCore, "wrk", "-t1", "-c"+strconv.Itoa(o.conns), "-d1h", "--latency", "http://"+p.addr+"/")...)
	if err := wrk.Start(); err != nil {
		return sample{}, err
	}
	select {
	case <-time.After(length):
	case <-ctx.Done():
		return sample{}, errors.Join(ctx.Err(), wrk.Stop(0))
	}
	if err := wrk.Signal(syscall.SIGINT); err != nil {
		return sample{}, fmt.Errorf("wrk: %w", err)
	}
	select {
	case <-wrk.Done():
	case <-time.After(10 * time.Second):
		return sample{}, errors.Join(errors.New("wrk does not end"), wrk.Stop(0))
	}
	after, err := cpu(p.proc.Pid())
	if err != nil {
		return sample{}, fmt.Errorf("%w: %s", err, p.proc.Output())
	}
	w, err := parseWrk(wrk.Output())
	if err != nil {
		return sample{}, err
	}
	return sample{cpuMicros: (after - before).Seconds() * 1e6 / float64(w.requests), perSec: w.perSec, p50: w.p50, p99: w.p99}, nil
}

// userHZ is the unit of CPU times in /proc, on every Linux that Go runs on.
const userHZ = 100

// cpu is the time that a process has had, its own and the kernel's for it.
func cpu(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may contain blanks.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	var ticks int64
	for _, field := range [][]byte{f[11], f[12]} {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}
