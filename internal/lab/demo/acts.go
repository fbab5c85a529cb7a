package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/measure"
	"golang.org/x/sys/unix"
)

// settle waits until the cluster stands: every address on the node that prefers it, and answering.
func (s *stage) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ctx, release := s.whileAllRun(ctx)
	defer release()
	for _, v := range s.vips {
		if _, err := s.watch.AwaitOwner(ctx, v.addr, v.prefers); err != nil {
			return fmt.Errorf("starting the cluster: %w", err)
		}
		if _, err := measure.Await(ctx, s.client, v.target(), "/"); err != nil {
			return fmt.Errorf("starting the cluster: %w", err)
		}
	}
	if err := s.await(ctx, startLimit, "starting the cluster: all nodes in with a leader and the same configuration", s.nodes, func(st State) bool {
		return st.Alive == nodeCount && st.Leader != "" && st.Version > 0
	}); err != nil {
		return err
	}
	for _, n := range s.nodes {
		s.setStatus(n.Name, "up")
	}
	return s.chooseVictim(ctx)
}

// whileAllRun gives a context that ends, with its reason, when an agent does.
func (s *stage) whileAllRun(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	for name, p := range s.procs {
		waiting.Go(func() {
			select {
			case <-p.Done():
				cancel(fmt.Errorf("%s's agent ended: %v", name, p.Err()))
			case <-ctx.Done():
			}
		})
	}
	return ctx, func() {
		cancel(nil)
		waiting.Wait()
	}
}

// await polls nodes until all of their states are as wanted and agree on version and leader.
func (s *stage) await(ctx context.Context, limit time.Duration, what string, nodes []Node, good func(State) bool) error {
	return poll(ctx, limit, what, func(ctx context.Context) bool {
		var first State
		for i, n := range nodes {
			st, err := s.state(ctx, n)
			if err != nil || !good(st) {
				return false
			}
			if i == 0 {
				first = st
			}
			if st.Version != first.Version || st.Leader != first.Leader {
				return false
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leader, s.version = first.Leader, first.Version
		return true
	})
}

// chooseVictim picks the node to fail: the owner of the first address, when the leader has moved off it; or the leader.
func (s *stage) chooseVictim(ctx context.Context) error {
	s.victim, s.lost = s.nodes[0], s.vips[0]
	if !s.opts.Leader {
		// A node that leads and holds at once is the exception; the cluster needs a moment to undo it after its start.
		err := s.await(ctx, startLimit, "leader off the owner", s.nodes, func(st State) bool { return st.Leader != "" && st.Leader != s.vips[0].prefers })
		if ctx.Err() != nil {
			return err
		}
	} else {
		for i, v := range s.vips {
			if v.prefers == s.leader {
				s.victim, s.lost = s.nodes[i], v
			}
		}
	}
	s.report.LeaderFailed = s.leader == s.victim.Name
	for _, v := range s.vips {
		s.say("%s %s is on %s", v.instance, v.addr, v.prefers)
	}
	s.say("leader is %s, configuration version %d on all nodes", s.leader, s.version)
	return nil
}

// openDoors begins to measure and begins most sessions.
func (s *stage) openDoors(ctx context.Context) error {
	s.mu.Lock()
	for _, v := range s.vips {
		s.targets = append(s.targets, v.target())
	}
	s.measure = measure.New(s.client, measure.Options{}, s.targets...)
	s.mu.Unlock()
	running, stop := context.WithCancel(ctx)
	stopDrawing := s.stopAll
	s.stopAll = func() { stop(); stopDrawing() }
	s.measured = make(chan error, 1)
	go func() {
		s.measured <- s.measure.Run(running)
		close(s.measured)
	}()
	s.say("client: asks %s every 10 ms, each time by a new connection", s.addresses())
	return s.beginSessions(ctx, sessionCount-sessionCount/3, 5*time.Millisecond)
}

// change applies a configuration with one more web server and measures when the last node runs it.
func (s *stage) change(ctx context.Context) error {
	through := s.nodes[1]
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*callLimit)
	defer cancel()
	version, err := s.agents.Apply(ctx, through, s.files(s.servers))
	if err != nil {
		return fmt.Errorf("apply on %s: %w", through.Name, err)
	}
	if err := s.await(ctx, callLimit, "the change on every node", s.nodes, func(st State) bool { return st.Version == version }); err != nil {
		return err
	}
	took := time.Since(began)
	s.report.ChangeMS = ms(took)
	s.say("apply on %s: web3 added, version %d runs on all %d nodes after %.0f ms", through.Name, version, nodeCount, ms(took))
	return pause(ctx, time.Second)
}

// lastGuests begins the last third of the sessions in the second before the fault; the last of them 60 ms before it, and as
// long as the look at what was agreed on takes.
func (s *stage) lastGuests(ctx context.Context) error {
	if err := s.beginSessions(ctx, sessionCount/3, 50*time.Millisecond); err != nil {
		return err
	}
	s.report.Sessions = len(s.sessions)
	s.say("%d client addresses have a session each, %d of them begun in the last second", len(s.sessions), sessionCount/3)
	if err := pause(ctx, 60*time.Millisecond); err != nil {
		return err
	}
	return s.settled(ctx)
}

// fail fails the victim.
func (s *stage) fail(ctx context.Context) error {
	s.mu.Lock()
	p := s.procs[s.victim.Name]
	s.mu.Unlock()
	s.faultAt = time.Now()
	var err error
	var what string
	switch s.opts.Fail {
	case Kill:
		what, err = "killed: kill -9 of its agent", p.Signal(unix.SIGKILL)
	case Stop:
		what, err = "frozen: SIGSTOP of its agent", p.Signal(unix.SIGSTOP)
	case Link:
		what, err = "cut off: the switch drops its frames both ways", s.hosts[s.victim.Name].Cut()
	case Leave:
		what = "asked to leave"
		leaving, cancel := context.WithTimeout(ctx, failoverLimit)
		defer cancel()
		err = s.agents.Leave(leaving, s.victim)
	default:
		err = fmt.Errorf("unknown kind of failure %q", s.opts.Fail)
	}
	if err != nil {
		return fmt.Errorf("failing %s: %w", s.victim.Name, err)
	}
	s.setStatus(s.victim.Name, map[Kind]string{Kill: "killed", Stop: "frozen", Link: "cut off", Leave: "left"}[s.opts.Fail])
	role := "the owner of " + s.lost.instance
	if s.report.LeaderFailed {
		role += " and the leader"
	}
	s.say("%s, %s, is %s", s.victim.Name, role, what)
	return nil
}

// failover waits until another node has the address and the client an answer.
func (s *stage) failover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, failoverLimit)
	defer cancel()
	owner := ""
	err := s.watch.Await(ctx, func() bool { // left on the victim or not: that is counted, not waited for
		for _, o := range s.watch.Owners(s.lost.addr) {
			if o != s.victim.Name {
				owner = o
			}
		}
		return owner != ""
	})
	if err != nil {
		return fmt.Errorf("after %s failed: %s on another node: %w", s.victim.Name, s.lost.addr, err)
	}
	for _, e := range s.watch.Events() {
		if e.Addr == s.lost.addr && e.Host == owner && e.Added && e.At.After(s.faultAt) {
			s.report.AddressMoveMS = ms(e.At.Sub(s.faultAt))
			break
		}
	}
	s.say("%s %s is on %s, %.0f ms after the fault", s.lost.instance, s.lost.addr, owner, s.report.AddressMoveMS)
	if _, err := measure.Await(ctx, s.client, s.lost.target(), "/"); err != nil {
		return fmt.Errorf("after %s failed: %w", s.victim.Name, err)
	}
	return nil
}

// inspectDead looks one second after the fault whether an address is still on the failed node.
func (s *stage) inspectDead(ctx context.Context) error {
	if err := pause(ctx, time.Until(s.faultAt.Add(time.Second))); err != nil {
		return err
	}
	have, err := s.hosts[s.victim.Name].Addrs("eth0")
	if err != nil {
		return err
	}
	for _, v := range s.vips {
		for _, a := range have {
			if a.Addr() == v.addr {
				s.report.VIPLeftOnDead = true
				s.say("%s is still on %s", v.addr, s.victim.Name)
			}
		}
	}
	r := s.measure.Report(s.lost.target(), time.Time{})
	s.say("client: no answer from %s for %.0f ms, %s", s.lost.addr, ms(r.Gap), plural(r.Errors, "question failed", "questions failed"))
	return nil
}

// revive brings the victim back and waits until it has its address again.
func (s *stage) revive(ctx context.Context) error {
	began := time.Now()
	name := s.victim.Name
	var err error
	switch s.opts.Fail {
	case Stop:
		err = s.procs[name].Signal(unix.SIGCONT)
	case Link:
		err = s.hosts[name].Heal()
	default:
		select {
		case <-s.procs[name].Done():
		case <-time.After(failoverLimit):
			return fmt.Errorf("%s was failed (%s) and its agent still runs", name, s.opts.Fail)
		case <-ctx.Done():
			return ctx.Err()
		}
		err = s.start(s.victim)
	}
	if err != nil {
		return fmt.Errorf("bringing %s back: %w", name, err)
	}
	s.say("%s is brought back", name)
	waiting, cancel := context.WithTimeout(ctx, backLimit)
	defer cancel()
	if _, err := s.watch.AwaitOwner(waiting, s.lost.addr, name); err != nil {
		return fmt.Errorf("after %s came back: %w", name, err)
	}
	s.report.BackMS = ms(time.Since(began))
	s.setStatus(name, "up")
	s.say("%s %s is back on %s after %.0f ms", s.lost.instance, s.lost.addr, name, s.report.BackMS)
	return pause(ctx, 500*time.Millisecond)
}

// curtain ends the measuring and counts.
func (s *stage) curtain(ctx context.Context) error {
	err := s.await(ctx, failoverLimit, "the same configuration on every node", s.nodes, func(st State) bool { return st.Version >= 2 })
	s.report.ConfigVersionEverywhere = err == nil
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.stopAll()
	s.drawing.Wait()
	if err := <-s.measured; err != nil {
		return err
	}
	r := s.measure.All(time.Time{})
	s.report.Requests, s.report.Errors, s.report.FailoverGapMS = r.Requests, r.Errors, ms(r.Gap)
	s.sayFinally()
	for _, v := range s.vips {
		s.report.OwnersSeenMax = max(s.report.OwnersSeenMax, s.watch.OwnersMax(v.addr))
	}
	return s.watch.Err()
}

// sayFinally tells for each address when its longest gap was and why questions failed.
func (s *stage) sayFinally() {
	for _, v := range s.vips {
		r := s.measure.Report(v.target(), time.Time{})
		text := v.addr.String() + " was on"
		for _, tenure := range s.watch.Timeline(v.addr) {
			text += fmt.Sprintf(" %s from %.2f s", tenure.Host, tenure.From.Sub(s.begun).Seconds())
			if !tenure.To.IsZero() {
				text += fmt.Sprintf(" to %.2f s,", tenure.To.Sub(s.begun).Seconds())
			}
		}
		s.say("%s", text)
		text = fmt.Sprintf("client: %s: longest time without an answer %.0f ms, from %.2f s on", v.addr, ms(r.Gap), r.GapFrom.Sub(s.begun).Seconds())
		for _, cause := range slices.Sorted(maps.Keys(r.Causes)) {
			text += fmt.Sprintf("; %d failed: %s", r.Causes[cause], cause)
		}
		s.say("%s", text)
	}
}

// pause lets time pass that the story needs: measuring goes on meanwhile.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// ms is a duration in milliseconds, to a tenth.
func ms(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}
