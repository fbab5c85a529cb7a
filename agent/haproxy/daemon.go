package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
)

// Daemon is a data plane with its health checks. Its methods are safe for concurrent use.
type Daemon interface {
	// CanRead tells what is wrong with the files that d names, ports aside. Nothing changes.
	CanRead(d config.Document) source.Problems
	// CanRun tells what would keep this machine from running d. Nothing changes.
	CanRun(d config.Document) source.Problems
	// Apply makes d the configuration, in place. What can't run is left out and told.
	Apply(d config.Document) source.Problems
	// Run serves until ctx ends, then cuts what is left.
	Run(ctx context.Context) error
	// Drain accepts nothing more and returns when the last connection has ended, or when ctx ends and the rest is cut.
	// Run returns afterwards.
	Drain(ctx context.Context) error
	// Servers tells the state of the process and of each server, a line each.
	Servers() []string
}

// Env is what Run is given by who knows the program.
type Env struct {
	New            func(log hclog.Logger, o Options) Daemon
	Version        string // of this program
	Stdout, Stderr io.Writer
}

// Run does what haproxy's command line asks and returns the exit code.
func Run(o Options, env Env) int {
	switch {
	case o.Usage:
		return printUsage(o, env)
	case o.Version > 0:
		return printVersion(o, env)
	case len(o.Files) == 0:
		return printUsage(o, env)
	}
	to := &messages{out: env.Stderr, hello: "this is Reeve " + env.Version + ", which speaks haproxy " + Spoken, quiet: o.Quiet && !o.Verbose}
	for _, r := range o.Refusals {
		to.put(alert, r)
	}
	if len(o.Refusals) > 0 {
		return exitFailed
	}
	for _, n := range o.Notices {
		to.put(notice, n)
	}
	if o.Dir != "" {
		if err := os.Chdir(o.Dir); err != nil {
			to.put(alert, fmt.Sprintf("Could not change to directory %s : %s", o.Dir, sentence(errors.Unwrap(err).Error())))
			return exitFailed
		}
	}
	if o.Check {
		return check(o, env, to)
	}
	if o.Daemon && !o.Foreground {
		to.put(alert, "-D (going into the background) is not supported yet: run it with -db under a service manager")
		return exitFailed
	}
	return (&service{o: o, env: env, to: to}).main()
}

// service is one life of the daemon.
type service struct {
	o       Options
	env     Env
	to      *messages
	doc     config.Document
	daemon  Daemon
	end     context.CancelFunc // of Run
	drained chan error         // nil: not draining
}

// main reads the files, starts and serves to the end.
func (s *service) main() int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	doc, ps, err := load(s.o)
	if err != nil {
		s.to.put(alert, err.Error())
		return exitFailed
	}
	switch code, _ := judge(s.o, doc, ps, s.to); code {
	case exitOK:
	case exitNoListener:
		s.to.put(alert, "No enabled listener found (check for 'bind' directives) ! Exiting.")
		return code
	default:
		return code
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // requests allocate nothing: collections are rare, and an idle process stays small
	}
	if s.o.MemoryMax > 0 {
		debug.SetMemoryLimit(s.o.MemoryMax)
	}
	s.doc = doc
	s.daemon = s.env.New(s.to.logger(s.o.Debug), s.o)
	if ps := s.daemon.Apply(doc); ps.HasErrors() {
		for _, p := range ps {
			s.to.put(alert, fmt.Sprintf("Starting [%s:%d] : %s", p.Pos.File, p.Pos.Line, text(p)))
		}
		s.to.put(alert, "The start failed : cannot bind socket, or what is named above. Exiting.")
		return exitFailed
	}
	if err := s.writePID(); err != nil {
		s.to.put(alert, err.Error())
		return exitFailed
	}
	defer s.removePID()
	return s.serve(signals)
}

// serve runs the data plane and obeys signals until it has ended.
func (s *service) serve(signals <-chan os.Signal) int {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	s.end = end
	done := make(chan error, 1)
	go func() { done <- s.daemon.Run(ctx) }()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // without systemd there is nobody to tell
	for {
		select {
		case err := <-done:
			if s.drained != nil {
				if cut := <-s.drained; cut != nil {
					s.to.put(warning, cut.Error())
				}
			}
			if err != nil {
				s.to.put(alert, err.Error())
				return exitFailed
			}
			return exitOK
		case sig := <-signals:
			s.obey(sig)
		}
	}
}

// obey does what a signal asks for: TERM and INT end at once, USR1 lets connections end first, USR2 reads the files again,
// and so does HUP where a master would.
func (s *service) obey(sig os.Signal) {
	switch sig {
	case syscall.SIGUSR1:
		s.softStop()
	case syscall.SIGUSR2:
		s.reload()
	case syscall.SIGHUP:
		if s.o.Workers {
			s.reload()
			return
		}
		for _, line := range s.daemon.Servers() {
			s.to.put(notice, line)
		}
	default:
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		s.end()
	}
}

// softStop drains, for at most hard-stop-after.
func (s *service) softStop() {
	if s.drained != nil {
		return
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	limit := s.doc.Proxy.Global.HardStop
	for _, f := range s.doc.Proxy.Frontends {
		s.to.put(notice, fmt.Sprintf("Stopping frontend %s in 0 ms.", f.Name))
	}
	drained := make(chan error, 1)
	s.drained = drained
	go func() {
		ctx, cancel := context.Background(), func() {}
		if limit > 0 {
			ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("hard-stop-after %v is over", limit.Round(time.Millisecond)))
		}
		defer cancel()
		drained <- s.daemon.Drain(ctx)
	}()
}

// reload reads the files again and changes what runs in place. Files that can't run change nothing.
func (s *service) reload() {
	if s.drained != nil {
		return
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReloading)
	defer daemon.SdNotify(false, daemon.SdNotifyReady)
	s.to.put(notice, "Reloading HAProxy")
	doc, ps, err := load(s.o)
	if err != nil {
		s.to.put(alert, err.Error())
		return
	}
	if code, _ := judge(s.o, doc, ps, s.to); code != exitOK {
		s.to.put(warning, "Loading failure: what ran before goes on!")
		return
	}
	if ps := s.daemon.CanRun(doc); ps.HasErrors() {
		tell(s.to, ps)
		s.to.put(warning, "Loading failure: what ran before goes on!")
		return
	}
	tell(s.to, s.daemon.Apply(doc))
	s.doc = doc
	s.to.put(notice, "Loading success.")
}

// writePID names this process in the pid file, if one is asked for.
func (s *service) writePID() error {
	path := s.doc.Proxy.Global.PIDFile
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("cannot create pidfile %s : %w", path, err)
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	return errors.Join(err, f.Close())
}

// removePID takes the file away that writePID made, unless somebody else has it now.
func (s *service) removePID() {
	path := s.doc.Proxy.Global.PIDFile
	if b, err := os.ReadFile(path); path != "" && err == nil && string(b) == strconv.Itoa(os.Getpid())+"\n" {
		_ = os.Remove(path) // what is left is a number that nobody has
	}
}
