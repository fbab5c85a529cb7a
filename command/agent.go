package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/agent"
	"github.com/reeve-lb/reeve/agent/classic"
	"github.com/reeve-lb/reeve/agent/haproxy"
	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/internal/version"
)

// hidden runs the guard, which is this same binary under a name that no user types.
func hidden(argv []string) (code int, ok bool) { return agent.GuardMain(argv) }

// runKeepalived is how the keepalived personality starts.
func runKeepalived(o classic.Options, errOut io.Writer) int {
	return classic.Run(o, classic.Env{
		New:     func(log hclog.Logger) classic.Daemon { return agent.NewKeepalived(log) },
		Version: version.Version, Stderr: errOut,
	})
}

// runHAProxy is how the haproxy personality starts.
func runHAProxy(o haproxy.Options, out, errOut io.Writer) int {
	return haproxy.Run(o, haproxy.Env{
		New:     func(log hclog.Logger, o haproxy.Options) haproxy.Daemon { return agent.NewHAProxy(log, o) },
		Version: version.Version, Stdout: out, Stderr: errOut,
	})
}

// removeLeftovers is `vip release` where no agent answers.
func removeLeftovers(dataDir string) (int, error) { return agent.RemoveLeftovers(dataDir) }

func agentLeaf() *leaf {
	var s *agent.Settings
	var files, dirs, join *listFlag
	return &leaf{
		name: "agent", args: "[options] [FILE...]", short: "Run a node",
		long: "Runs one node in the foreground. FILE is configuration: .hcl, haproxy.cfg (.cfg), keepalived.conf (.conf), read in the order given.\n" +
			"Without -bootstrap-expect and -retry-join the node stands alone: its files are its configuration, and who holds a virtual " +
			"address is decided by VRRP, as keepalived does. With one of them the nodes make a cluster: its first leader proposes its own " +
			"files as version 1, later changes come by `reeve apply`.\n" +
			"TERM and INT hand the addresses over, drain and stop; a second one ends at once. HUP reads the files again.",
		flags: func(fs *flag.FlagSet) {
			s, files, dirs, join = &agent.Settings{}, &listFlag{}, &listFlag{}, &listFlag{}
			fs.Var(files, "config-file", "read this `file`; may be repeated")
			fs.Var(dirs, "config-dir", "read the .hcl, .cfg and .conf files of this `directory` in alphabetical order; may be repeated")
			fs.StringVar(&s.Node, "node", "", "`name` of the node, unique in the cluster (default: the host's name)")
			fs.StringVar(&s.Bind, "bind", "", "`address` that gossip and RPC listen on (default 0.0.0.0)")
			fs.StringVar(&s.Advertise, "advertise", "", "`address` that the other nodes are told (default: -bind, or the first private address)")
			fs.StringVar(&s.DataDir, "data-dir", "", "`directory` for what must survive a restart")
			fs.IntVar(&s.BootstrapExpect, "bootstrap-expect", 0, "`number` of nodes that begin the cluster together")
			fs.Var(join, "retry-join", "gossip `address` of another node, tried until one answers; may be repeated")
			fs.StringVar(&s.Encrypt, "encrypt", "", "the cluster `key` (`reeve keygen` makes one); kept in data-dir from then on")
			fs.BoolVar(&s.Dev, "dev", false, "one node in memory, on loopback, to try things")
			fs.BoolVar(&s.Witness, "witness", false, "a voter without a data plane: gives a pair its majority")
			fs.IntVar(&s.MemoryMax, "memory-max", 0, "`megabytes` that the process may take; requests beyond that get 503 (default no bound)")
			fs.StringVar(&s.HTTPAddr, "http-addr", "", "serve /v1 at this `address`: host:port or unix:///path (default "+api.DefaultAddress+")")
			fs.StringVar(&s.LogLevel, "log-level", "", "`level`: trace, debug, info, warn or error (default info)")
			fs.BoolVar(&s.LogJSON, "log-json", false, "log lines as JSON")
		},
		run: func(c *call) error {
			s.Files = append(append(append([]string{}, *files...), *dirs...), c.args...)
			s.RetryJoin = *join
			return runAgent(c, *s)
		},
	}
}

// runAgent is how every daemon of this program starts.
func runAgent(c *call, s agent.Settings) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // an idle agent stays small; the request path allocates nothing, so collections are rare
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	a, err := agent.New(s, c.errOut)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	banner(c, a)
	go func() { done <- a.Run(ctx) }()
	up, stopping := a.Up(), false
	for {
		select {
		case err := <-done:
			return err
		case <-up:
			up = nil
			_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // without systemd there is nobody to tell
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				reload(c, a)
			case stopping:
				return fmt.Errorf("second signal: ended without handing over")
			default:
				stopping = true
				_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
				cancel()
			}
		}
	}
}

func reload(c *call, a *agent.Agent) {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReloading)
	defer daemon.SdNotify(false, daemon.SdNotifyReady)
	r, err := a.Reload()
	printProblems(c.errOut, r.Problems)
	if err != nil {
		(&leaf{name: "agent"}).fail(c, err)
	}
}

// banner says which agent this is, then what is odd in its configuration, then that its log begins.
func banner(c *call, a *agent.Agent) {
	fmt.Fprintf(c.errOut, "==> Reeve %s\n", version.Version)
	for _, row := range a.Banner() {
		fmt.Fprintf(c.errOut, "    %s: %s\n", strings.Repeat(" ", max(0, 12-len(row[0])))+row[0], row[1])
	}
	a.LogWarnings()
	fmt.Fprintln(c.errOut, "==> The log follows")
}
