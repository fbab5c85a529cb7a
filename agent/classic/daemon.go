package classic

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/dump"
)

// Spoken is the version of keepalived whose words this program speaks: what programs that ask for a version are told.
const Spoken = "2.2.7"

// Daemon speaks VRRP. Apply, Snapshot and ClearStats are safe for concurrent use, before and while Run runs.
type Daemon interface {
	// Apply makes c the configuration, in place. The problems say what this machine can't do; the rest runs.
	Apply(c vrrp.Config) source.Problems
	// Run speaks until ctx ends, then gives all addresses back.
	Run(ctx context.Context) error
	// Up is closed once Run has what it needs.
	Up() <-chan struct{}
	// Snapshot is what the dumps show.
	Snapshot() dump.Snapshot
	// ClearStats makes the counters of Snapshot begin at 0 again.
	ClearStats()
}

// Env is what Run is given by who knows the program.
type Env struct {
	New     func(log hclog.Logger) Daemon
	Version string // of this program
	Stderr  io.Writer
}

// banner names the version as keepalived does, so that programs which take the second word find it.
func (e Env) banner() string { return fmt.Sprintf("Keepalived v%s (Reeve %s)", Spoken, e.Version) }

// Run does what keepalived's command line asks and returns the exit code. It may start the program again (a daemon, a
// network namespace), which comes back here.
func Run(o Options, env Env) int {
	switch {
	case o.Signum != "":
		n, ok := signums[o.Signum]
		if !ok {
			fmt.Fprintf(env.Stderr, "Unknown sigfunc %s\n", o.Signum)
			return exitFailed
		}
		fmt.Println(n)
		return exitOK
	case o.Test:
		return test(o, env.Stderr)
	}
	now := stage()
	switch {
	case now == stageLaunch:
		return relaunch()
	case now == "" && !o.Foreground:
		return launch(env.Stderr)
	}
	s := &service{o: o, env: env, stage: now}
	if now == stageDaemon {
		s.report = inherited()
	}
	return s.main()
}

// service is one life of the daemon.
type service struct {
	o      Options
	env    Env
	stage  string
	report *report
	log    hclog.Logger // of the parent's identity
	files  pidFiles
	config vrrp.Config
	daemon Daemon
}

// main prepares the process, says how it goes, and serves.
func (s *service) main() int {
	if file, err := filepath.Abs(s.o.File); err == nil {
		s.o.File = file
	}
	c, ps, loadErr := load(s.o)
	if err := enter(c.Global.NetNamespace, s.stage); err != nil {
		return s.refuse(exitFailed, err.Error())
	}
	s.report.own()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, obeyed...)
	defer signal.Stop(signals)
	named(c.Global.ProcessName)
	if done, err := reading(c.Global); err == nil {
		done() // whoever touched it before the start need not wait any more
	}
	if s.report != nil {
		_ = os.Chdir("/") // a directory that can't be held is no reason not to serve
	}
	if err := s.limits(c); err != nil {
		return s.refuse(exitFailed, err.Error())
	}
	l, err := newLogs(s.targets(c))
	if err != nil {
		return s.refuse(exitFailed, err.Error())
	}
	life, end := context.WithCancel(context.Background())
	go l.run(life)
	defer l.close(end)
	s.log = newLogger(l)
	code, why := s.serve(c, ps, loadErr, signals)
	s.log.Info("Stopped " + s.env.banner())
	if why != "" {
		return s.refuse(code, why)
	}
	return code
}

// refuse tells whoever waits for the start that there is none.
func (s *service) refuse(code int, why string) int {
	s.report.say(code, why)
	if s.report == nil && !s.o.Console {
		fmt.Fprintln(s.env.Stderr, "keepalived:", why)
	}
	return code
}

// limits sets what a process has of its own: the mode of its files, whether it leaves a core.
func (s *service) limits(c vrrp.Config) error {
	unix.Umask(s.umask(c))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // it is idle most of the time, and stays small
	}
	if !s.o.CoreDump {
		return nil
	}
	debug.SetTraceback("crash")
	all := unix.Rlimit{Cur: math.MaxUint64, Max: math.MaxUint64}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &all); err != nil {
		return fmt.Errorf("core dumps: %w", err)
	}
	return nil
}

func (s *service) umask(c vrrp.Config) int {
	switch {
	case s.o.Umask != nil:
		return *s.o.Umask
	case c.Global.Umask != nil:
		return *c.Global.Umask
	}
	return dump.DefaultUmask
}

func (s *service) targets(c vrrp.Config) logTargets {
	t := logTargets{file: s.o.LogFile, syslog: !s.o.NoSyslog && !s.o.Console, facility: s.o.Facility, detail: s.o.Detail}
	if s.o.Console {
		t.console = s.env.Stderr
	}
	for _, part := range []string{c.Global.NetNamespace, c.Global.InstanceName} {
		if part != "" {
			t.suffix += "_" + part
		}
	}
	return t
}

// serve runs the daemon to its end. why is not empty when there was no start.
func (s *service) serve(c vrrp.Config, ps source.Problems, loadErr error, signals <-chan os.Signal) (code int, why string) {
	s.hello()
	if loadErr != nil {
		s.log.Error(loadErr.Error())
		return exitNoConfig, loadErr.Error()
	}
	s.log.Info("Configuration file " + s.o.File)
	s.tell(ps)
	if err := ps.Err(); err != nil {
		s.log.Error("the configuration can't run. Terminating")
		return exitConfig, err.Error()
	}
	s.files.paths = pidNames(s.o, c.Global.InstanceName, c.Global.NetNamespace, c.Global.UsePIDDir, len(c.Instances) > 0)
	if h, ok := s.files.running(); ok {
		text := fmt.Sprintf("daemon is already running: process %d (%s), says %s", h.pid, h.name, h.file)
		s.log.Error(text)
		return exitOK, text // keepalived's code, which makes a second start in a script harmless
	}
	if err := s.files.write(); err != nil {
		s.log.Error(err.Error())
		return exitFailed, err.Error()
	}
	defer s.files.remove()
	if len(c.Instances) == 0 {
		s.log.Warn("Warning - keepalived has no configuration to run")
	}
	s.config = c
	s.hook("startup_script", c.Global.Startup)
	defer func() { s.hook("shutdown_script", s.config.Global.Shutdown) }()
	return s.live(signals), ""
}

// hello says what starts here, and what of the command line is passed over.
func (s *service) hello() {
	var u unix.Utsname
	s.log.Info("Starting " + s.env.banner())
	if unix.Uname(&u) == nil {
		s.log.Info(fmt.Sprintf("Running on %s %s %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]),
			unix.ByteSliceToString(u.Version[:])))
	}
	s.log.Info("Command line: '" + strings.Join(s.o.Argv, "' '") + "'")
	for _, n := range s.o.Notices {
		s.log.Warn(n)
	}
}

func (s *service) tell(ps source.Problems) {
	for _, p := range ps {
		if p.Severity == source.Error {
			s.log.Error(say(p))
		} else {
			s.log.Warn(say(p))
		}
	}
}

// hook runs a script of the daemon's own start or end and waits for it.
func (s *service) hook(what string, c vrrp.Command) {
	if len(c.Argv) == 0 {
		return
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	user := c.User
	if user == "" {
		user = s.config.Global.ScriptUser
	}
	r := script.Run(context.Background(), script.Spec{Argv: c.Argv, User: user, Timeout: timeout, KeepChildren: true})
	if !r.OK() {
		s.log.Warn(what+" failed", "script", strings.Join(c.Argv, " "), "result", r.String(), "output", string(r.Output))
	}
}

// live runs the daemon and obeys signals until it ended.
func (s *service) live(signals <-chan os.Signal) int {
	s.daemon = s.env.New(s.log)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.tell(s.daemon.Apply(s.config))
	done := make(chan error, 1)
	go func() { done <- s.daemon.Run(ctx) }()
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() { s.nameRivals(s.config) })
	if s.o.Addresses {
		helpers.Go(func() { s.watchAddresses(ctx) })
	}
	up, stopping := s.daemon.Up(), false
	times := timetable{log: func(line string) { s.log.Info(line) }}
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				s.log.Error("VRRP ended: " + err.Error())
				s.report.say(exitFailed, err.Error())
				return exitFailed
			}
			return exitOK
		case <-up:
			up = nil
			s.ready()
		case <-look.C:
			due, next := times.look(s.config.Global, time.Now())
			if due && !stopping {
				s.reload()
			}
			look.Reset(next)
		case sig := <-signals:
			if end := sig == unix.SIGTERM || sig == unix.SIGINT; !end {
				s.obey(sig)
				look.Reset(0) // there may be another file to look at
				continue
			}
			if stopping {
				s.log.Warn("second signal: ended without giving the addresses back, the guard does it")
				return exitTerminated
			}
			stopping = true
			s.log.Info("Stopping")
			_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // without systemd there is nobody to tell
			stop()
		}
	}
}

// ready tells who waits: the supervisor, and the command that started the daemon.
func (s *service) ready() {
	if s.o.DumpConf {
		for l := range strings.Lines(string(dump.Data(s.snapshot()))) {
			s.log.Info(strings.TrimRight(l, "\n"))
		}
	}
	s.log.Info("Startup complete")
	_, _ = daemon.SdNotify(false, fmt.Sprintf("READY=1\nMAINPID=%d\nSTATUS=Running", os.Getpid()))
	s.report.say(exitOK, "")
}

func (s *service) nameRivals(c vrrp.Config) {
	for _, r := range rivals() {
		if text, ok := r.clash(c); ok {
			s.log.Error(text)
		}
	}
}
