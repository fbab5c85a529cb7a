// Command again runs `go test` with the arguments given, and once more, alone, each test that failed while the host of this
// virtual machine took a good part of its processors: what measures times can't be right then. With -shared first it also
// repeats once what failed beside others that ran at the same time: of a test with subtests those that failed, one at a time.
// It says what it repeats, and why; a test that fails on processors that it had to itself has failed, and a data race that the
// race detector reports is never repeated.
//
//	go run ./internal/lab/again -count=1 -timeout 20m ./vrrp/interop
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/stolen"
)

// dataRace is how a report of the race detector begins.
const dataRace = "WARNING: DATA RACE"

// tries is how often a test is run at most.
const tries = 4

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := run(ctx, os.Stdout, goTest, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "again:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// tester runs `go test -json` and hands its output to each.
type tester func(ctx context.Context, args []string, each func(io.Reader) error) error

func goTest(ctx context.Context, args []string, each func(io.Reader) error) error {
	c := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) }
	c.WaitDelay = 10 * time.Second
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return err
	}
	err = each(out)
	waited := c.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(waited, &exit) {
		waited = nil // that tests failed is in the output
	}
	return errors.Join(err, waited)
}

// run reports whether every test was good, at once or again.
func run(ctx context.Context, w io.Writer, test tester, args []string) (bool, error) {
	shared := len(args) > 0 && args[0] == "-shared"
	if shared {
		args = args[1:]
	}
	first := newRecord(w)
	if err := test(ctx, args, first.read); err != nil || ctx.Err() != nil {
		return false, errors.Join(err, ctx.Err())
	}
	flags := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "./") || a == "." })
	good := len(first.broken) == 0
	for _, whole := range first.failed {
		for _, f := range whole.apart(shared) {
			ok, err := repeat(ctx, w, test, flags, f)
			if err != nil {
				return false, err
			}
			good = good && ok
		}
	}
	for _, p := range first.broken {
		fmt.Fprintf(w, "again: %s failed as a whole\n", p)
	}
	return good, nil
}

// repeat runs a failed test again as long as there is the host to blame.
func repeat(ctx context.Context, w io.Writer, test tester, flags []string, f failure) (bool, error) {
	for n := 1; ; n++ {
		if f.raced {
			fmt.Fprintf(w, "again: %s %s FAILED, with a data race\n", f.pkg, f.test)
			return false, nil
		}
		if f.stolen <= stolen.Max || n == tries {
			fmt.Fprintf(w, "again: %s %s FAILED, %.0f %% of the processors' time was taken by the host\n", f.pkg, f.test, f.stolen)
			return false, nil
		}
		why := fmt.Sprintf("%.0f %% of the processors' time was taken by the host", f.stolen)
		if f.beside {
			why = "others ran beside it"
		}
		fmt.Fprintf(w, "again: %s %s: %s, once more\n", f.pkg, f.test, why)
		r := newRecord(w)
		err := test(ctx, append(slices.Clone(flags), "-run", f.pattern(), f.pkg), r.read)
		if err != nil || ctx.Err() != nil {
			return false, errors.Join(err, ctx.Err())
		}
		if len(r.failed)+len(r.broken) == 0 && r.ran[f.pkg+" "+f.test] {
			return true, nil
		}
		if len(r.failed) == 0 {
			return false, nil
		}
		f.stolen, f.beside, f.raced = r.failed[0].stolen, false, r.failed[0].raced
	}
}

// failure is a test that failed, with what was taken from the processors while it ran, in percent.
type failure struct {
	pkg, test string
	stolen    float64
	beside    bool // it was not alone
	raced     bool // the race detector had something to report
	parts     []string
}

// apart is what is to be repeated: where others ran beside it each part that failed, by itself.
func (f failure) apart(shared bool) []failure {
	if !shared {
		return []failure{f}
	}
	names := f.parts
	if len(names) == 0 {
		names = []string{f.test}
	}
	var out []failure
	for _, name := range names {
		part := failure{pkg: f.pkg, test: name, stolen: f.stolen, raced: f.raced}
		if part.stolen <= stolen.Max {
			part.stolen, part.beside = stolen.Max+1, true
		}
		out = append(out, part)
	}
	return out
}

// pattern is for -run: this test, or this subtest, alone.
func (f failure) pattern() string {
	return "^" + strings.ReplaceAll(f.test, "/", "$/^") + "$"
}

// record is what one run of `go test` came to.
type record struct {
	w      io.Writer
	look   func() (stolen.Processors, error)
	began  map[string]stolen.Processors
	output map[string][]string // of tests, until it is known how they end
	parts  map[string][]string // of tests, those subtests right below that failed
	ran    map[string]bool     // tests and subtests
	failed []failure
	broken []string // packages that failed without a test that did
}

// look reads what the processors did so far.
var look = stolen.Look

func newRecord(w io.Writer) *record {
	return &record{w: w, look: look, began: map[string]stolen.Processors{}, output: map[string][]string{}, parts: map[string][]string{}, ran: map[string]bool{}}
}

// event is a line of `go test -json` (cmd/test2json).
type event struct {
	Action, Package, Test, Output string
	FailedBuild                   string
}

func (r *record) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(r.w, lines.Text()) // of the compiler
			continue
		}
		if err := r.take(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (r *record) take(e event) error {
	test, _, sub := strings.Cut(e.Test, "/")
	key := e.Package + " " + test
	switch {
	case e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" && e.Output != "FAIL\n" {
			fmt.Fprint(r.w, e.Output)
		}
	case e.Action == "output":
		r.output[key] = append(r.output[key], e.Output)
	case e.Action == "build-output":
		fmt.Fprint(r.w, e.Output)
	case e.Action == "run" && sub:
		r.ran[e.Package+" "+e.Test] = true
	case e.Action == "run":
		r.ran[key] = true
		now, err := r.look()
		r.began[key] = now
		return err
	case sub:
		if e.Action == "fail" && strings.Count(e.Test, "/") == 1 {
			r.parts[key] = append(r.parts[key], e.Test)
		}
	case (e.Action == "pass" || e.Action == "skip") && e.Test != "":
		delete(r.output, key)
	case e.Action == "fail":
		return r.fail(e, key)
	}
	return nil
}

func (r *record) fail(e event, key string) error {
	if e.Test == "" {
		if !slices.ContainsFunc(r.failed, func(f failure) bool { return f.pkg == e.Package }) {
			for name, lines := range r.output { // of a test that did not come to its end
				if strings.HasPrefix(name, e.Package+" ") {
					fmt.Fprint(r.w, strings.Join(lines, ""))
				}
			}
			r.broken = append(r.broken, e.Package)
		}
		return nil
	}
	now, err := r.look()
	if err != nil {
		return err
	}
	raced := slices.ContainsFunc(r.output[key], func(line string) bool { return strings.Contains(line, dataRace) })
	r.failed = append(r.failed, failure{pkg: e.Package, test: e.Test, stolen: now.Since(r.began[key]), parts: r.parts[key], raced: raced})
	fmt.Fprint(r.w, strings.Join(r.output[key], ""))
	delete(r.output, key)
	return nil
}
