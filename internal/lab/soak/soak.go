package soak

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// Options of a run.
type Options struct {
	Program  string        // reeve
	Dir      string        // for its files
	Duration time.Duration // of the load
	Share    float64       // of what the proxy can do, for the well-behaved clients
	Log      func(format string, args ...any)
}

// Sample is what the process had at one time.
type Sample struct {
	At          time.Duration
	Resident    int64 // bytes
	Descriptors int
	Goroutines  int
	Conns       int
}

// Report is what a run gave.
type Report struct {
	Rate     int // requests a second that were asked for
	Requests int64
	Changes  int // of the configuration
	Deaths   int // of servers
	Rude     int64
	Before   Sample // warm, without clients
	After    Sample // the same at the end
	Samples  []Sample
	Errors   []string // the first of what well-behaved clients met
	Failed   int64
	Said     string // the end of what the proxy wrote
	// What failed, by kind: as clients saw it, as the proxy's log has it ("503 SC-- at <NOSRV>": status, termination state,
	// server), and why servers were taken for dead.
	Seen, Logged, Downs map[string]int64
}

// numbers.
const (
	workers     = 64
	rudeAtOnce  = 24
	changeEvery = time.Second
	deathEvery  = 1500 * time.Millisecond
	deadFor     = 700 * time.Millisecond
	// quiet is how long the proxy has after the load to let go: longer than its timeouts and than pools keep connections.
	quiet = 6 * time.Second
)

// soaking is a run.
type soaking struct {
	o       Options
	box     *lab.Host
	proc    *lab.Process
	file    string
	servers []*server
	journal *journal
	began   time.Time
	r       Report

	mu   sync.Mutex
	done atomic.Int64
	bad  atomic.Int64
	rude atomic.Int64
}

// Run builds the site on a host of the lab, loads it and takes the measure of the process.
func Run(ctx context.Context, box *lab.Host, o Options) (r Report, err error) {
	s := &soaking{o: o, box: box, file: filepath.Join(o.Dir, "haproxy.cfg")}
	for i := range 4 {
		sv := &server{box: box, addr: fmt.Sprintf("127.0.0.1:%d", 8081+i)}
		if err := sv.raise(); err != nil {
			return r, err
		}
		defer sv.kill()
		s.servers = append(s.servers, sv)
	}
	s.r.Seen = map[string]int64{}
	if s.journal, err = listenForLog(box.ListenPacket); err != nil {
		return r, err
	}
	defer func() {
		s.journal.close()
		r.Logged, r.Downs = s.journal.bad, s.journal.down
	}()
	if err := s.start(ctx); err != nil {
		return r, err
	}
	defer func() {
		r.Said = s.proc.Output()
		err = errors.Join(err, s.proc.Stop(5*time.Second))
	}()
	s.began = time.Now()
	if err := s.load(ctx); err != nil {
		return s.r, err
	}
	s.r.Requests, s.r.Failed, s.r.Rude = s.done.Load(), s.bad.Load(), s.rude.Load()
	return s.r, nil
}

func (s *soaking) start(ctx context.Context) error {
	if err := os.WriteFile(s.file, []byte(conf(s.servers, 0)), 0o644); err != nil {
		return err
	}
	s.proc = s.box.Command(s.o.Program, "haproxy", "-db", "-f", s.file)
	if err := s.proc.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		c, err := s.box.Dial(ctx, "tcp", proxyAddr)
		if err == nil {
			return c.Close()
		}
		if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("the proxy does not listen: %w: %s", err, s.proc.Output())
		}
	}
}

// load finds out what the proxy can do, rests, loads it for the time, rests again.
func (s *soaking) load(ctx context.Context) error {
	warm, cancel := context.WithTimeout(ctx, time.Second)
	s.clients(warm, 0)
	cancel()
	s.r.Rate = int(float64(s.done.Load()) * s.o.Share)
	if s.r.Rate == 0 {
		return fmt.Errorf("nothing was answered: %v: %s", s.r.Errors, s.proc.Output())
	}
	s.o.Log("%d requests a second can be answered, %d are asked for", s.done.Load(), s.r.Rate)
	if !pause(ctx, quiet/2) {
		return ctx.Err()
	}
	var err error
	if s.r.Before, err = s.sample(ctx); err != nil {
		return err
	}
	work, end := context.WithTimeout(ctx, s.o.Duration)
	defer end()
	var wg sync.WaitGroup
	wg.Go(func() { s.clients(work, s.r.Rate) })
	wg.Go(func() { s.rudeClients(work) })
	wg.Go(func() { s.deaths(work) })
	failed := s.changes(work)
	wg.Wait()
	if failed != nil || !pause(ctx, quiet) {
		return errors.Join(failed, ctx.Err())
	}
	s.r.After, err = s.sample(ctx)
	return err
}

// clients ask on keep-alive connections until ctx ends: as fast as they can, or at a rate for all.
func (s *soaking) clients(ctx context.Context, rate int) {
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			var c net.Conn
			var r *bufio.Reader
			due := time.Now().Add(time.Duration(i) * time.Millisecond)
			for ctx.Err() == nil {
				if rate > 0 {
					if due = due.Add(time.Second * workers / time.Duration(rate)); !pause(ctx, time.Until(due)) {
						break
					}
				}
				if c == nil {
					var err error
					if c, err = s.box.Dial(ctx, "tcp", proxyAddr); err != nil {
						s.fault(ctx, "no connection", err.Error())
						continue
					}
					r = bufio.NewReaderSize(c, 1024)
				}
				if again := s.ask(ctx, c, r); !again || rand.IntN(200) == 0 {
					c.Close()
					c = nil
				}
			}
			if c != nil {
				c.Close()
			}
		})
	}
	wg.Wait()
}

// goodPath is what well-behaved clients ask for, and nobody else.
const goodPath = "/index.html"

var goodRequest = []byte("GET " + goodPath + " HTTP/1.1\r\nHost: www.example\r\nUser-Agent: soak\r\nAccept: */*\r\n\r\n")

// ask wants 200, whatever happens behind the proxy.
func (s *soaking) ask(ctx context.Context, c net.Conn, r *bufio.Reader) (again bool) {
	c.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := c.Write(goodRequest); err != nil {
		s.fault(ctx, "request not sent", err.Error())
		return false
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		s.fault(ctx, "no answer", err.Error())
		return false
	}
	defer resp.Body.Close()
	body := make([]byte, 6)
	n, _ := resp.Body.Read(body)
	if resp.StatusCode != http.StatusOK || string(body[:n]) != "hello" {
		s.fault(ctx, fmt.Sprintf("status %d", resp.StatusCode), fmt.Sprintf("body %q", body[:n]))
		return false
	}
	s.done.Add(1)
	return !resp.Close
}

// fault notes what should not have happened. At the end of the time it is the end that cuts dials and requests off, which the
// network notices before the context does.
func (s *soaking) fault(ctx context.Context, kind, text string) {
	if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && !time.Now().Before(end) {
		return
	}
	n := s.bad.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.Seen[kind]++
	if n <= 20 {
		s.r.Errors = append(s.r.Errors, fmt.Sprintf("%v: %s: %s", time.Since(s.began).Round(time.Millisecond), kind, text))
	}
}

func (s *soaking) rudeClients(ctx context.Context) {
	var wg sync.WaitGroup
	for range rudeAtOnce {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := s.box.Dial(ctx, "tcp", proxyAddr)
				if err != nil {
					pause(ctx, 10*time.Millisecond)
					continue
				}
				c.SetDeadline(time.Now().Add(10 * time.Second))
				rude[rand.IntN(len(rude))](ctx, c)
				c.Close()
				s.rude.Add(1)
			}
		})
	}
	wg.Wait()
}

// deaths kills a server now and then and raises it again.
func (s *soaking) deaths(ctx context.Context) {
	for pause(ctx, deathEvery-deadFor) {
		sv := s.servers[rand.IntN(len(s.servers))]
		sv.kill()
		s.r.Deaths++
		pause(ctx, deadFor)
		if err := sv.raise(); err != nil {
			s.fault(context.Background(), "a server does not rise", err.Error())
			return
		}
	}
}

// changes gives the proxy another configuration each second, and takes a sample with it.
func (s *soaking) changes(ctx context.Context) error {
	for n := 1; pause(ctx, changeEvery); n++ {
		if err := os.WriteFile(s.file, []byte(conf(s.servers, n)), 0o644); err != nil {
			return err
		}
		if err := s.proc.Signal(syscall.SIGUSR2); err != nil {
			return fmt.Errorf("the proxy is gone: %w: %s", err, s.proc.Output())
		}
		s.r.Changes++
		sample, err := s.sample(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		s.r.Samples = append(s.r.Samples, sample)
		if n%30 == 0 {
			s.o.Log("%+v: %d requests, %d failed", sample, s.done.Load(), s.bad.Load())
		}
	}
	return nil
}

var stateLine = regexp.MustCompile(`Process has (\d+) connections, .* (\d+) goroutines`)

// sample asks the process for its state by HUP and looks at what the kernel says of it.
func (s *soaking) sample(ctx context.Context) (Sample, error) {
	count := func() int { return strings.Count(s.proc.Output(), "Process has ") }
	before := count()
	if err := s.proc.Signal(syscall.SIGHUP); err != nil {
		return Sample{}, fmt.Errorf("the proxy is gone: %w: %s", err, s.proc.Output())
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for count() == before {
		if !pause(ctx, 5*time.Millisecond) {
			return Sample{}, fmt.Errorf("the proxy does not tell its state: %s", s.proc.Output())
		}
	}
	all := stateLine.FindAllStringSubmatch(s.proc.Output(), -1)
	last := all[len(all)-1]
	out := Sample{At: time.Since(s.began)}
	out.Conns, _ = strconv.Atoi(last[1]) // digits
	out.Goroutines, _ = strconv.Atoi(last[2])
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.proc.Pid()))
	if err != nil {
		return out, err
	}
	out.Descriptors = len(fds)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.Pid()))
	if err != nil {
		return out, err
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			out.Resident = kb << 10
		}
	}
	return out, nil
}
