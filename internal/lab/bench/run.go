package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// bench is a run: the box in which everything listens, its servers and where log lines go.
type bench struct {
	o     options
	self  string
	box   *lab.Host
	sink  net.PacketConn
	files int // written so far
	rate  int // of the open loop, requests a second
}

// proxyReport is what the rows gave.
type proxyReport struct {
	Machine machine     `json:"machine"`
	Rows    []rowReport `json:"rows"`
}

// machine says what the figures are of.
type machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Kernel  string `json:"kernel"`
	HAProxy string `json:"haproxy"`
	Nginx   string `json:"nginx"`
	Go      string `json:"go"`
}

// state is how a row ended.
type state string

const (
	done   state = "measured"
	notYet state = "not yet" // a word of its configuration is not carried out yet
	failed state = "failed"
)

type rowReport struct {
	Key     string       `json:"key"`
	Title   string       `json:"title"`
	State   state        `json:"state"`
	Why     string       `json:"why,omitempty"`
	Rounds  int          `json:"rounds"`
	RoundMS int64        `json:"round_ms"`
	Columns []metric     `json:"columns"`
	Sides   []sideReport `json:"proxies,omitempty"`
	Goals   []goalReport `json:"goals"`
}

// sideReport holds medians over the rounds, and medians of the ratios to the first side within a round.
type sideReport struct {
	Name   string   `json:"name"`
	Values measured `json:"values"`
	Ratios measured `json:"ratios"`
}

type goalReport struct {
	Of     metric  `json:"of"`
	To     string  `json:"divided_by,omitempty"`
	Most   float64 `json:"at_most,omitempty"`
	Got    float64 `json:"got"`
	Passed bool    `json:"passed"`
}

// measureProxies measures the rows that were picked. One that fails does not end the run.
func measureProxies(ctx context.Context, o options) (r *proxyReport, err error) {
	n, err := lab.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	b := &bench{o: o}
	// All is on the loopback; h2load finds no address of it unless the host has another one, too (AI_ADDRCONFIG).
	if b.box, err = n.Host("box", "10.77.0.9/24"); err != nil {
		return nil, err
	}
	if err := b.furnish(); err != nil {
		return nil, err
	}
	r = &proxyReport{Machine: thisMachine()}
	for _, w := range rows() {
		if !o.picked(w.key) {
			continue
		}
		began := time.Now()
		report := b.row(ctx, w)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.Rows = append(r.Rows, report)
		progress("%s: %s%s (%.0f s)", w.key, report.State, prefixed(report.Why), time.Since(began).Seconds())
	}
	return r, nil
}

// furnish starts the servers and opens the sink.
func (b *bench) furnish() (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	// A connection for each request leaves ports behind that wait for a minute.
	if err := b.box.Sysctl("net.ipv4.ip_local_port_range", "10240 65000"); err != nil {
		return err
	}
	for word, addr := range map[string]string{serveWord: serverAddr, bulkWord: bulkAddr} {
		if err := b.box.Command(pinned(loadCore, b.self, word, addr)...).Start(); err != nil {
			return err
		}
	}
	if b.sink, err = b.box.ListenPacket("udp", sinkAddr); err != nil {
		return err
	}
	// It is not read but for a look whether lines come: what finds no room costs the sender as much.
	return b.sink.(*net.UDPConn).SetReadBuffer(64 << 10)
}

// longestWhy bounds what is told of a failure: a program may have printed much.
const longestWhy = 500

// row measures one kind of work.
func (b *bench) row(ctx context.Context, w row) rowReport {
	length := b.o.length
	if w.share > 0 {
		length = length * time.Duration(w.share) / 100
	}
	r := rowReport{Key: w.key, Title: w.title, State: done, Rounds: b.o.rounds, RoundMS: length.Milliseconds(), Columns: w.columns}
	fail := func(err error) rowReport {
		r.State, r.Why = failed, strings.TrimSpace(err.Error())
		if len(r.Why) > longestWhy {
			r.Why = r.Why[:longestWhy] + "..."
		}
		return r
	}
	j, err := w.job(b)
	if err != nil {
		return fail(err)
	}
	ps, err := b.programs(j, !w.free)
	if err != nil {
		return fail(err)
	}
	for _, p := range ps {
		if p.name != nameReeve {
			continue
		}
		not, err := supported(ctx, b.box, b.o.reeve, p.argv[len(p.argv)-1])
		if err != nil {
			return fail(err)
		}
		if not != "" {
			r.State, r.Why = notYet, not
			return r
		}
	}
	samples, err := b.rounds(ctx, w, ps, length)
	if err != nil {
		return fail(err)
	}
	r.sum(ps, samples, w.goals)
	return r
}

// rounds lets the programs take turns, so that what else the machine does falls on all of them. The first round warms up
// and is not counted.
func (b *bench) rounds(ctx context.Context, w row, ps []*program, length time.Duration) ([][]measured, error) {
	defer func() {
		for _, p := range ps {
			p.stop()
		}
	}()
	if !w.fresh {
		for _, p := range ps {
			if err := p.start(ctx, b.box); err != nil {
				return nil, err
			}
			b.drain()
			if _, err := w.warm(ctx, b, p, min(length, time.Second)); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if err := b.logs(w, p); err != nil {
				return nil, err
			}
		}
	}
	if w.tune != nil {
		if err := w.tune(ctx, b, ps); err != nil {
			return nil, err
		}
	}
	samples := make([][]measured, len(ps))
	for round := range b.o.rounds {
		for i, p := range ps {
			m, err := b.once(ctx, w, p, length)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			samples[i] = append(samples[i], m)
			progress("%s, round %d of %d: %s %.2f %s", w.key, round+1, b.o.rounds, p.name, m[w.columns[0]], heads[w.columns[0]])
		}
	}
	return samples, nil
}

// warm is a round before those that count.
func (w row) warm(ctx context.Context, b *bench, p *program, length time.Duration) (measured, error) {
	if w.tune != nil { // its rounds need what tune finds out
		return b.wrk(ctx, p, length, wrkRun{conns: 64})
	}
	return w.round(ctx, b, p, length)
}

// once is one round of one program.
func (b *bench) once(ctx context.Context, w row, p *program, length time.Duration) (measured, error) {
	if w.fresh {
		if err := p.start(ctx, b.box); err != nil {
			return nil, err
		}
		defer p.stop()
	}
	return w.round(ctx, b, p, length)
}

// logs makes sure that the program does all of its job: after a warm-up there are lines of it.
func (b *bench) logs(w row, p *program) error {
	if w.silent {
		return nil
	}
	buf := make([]byte, 2048)
	if err := b.sink.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if n, _, err := b.sink.ReadFrom(buf); err != nil || !bytes.HasPrefix(buf[:n], []byte("<")) {
		return fmt.Errorf("%s: no log line came (%q, %v): %s", p.name, buf[:n], err, p.proc.Output())
	}
	return nil
}

// drain throws away the lines of others.
func (b *bench) drain() {
	buf := make([]byte, 2048)
	for {
		_ = b.sink.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) // fails on closed sockets alone
		if _, _, err := b.sink.ReadFrom(buf); err != nil {
			return
		}
	}
}

// sum makes medians of the rounds and compares them with the goals.
func (r *rowReport) sum(ps []*program, samples [][]measured, goals []goal) {
	for i, p := range ps {
		s := sideReport{Name: p.name, Values: measured{}, Ratios: measured{}}
		for _, c := range r.Columns {
			s.Values[c] = medianOf(len(samples[i]), func(k int) float64 { return samples[i][k][c] })
			s.Ratios[c] = medianRatio(samples[i], samples[0], c)
		}
		r.Sides = append(r.Sides, s)
	}
	side := func(name string) int { return slices.IndexFunc(ps, func(p *program) bool { return p.name == name }) }
	ours := side(nameReeve)
	for _, g := range goals {
		got := r.Sides[ours].Values[g.of]
		if g.to != "" {
			got = medianRatio(samples[ours], samples[side(g.to)], g.of)
		}
		r.Goals = append(r.Goals, goalReport{Of: g.of, To: g.to, Most: g.most, Got: got, Passed: g.most == 0 || got <= g.most})
	}
}

// medianRatio is the median of what a round gave divided by what the other program gave in the same round.
func medianRatio(a, b []measured, of metric) float64 {
	return medianOf(len(a), func(k int) float64 {
		if b[k][of] == 0 {
			return 0
		}
		return a[k][of] / b[k][of]
	})
}

func medianOf(n int, value func(int) float64) float64 {
	var values []float64
	for k := range n {
		values = append(values, value(k))
	}
	return median(values)
}

// median is the middle value, of an even number the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	m.HAProxy, m.Nginx = firstLine("haproxy", "-v"), firstLine("nginx", "-v")
	return m
}

func firstLine(argv ...string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput() // a version that is not told is an empty cell
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
