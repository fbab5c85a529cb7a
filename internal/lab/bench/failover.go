package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/measure"
)

// kinds are the ways to fail the owner of an address, as the demo calls them, and what they are for the pair.
var kinds = []struct {
	name, says string
	fail       func(*lab.Host) error
}{
	{"kill", "killed (KILL)", func(h *lab.Host) error {
		// Frozen first: keepalived's processes watch each other, and one that outlives another for a moment says good-bye.
		return errors.Join(h.SignalAll(syscall.SIGSTOP), h.SignalAll(syscall.SIGKILL))
	}},
	{"stop", "frozen (STOP)", func(h *lab.Host) error { return h.SignalAll(syscall.SIGSTOP) }},
	{"link", "cut off by the switch", func(h *lab.Host) error { return h.Cut() }},
	{"leave", "ended in order (TERM)", func(h *lab.Host) error { return h.SignalAll(syscall.SIGTERM) }},
}

// failoverReport is one line a kind of failure.
type failoverReport struct {
	Runs int           `json:"runs"`
	Rows []failoverRow `json:"kinds"`
}

type failoverRow struct {
	Kind string `json:"kind"`
	says string
	Pair outcome `json:"keepalived_haproxy"`
	Ours outcome `json:"reeve"`
}

// outcome is the median gap of a few runs and the worst of the rest.
type outcome struct {
	GapMS       float64 `json:"failover_gap_ms"`
	Errors      int     `json:"errors"`
	OwnersMax   int     `json:"owners_seen_max"`
	LeftOnFirst bool    `json:"vip_left_on_dead"`
}

func measureFailover(ctx context.Context, o options) (*failoverReport, error) {
	r := &failoverReport{Runs: o.failovers}
	for _, k := range kinds {
		row := failoverRow{Kind: k.name, says: k.says}
		for _, side := range []struct {
			name string
			to   *outcome
			run  func() (outcome, error)
		}{
			{"keepalived and HAProxy", &row.Pair, func() (outcome, error) { return pair(ctx, o.dir, k.fail) }},
			{"Reeve", &row.Ours, func() (outcome, error) { return demo(ctx, o.reeve, k.name) }},
		} {
			var runs []outcome
			for i := range o.failovers {
				one, err := side.run()
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", side.name, k.name, err)
				}
				progress("%s, %s, run %d of %d: no answer for %.0f ms", side.name, k.name, i+1, o.failovers, one.GapMS)
				runs = append(runs, one)
			}
			*side.to = sum(runs)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

func sum(runs []outcome) outcome {
	var all outcome
	var gaps []float64
	for _, r := range runs {
		gaps = append(gaps, r.GapMS)
		all.Errors = max(all.Errors, r.Errors)
		all.OwnersMax = max(all.OwnersMax, r.OwnersMax)
		all.LeftOnFirst = all.LeftOnFirst || r.LeftOnFirst
	}
	all.GapMS = median(gaps)
	return all
}

// demo is one run of Reeve's own.
func demo(ctx context.Context, reeve, kind string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, reeve, "demo", "-format=json", "-fail="+kind)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return outcome{}, fmt.Errorf("reeve demo: %w: %s", err, errOut.String())
	}
	var o outcome
	if err := json.Unmarshal(out.Bytes(), &o); err != nil {
		return o, fmt.Errorf("reeve demo printed %q: %w", out.String(), err)
	}
	return o, nil
}

const keepalivedConf = `global_defs {
    router_id %[1]s
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority %[2]d
    advert_int 1
    virtual_ipaddress {
        10.77.0.101/24
    }
}
`

const pairHAProxyConf = `defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
frontend web
    bind :80
    default_backend app
backend app
    server web1 10.77.0.21:8080 check inter 200
    server web2 10.77.0.22:8080 check inter 200
`

// bounds of one run of the pair.
const (
	pairStart = 20 * time.Second
	pairMove  = 15 * time.Second
)

// pair is keepalived with HAProxy on two hosts, what Reeve takes the place of: one failure of the first of them. It is
// measured as the demo measures: a new connection each 10 ms, until the second has answered for a second.
func pair(ctx context.Context, dir string, fail func(*lab.Host) error) (o outcome, err error) {
	n, err := lab.Open()
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	vip := netip.MustParseAddr("10.77.0.101")
	watch, err := n.Watch()
	if err != nil {
		return o, err
	}
	user, first, err := raise(n, dir)
	if err != nil {
		return o, err
	}
	start, cancel := context.WithTimeout(ctx, pairStart)
	defer cancel()
	if _, err := watch.AwaitOwner(start, vip, first.Name()); err != nil {
		return o, fmt.Errorf("the first takes no address: %w", err)
	}
	target := netip.AddrPortFrom(vip, 80)
	if _, err := measure.Await(start, user, target, "/"); err != nil {
		return o, err
	}
	client := measure.New(user, measure.Options{}, target)
	asking, quit := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { asked <- client.Run(asking) }()
	defer func() { quit(); err = errors.Join(err, <-asked) }()

	if err := pause(ctx, 500*time.Millisecond); err != nil { // answers before the fault: a gap has two ends
		return o, err
	}
	if err := fail(first); err != nil {
		return o, err
	}
	move, cancelMove := context.WithTimeout(ctx, pairMove)
	defer cancelMove()
	moved := func() bool {
		for _, h := range watch.Owners(vip) {
			if h != first.Name() {
				return true
			}
		}
		return false
	}
	if err := watch.Await(move, moved); err != nil {
		return o, fmt.Errorf("the second takes no address: %w", err)
	}
	if err := pause(ctx, time.Second+patience); err != nil {
		return o, err
	}
	r := client.Report(target, time.Time{})
	o = outcome{GapMS: r.Gap.Seconds() * 1000, Errors: r.Errors, OwnersMax: watch.OwnersMax(vip)}
	for _, h := range watch.Owners(vip) {
		o.LeftOnFirst = o.LeftOnFirst || h == first.Name()
	}
	return o, watch.Err()
}

// patience is the client's with one question: after it, all that were asked during the gap are decided.
const patience = time.Second

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// raise builds the hosts and starts what runs on them.
func raise(n *lab.Net, dir string) (user, first *lab.Host, err error) {
	for i := 1; i <= 2; i++ {
		web, err := n.Host(fmt.Sprintf("web%d", i), fmt.Sprintf("10.77.0.%d/24", 20+i))
		if err != nil {
			return nil, nil, err
		}
		if _, err := web.Web(":8080"); err != nil {
			return nil, nil, err
		}
	}
	for i, priority := range []int{150, 100} {
		name := fmt.Sprintf("lb%d", i+1)
		h, err := n.Host(name, fmt.Sprintf("10.77.0.%d/24", i+1))
		if err != nil {
			return nil, nil, err
		}
		own := filepath.Join(dir, name)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return nil, nil, err
		}
		if _, err := h.HAProxy(own, pairHAProxyConf); err != nil {
			return nil, nil, err
		}
		if _, err := h.Keepalived(own, fmt.Sprintf(keepalivedConf, name, priority)); err != nil {
			return nil, nil, err
		}
		if i == 0 {
			first = h
		}
	}
	user, err = n.Host("user", "10.77.0.50/24")
	return user, first, err
}
