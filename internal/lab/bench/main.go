// Bench measures Reeve beside the programs that it takes the place of, on the same machine in the same run: HTTP
// keep-alive beside HAProxy and nginx, the failover of an address beside keepalived with HAProxy.
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
	"strings"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// options of a run.
type options struct {
	reeve     string // path of the program
	dir       string // for files of the programs under test
	conns     int
	rounds    int
	length    time.Duration // of a round
	failovers int           // runs of each kind of failure
}

// report is all that a run measured.
type report struct {
	HTTP     *httpReport     `json:"http,omitempty"`
	Failover *failoverReport `json:"failover,omitempty"`
}

func main() {
	// The inner process of a re-execution that only serves: it must not open a lab of its own.
	if len(os.Args) == 3 && os.Args[1] == serveWord {
		fail(serve(os.Args[2]))
		return
	}
	var o options
	only, format := "", ""
	flag.StringVar(&o.reeve, "reeve", "bin/reeve", "the `program`")
	flag.IntVar(&o.rounds, "rounds", 5, "`number` of rounds of each proxy")
	flag.DurationVar(&o.length, "time", 3*time.Second, "`length` of a round")
	flag.IntVar(&o.conns, "connections", 64, "`number` of client connections")
	flag.IntVar(&o.failovers, "failovers", 3, "`number` of runs of each kind of failure")
	flag.StringVar(&only, "only", "", "measure one `part`: http or failover")
	flag.StringVar(&format, "format", "text", "`text` or json")
	flag.Parse()
	if flag.NArg() > 0 || (format != "text" && format != "json") || (only != "" && only != "http" && only != "failover") || o.rounds < 1 ||
		o.failovers < 1 || o.conns < 1 || o.length < 100*time.Millisecond {
		flag.Usage()
		os.Exit(2)
	}
	code, inside, err := lab.Enter()
	if err != nil || !inside {
		fail(err)
		os.Exit(code)
	}
	fail(inLab(o, only, format))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inLab measures and prints.
func inLab(o options, only, format string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.reeve, err = filepath.Abs(o.reeve); err != nil {
		return err
	}
	if err := programs(o.reeve, only); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "reeve-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	var r report
	if only != "failover" {
		if r.HTTP, err = measureHTTP(ctx, o); err != nil {
			return fmt.Errorf("http: %w", err)
		}
	}
	if only != "http" {
		if r.Failover, err = measureFailover(ctx, o); err != nil {
			return fmt.Errorf("failover: %w", err)
		}
	}
	if format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Print(r.text())
	return nil
}

// programs names all that is missing at once.
func programs(reeve, only string) error {
	need := []string{reeve, "haproxy"}
	if only != "failover" {
		need = append(need, "nginx", "wrk", "taskset")
	}
	if only != "http" {
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
