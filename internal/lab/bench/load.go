package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// headers make a request of about 700 bytes, as browsers send them.
var headers = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.5",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Referer: http://bench.test/shop/catalogue/spring/index.html?page=3&sort=price",
	"Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=all; visited=2026-11-03T10:11:12Z; cart=17,42,1024",
	"Cache-Control: no-cache",
	"X-Requested-With: XMLHttpRequest; id=3c59dc048e8850243be8079a5c74d079; trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

// target is the path that is asked for.
const target = "/shop/catalogue/spring/item/4711.html"

// host is whom requests are for.
const host = "bench.test"

// request is the same as bytes, for clients that are no tools.
func request() string {
	return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

// wrkScript makes wrk print what is read here in one line. Its own report has no 99.9th percentile.
const wrkScript = `done = function(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("bench requests=%d duration=%d p50=%f p99=%f p999=%f errors=%d\n", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), e.connect + e.read + e.write + e.status + e.timeout))
end
`

// mapScript asks for another host and tenant with each request.
var mapScript = wrkScript + `
local n = 0
request = function()
   n = (n * 7919 + 104729) % ` + strconv.Itoa(mapKeys) + `
   wrk.headers["Host"] = "host" .. n .. ".bench.test"
   return wrk.format("GET", "/tenant/" .. n .. "/index.html")
end
`

// wrkRun is how wrk is to ask.
type wrkRun struct {
	conns  int
	scheme string
	close  bool
	script string // "": wrkScript
}

var wrkLine = regexp.MustCompile(`(?m)^bench requests=(\d+) duration=(\d+) p50=([\d.]+) p99=([\d.]+) p999=([\d.]+) errors=(\d+)$`)

// parseWrk reads the line of wrkScript. A run with errors is no measurement.
func parseWrk(out string) (measured, int64, error) {
	m := wrkLine.FindStringSubmatch(out)
	if m == nil {
		return nil, 0, fmt.Errorf("wrk said something else than usual: %q", out)
	}
	if m[6] != "0" {
		return nil, 0, fmt.Errorf("wrk: %s errors: %s", m[6], out)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n == 0 {
		return nil, 0, fmt.Errorf("wrk: %q requests", m[1])
	}
	var v [4]float64
	for i, text := range m[2:6] {
		if v[i], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, 0, fmt.Errorf("wrk: %w", err)
		}
	}
	return measured{perSec: float64(n) / v[0] * 1e6, p50: v[1] / 1000, p99: v[2] / 1000, p999: v[3] / 1000}, n, nil
}

// wrk asks as fast as it gets answers.
func (b *bench) wrk(ctx context.Context, p *program, length time.Duration, w wrkRun) (measured, error) {
	if w.script == "" {
		w.script = wrkScript
	}
	file := filepath.Join(b.o.dir, "wrk.lua")
	if err := os.WriteFile(file, []byte(w.script), 0o644); err != nil {
		return nil, err
	}
	if w.scheme == "" {
		w.scheme = "http"
	}
	// wrk takes whole seconds alone; it is stopped by INT, upon which it reports.
	argv := []string{"wrk", "-t1", "-c" + strconv.Itoa(w.conns), "-d1h", "-s", file, "-H", "Host: " + host}
	for _, h := range headers {
		argv = append(argv, "-H", h)
	}
	if w.close {
		argv = append(argv, "-H", "Connection: close")
	}
	argv = append(argv, w.scheme+"://"+p.addr+target)
	out, used, err := b.timed(ctx, p, length, argv)
	if err != nil {
		return nil, err
	}
	m, n, err := parseWrk(out)
	if err != nil {
		return nil, err
	}
	m[cpuMicros] = used.Seconds() * 1e6 / float64(n)
	return m, nil
}

// timed runs a tool for a time, ends it by INT and says what it printed and how much CPU the program took meanwhile.
func (b *bench) timed(ctx context.Context, p *program, length time.Duration, argv []string) (string, time.Duration, error) {
	before, err := cpu(p.proc.Pid())
	if err != nil {
		return "", 0, err
	}
	tool := b.tool(p, argv)
	if err := tool.Start(); err != nil {
		return "", 0, err
	}
	select {
	case <-time.After(length):
	case <-tool.Done():
		return "", 0, fmt.Errorf("%s ended too early: %s", argv[0], tool.Output())
	case <-ctx.Done():
		return "", 0, errors.Join(ctx.Err(), tool.Stop(0))
	}
	if err := tool.Signal(syscall.SIGINT); err != nil {
		return "", 0, fmt.Errorf("%s: %w", argv[0], err)
	}
	select {
	case <-tool.Done():
	case <-time.After(10 * time.Second):
		return "", 0, errors.Join(fmt.Errorf("%s does not end", argv[0]), tool.Stop(0))
	}
	after, err := cpu(p.proc.Pid())
	if err != nil {
		return "", 0, fmt.Errorf("%w: %s", err, p.proc.Output())
	}
	return tool.Output(), after - before, nil
}

// tool prepares a client; it shares the core of the load unless the proxy is free to run anywhere, too.
func (b *bench) tool(p *program, argv []string) *lab.Process {
	if p.pinned {
		argv = pinned(loadCore, argv...)
	}
	return b.box.Command(argv...)
}

// whole runs a tool to its end and says the same as timed.
func (b *bench) whole(ctx context.Context, p *program, argv []string) (string, time.Duration, error) {
	before, err := cpu(p.proc.Pid())
	if err != nil {
		return "", 0, err
	}
	tool := b.tool(p, argv)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := tool.Run(ctx); err != nil {
		return "", 0, err
	}
	after, err := cpu(p.proc.Pid())
	if err != nil {
		return "", 0, fmt.Errorf("%w: %s", err, p.proc.Output())
	}
	return tool.Output(), after - before, nil
}

var (
	h2Finished = regexp.MustCompile(`finished in ([\d.]+)(us|ms|s), ([\d.]+) req/s`)
	h2Requests = regexp.MustCompile(`requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
)

// h2load asks by HTTP/2: 16 connections with streams each.
func (b *bench) h2load(ctx context.Context, p *program, length time.Duration, streams int, scheme string) (measured, error) {
	seconds := max(1, int(length.Round(time.Second)/time.Second))
	argv := []string{"h2load", "-t1", "-c16", "-m" + strconv.Itoa(streams), "-D" + strconv.Itoa(seconds), "-H", ":authority: " + host}
	for _, h := range headers {
		argv = append(argv, "-H", h)
	}
	out, used, err := b.whole(ctx, p, append(argv, scheme+"://"+p.addr+target))
	if err != nil {
		return nil, err
	}
	done, requests := h2Finished.FindStringSubmatch(out), h2Requests.FindStringSubmatch(out)
	if done == nil || requests == nil {
		return nil, fmt.Errorf("h2load said something else than usual: %q", out)
	}
	good, _ := strconv.ParseFloat(requests[3], 64)
	rate, _ := strconv.ParseFloat(done[3], 64)
	if good == 0 || requests[4] != "0" || requests[5] != "0" || requests[6] != "0" {
		return nil, fmt.Errorf("h2load: %s", requests[0])
	}
	return measured{cpuMicros: used.Seconds() * 1e6 / good, perSec: rate}, nil
}

// curl fetches many bytes at once.
func (b *bench) curl(ctx context.Context, p *program, scheme string) (measured, error) {
	argv := []string{"curl", "--http1.1", "-sSkfo", "/dev/null", "-w", `{"size":%{size_download},"seconds":%{time_total}}`,
		fmt.Sprintf("%s://%s/%d", scheme, p.addr, b.o.bulk)}
	out, used, err := b.whole(ctx, p, argv)
	if err != nil {
		return nil, err
	}
	var got struct {
		Size    int64
		Seconds float64
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return nil, fmt.Errorf("curl printed %q: %w", out, err)
	}
	if got.Size != b.o.bulk {
		return nil, fmt.Errorf("curl got %d bytes of %d", got.Size, b.o.bulk)
	}
	gib := float64(got.Size) / (1 << 30)
	return measured{cpuGiB: used.Seconds() * 1000 / gib, perSec: float64(got.Size) / 1e6 / got.Seconds}, nil
}

// own runs a client of this program, which prints JSON.
func (b *bench) own(ctx context.Context, p *program, into any, word string, args ...string) (time.Duration, error) {
	out, used, err := b.whole(ctx, p, append([]string{b.self, word}, args...))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return 0, fmt.Errorf("%s printed %q: %w", word, out, err)
	}
	return used, nil
}
