package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// program is a proxy under test: how it is started, where it listens and, once it runs, its process.
type program struct {
	name   string
	addr   string
	argv   []string
	pinned bool // to the proxies' core
	proc   *lab.Process
}

// Names of the programs, as the tables show them.
const (
	nameHAProxy = "HAProxy"
	nameNginx   = "nginx"
	nameReeve   = "Reeve"
	nameOneLoop = "Reeve, one loop"
)

// Cores: the proxy has one to itself, so that it is what limits the figures; load and server share another.
const proxyCore, loadCore = "0", "1"

func pinned(core string, argv ...string) []string {
	return append([]string{"taskset", "-c", core}, argv...)
}

// startBudget bounds a start: thousands of rules and certificates are read meanwhile.
const startBudget = 60 * time.Second

// start starts the program and waits until it listens.
func (p *program) start(ctx context.Context, box *lab.Host) error {
	argv := p.argv
	if p.pinned {
		argv = pinned(proxyCore, argv...)
	}
	p.proc = box.Command(argv...)
	if err := p.proc.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := box.Dial(ctx, "tcp", p.addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-p.proc.Done():
			return fmt.Errorf("%s ended: %w: %s", p.name, errors.Join(p.proc.Err(), errEnded), p.proc.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w: %s", p.name, err, p.proc.Output())
		}
	}
}

var errEnded = errors.New("before it listened")

// stop ends the program; a hard end is as good, its work is done.
func (p *program) stop() {
	if p.proc != nil {
		_ = p.proc.Stop(2 * time.Second)
		p.proc = nil
	}
}

// cpu is the time that a process has had, its own and the kernel's for it, all threads together. It is the clock of the
// scheduler, to the nanosecond, and not /proc's, which counts by ticks.
func cpu(pid int) (time.Duration, error) {
	// The clock's number is made of the process's: see CPUCLOCK_SCHED and MAKE_PROCESS_CPUCLOCK in Linux's posix-timers.h.
	const sched = 2
	var ts unix.Timespec
	if pid <= 0 { // the clock of ourselves
		return 0, fmt.Errorf("CPU time of process %d: there is none", pid)
	}
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// resident is the memory that a process has in use, in bytes.
func resident(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmRSS in its status", pid)
}

// supported asks Reeve whether it can carry a configuration out. A word that this release does not know yet is no fault:
// not says which.
func supported(ctx context.Context, box *lab.Host, reeve, file string) (not string, err error) {
	p := box.Command(reeve, "haproxy", "-c", "-f", file)
	if err = p.Run(ctx); err == nil {
		return "", nil
	}
	for line := range strings.Lines(p.Output()) {
		if strings.HasPrefix(line, "[ALERT]") && strings.Contains(line, "not supported yet") {
			_, text, _ := strings.Cut(line, ") : ")
			return strings.ReplaceAll(strings.TrimSpace(text), file, filepath.Base(file)), nil
		}
	}
	return "", err
}
