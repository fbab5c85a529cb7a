// Bench measures Reeve beside the programs that it takes the place of, on the same machine in the same run: the data plane
// beside HAProxy and nginx, a row for each kind of work, and the failover of an address beside keepalived with HAProxy.
//
// What is compared is said with the figures. A figure of another machine, or of another hour on a busy one, means
// nothing beside these.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// options of a run.
type options struct {
	reeve     string   // path of the program
	dir       string   // for files of the programs under test
	rows      []string // keys; none: all
	rounds    int
	length    time.Duration // of a round
	bulk      int64         // bytes of a bulk transfer
	idle      int           // idle connections, at most
	failovers int           // runs of each kind of failure
}

// picked reports whether a row is to be measured.
func (o options) picked(key string) bool { return len(o.rows) == 0 || slices.Contains(o.rows, key) }

// failoverKey is the row that is measured another way than the others.
const failoverKey = "failover"

// keys are all that -rows may name.
func keys() []string {
	var out []string
	for _, r := range rows() {
		out = append(out, r.key)
	}
	return append(out, failoverKey)
}

// report is all that a run measured.
type report struct {
	Proxies  *proxyReport    `json:"proxies,omitempty"`
	Failover *failoverReport `json:"failover,omitempty"`
}

// inner are the servers and clients that this program is as processes of its own; they must not open a lab.
var inner = map[string]func(args []string) error{
	serveWord: func(args []string) error { return serve(args[0]) },
	bulkWord:  func(args []string) error { return serveBulk(args[0]) },
	openWord:  openLoad, holdWord: hold, handsWord: shakeHands,
}

// beInner runs one of them if the command line says so.
func beInner() bool {
	if len(os.Args) < 3 || inner[os.Args[1]] == nil {
		return false
	}
	fail(inner[os.Args[1]](os.Args[2:]))
	return true
}

func main() {
	if beInner() {
		return
	}
	o := options{bulk: 1 << 30, idle: idleClear}
	picked, format, short := "", "", false
	flag.StringVar(&o.reeve, "reeve", "bin/reeve", "the `program`")
	flag.IntVar(&o.rounds, "rounds", 5, "`number` of rounds of each proxy")
	flag.DurationVar(&o.length, "time", 3*time.Second, "`length` of a round")
	flag.IntVar(&o.failovers, "failovers", 3, "`number` of runs of each kind of failure")
	flag.StringVar(&picked, "rows", "", "measure these rows alone, `a,b,...`: "+strings.Join(keys(), ", "))
	flag.BoolVar(&short, "short", false, "one short round of each: whether everything works, not how fast it is")
	flag.StringVar(&format, "format", "text", "`text` or json")
	flag.Parse()
	if picked != "" {
		o.rows = strings.Split(picked, ",")
	}
	if short {
		o = o.shortened()
	}
	unknown := slices.ContainsFunc(o.rows, func(k string) bool { return !slices.Contains(keys(), k) })
	if flag.NArg() > 0 || unknown || (format != "text" && format != "json") || o.rounds < 1 || o.failovers < 1 || o.length < 100*time.Millisecond {
		flag.Usage()
		os.Exit(2)
	}
	code, inside, err := lab.Enter()
	if err != nil || !inside {
		fail(err)
		os.Exit(code)
	}
	fail(inLab(o, format))
}

// shortened makes a run of a smoke test.
func (o options) shortened() options {
	o.rounds, o.length, o.bulk, o.idle, o.failovers = 1, time.Second, 32<<20, 200, 1
	return o
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inLab measures and prints.
func inLab(o options, format string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.reeve, err = filepath.Abs(o.reeve); err != nil {
		return err
	}
	if err := programs(o); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "reeve-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	var r report
	if len(o.rows) != 1 || o.rows[0] != failoverKey {
		if r.Proxies, err = measureProxies(ctx, o); err != nil {
			return err
		}
	}
	if o.picked(failoverKey) {
		if r.Failover, err = measureFailover(ctx, o); err != nil {
			return fmt.Errorf("failover: %w", err)
		}
	}
	if err := r.print(format); err != nil {
		return err
	}
	if r.Proxies != nil {
		if keys := r.Proxies.broken(); len(keys) > 0 {
			return fmt.Errorf("not measured: %s", strings.Join(keys, ", "))
		}
	}
	return nil
}

func (r report) print(format string) error {
	if format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := fmt.Print(r.text())
	return err
}

// programs names all that is missing at once.
func programs(o options) error {
	need := []string{o.reeve, "haproxy", "nginx", "wrk", "h2load", "curl", "taskset"}
	if o.picked(failoverKey) {
		need = append(need, "keepalived")
	}
	var missing []string
	for _, p := range need {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s (`make deps build`; PATH needs /usr/sbin)", strings.Join(missing, " "))
	}
	return nil
}

// progress tells on standard error what is being done: a run takes minutes.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
