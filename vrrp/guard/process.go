package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// ProcessOptions of Main.
type ProcessOptions struct {
	// FD is the inherited socket, which the descriptor of the bell follows; 0: where Start puts it.
	FD int
	// Remove takes addresses off; nil: by netlink (vip.Remover), the socket open beforehand.
	Remove func([]Address) error
	// Said tells the cluster what is off this machine, with the latest blob of Client.Say (nil if there was none). It is
	// called on a goroutine of its own, perhaps several at a time, and has until ctx ends. May be nil.
	Said func(ctx context.Context, released []Released, blob []byte)
	// SayTimeout bounds a call of Said; default 2 s.
	SayTimeout time.Duration
	// Logger, nil for none, is used off the loop only: a full pipe at its end delays no removal.
	Logger hclog.Logger
}

// Main is the whole life of a guard process; the hidden subcommand that Options.Args names calls nothing else. It
// returns when the agent is gone, everything is removed and said.
func Main(o ProcessOptions) error {
	if o.FD == 0 {
		o.FD = inheritedFD
	}
	stage := os.Getenv(stageEnv)
	if stage != stageLaunch && stage != stageGuard {
		return errors.New("the guard is started by the agent, not by hand")
	}
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGALRM)
	if stage == stageLaunch {
		return relaunch(o.FD)
	}
	tune()
	p, err := newProcess(o)
	if err != nil {
		return err
	}
	return p.run()
}

// process is the rim of keeper: the agent's socket and its bell, a timer on the boot clock, a netlink socket.
type process struct {
	o      ProcessOptions
	log    hclog.Logger
	keeper *keeper
	sayer  *sayer
	ear    *ear
	timer  int
	armed  boottime.Time // what the timer is set to; zero: not
	hungUp bool          // the agent's end is closed: what is in the socket is all that will ever be
	buf    []byte
	out    []byte
	faults uint64
}

func newProcess(o ProcessOptions) (*process, error) {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Remove == nil {
		r, err := vip.NewRemover()
		if err != nil {
			return nil, fmt.Errorf("guard: %w", err)
		}
		o.Remove = r.Remove
	}
	// A timer on the boot clock, unlike a timeout of poll, goes off when a suspended machine wakes.
	timer, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("guard: timer: %w", err)
	}
	bell := o.FD + 1
	unix.CloseOnExec(o.FD)
	unix.CloseOnExec(bell)
	// The bell is heard each time it rings, whatever it has counted: nobody has to read it.
	ear, err := newEar(interest{timer, unix.EPOLLIN}, interest{bell, unix.EPOLLIN | unix.EPOLLET}, interest{o.FD, unix.EPOLLRDHUP})
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &process{
		o: o, ear: ear, log: o.Logger, keeper: newKeeper(), sayer: newSayer(o), timer: timer, buf: make([]byte, messageMax),
	}, nil
}

// tune makes the process small and hard to starve. What is not permitted is left: the guard works without.
func tune() {
	// Written to the thread group's leader, so that ps and killall see another name than the agent's.
	_ = os.WriteFile("/proc/self/comm", []byte("reeve-guard"), 0)
	if os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) != nil {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)
	}
	// The process group is this process alone: all its threads, where PRIO_PROCESS would mean one.
	_ = unix.Setpriority(unix.PRIO_PGRP, 0, -15)
	// Where the kernel shares time among sessions first, that counts within a session alone, and ours holds nobody else.
	_ = os.WriteFile("/proc/self/autogroup", []byte("-15"), 0)
	boottime.Slack(time.Millisecond)
	// It knows the key that it speaks to the cluster with: no core file.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	debug.FreeOSMemory()
}

func (p *process) run() error {
	if err := p.send(appendHello(p.out, os.Getpid())); err != nil {
		return fmt.Errorf("guard: greet the agent: %w", err)
	}
	for {
		now := boottime.Now()
		p.drain(now)
		if p.removeDue(now) {
			continue
		}
		if p.keeper.finished() {
			break
		}
		p.arm()
		p.wait()
	}
	if p.keeper.died {
		p.sayer.lastWords()
	}
	p.sayer.wait()
	return nil
}

// removeDue takes off what is due, then hands on what is to be said. It reports whether there was anything.
func (p *process) removeDue(now boottime.Time) bool {
	due := p.keeper.due(now)
	var released []Released
	for _, name := range due {
		err := p.o.Remove(p.keeper.entries[name].addresses)
		r, say := p.keeper.done(name, err == nil, boottime.Now())
		if err != nil {
			p.sayer.fault(name, err)
		}
		if say {
			released = append(released, r)
		}
	}
	p.sayer.say(released)
	if !p.keeper.ended {
		for _, r := range released {
			p.tell(r)
		}
	}
	return len(due) > 0
}

// tell lets the agent, should it wake, know what was done in its place. A full socket loses it.
func (p *process) tell(r Released) {
	b, err := appendRemoved(p.out, r.Instance, r.Epoch)
	if err == nil {
		p.out = b
		_ = p.send(b)
	}
}

func (p *process) send(b []byte) error {
	return transmit(p.o.FD, b)
}

// arm sets the timer to the next deadline. A deadline that only moved away leaves it: it then goes off once for nothing,
// which is when the guard takes in the pets that nobody woke it for.
func (p *process) arm() {
	next := p.keeper.next()
	if next.IsZero() || !p.armed.IsZero() && !next.Before(p.armed) {
		return
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(next))}
	if err := unix.TimerfdSettime(p.timer, unix.TFD_TIMER_ABSTIME, &spec, nil); err == nil {
		p.armed = next
	}
}

// wait blocks until the timer goes off, the bell rings or the agent is gone.
func (p *process) wait() {
	events, err := p.ear.wait()
	if err != nil { // a guard that is deaf must not leave anything on
		p.sayer.line(func() { p.log.Error("guard can't hear the agent any more", "error", err) })
		p.keeper.end(boottime.Now(), true)
		time.Sleep(retryEvery)
		return
	}
	for _, ev := range events {
		switch int(ev.Fd) {
		case p.timer:
			var ticks [8]byte
			_, _ = unix.Read(p.timer, ticks[:])
			p.armed = 0
		case p.o.FD:
			p.hungUp = true
		}
	}
	if p.hungUp {
		p.ear.drop(p.o.FD) // it stays so for ever
	}
}

// drain takes in what the agent had sent by now. All of it is looked at before any deadline, and deadlines are then
// judged as of now: a guard that was asleep, or that nobody woke, does not remove what was renewed meanwhile, and what
// was sent before an expiry is never found after the removal. What comes later is the next round's, so that an agent
// that never stops talking does not keep the guard from what has expired.
func (p *process) drain(now boottime.Time) {
	left, err := unread(p.o.FD)
	if err != nil {
		left = 2 * sendBuffer // it never holds more
	}
	for !p.keeper.ended && (left > 0 || p.hungUp) {
		n, err := receive(p.o.FD, p.buf)
		if err == unix.EAGAIN && !p.hungUp {
			return
		}
		if err != nil || n == 0 {
			p.keeper.end(now, true)
			return
		}
		left -= n
		p.take(p.buf[:n], now)
	}
}

func (p *process) take(b []byte, now boottime.Time) {
	m, err := parse(b)
	if err == nil && m.kind == kindSay {
		p.sayer.instruct(m.blob)
		return
	}
	if err == nil {
		err = p.keeper.take(m, now)
	}
	if err != nil {
		p.faults++
		p.sayer.malformed(p.faults, err)
	}
}
