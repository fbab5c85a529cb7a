package lab

import (
	"errors"
	"slices"
)

// TB is what a lab for a test needs of *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
}

// Test is a lab whose faults fail a test. Its methods are to be called from the test's goroutine.
type Test struct {
	*Net
	tb TB
}

// New makes a lab that is closed when the test ends. The test's package needs a TestMain with Main.
func New(tb TB) *Test {
	tb.Helper()
	n, err := Open()
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("lab: %v", err)
		}
	})
	return &Test{Net: n, tb: tb}
}

// Host is Net.Host, and the test fails if it can't be.
func (t *Test) Host(name string, prefixes ...string) *Host {
	t.tb.Helper()
	h, err := t.Net.Host(name, prefixes...)
	t.Must(err)
	return h
}

// Attach is Host.Attach to the switch of this name, and the test fails if it can't be.
func (t *Test) Attach(h *Host, sw, ifname string, prefixes ...string) *Port {
	t.tb.Helper()
	s, err := t.Net.Switch(sw)
	t.Must(err)
	p, err := h.Attach(s, ifname, prefixes...)
	t.Must(err)
	return p
}

// Start starts a program on a host. If the test fails, what the program wrote is logged.
func (t *Test) Start(h *Host, argv ...string) *Process {
	t.tb.Helper()
	p := h.Command(argv...)
	t.StartProcess(p)
	return p
}

// StartProcess is Start for a prepared program.
func (t *Test) StartProcess(p *Process) {
	t.tb.Helper()
	t.Must(p.Start())
	t.tb.Cleanup(func() {
		if t.tb.Failed() {
			t.tb.Logf("host %s: %v wrote: %s", p.host.name, p.cmd.Args, p.Output())
		}
	})
}

// Watch is Net.Watch, and the test fails if it can't be or if the record ends up with a hole.
func (t *Test) Watch() *Watch {
	t.tb.Helper()
	w, err := t.Net.Watch()
	t.Must(err)
	t.tb.Cleanup(func() {
		if err := w.Err(); err != nil {
			t.tb.Errorf("lab: %v", err)
		}
	})
	return w
}

// Must fails the test at once if any of the errors is one.
func (t *Test) Must(errs ...error) {
	t.tb.Helper()
	if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		t.tb.Fatalf("lab: %v", errors.Join(errs...))
	}
}
