package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/measure"
)

const (
	frameEvery = 100 * time.Millisecond // the picture's pace, and what one mark of a strip stands for
	stripLen   = 40                     // marks
)

// View is who watches a run. Say and Frame may be called from different goroutines.
type View interface {
	// Say tells a step of the story; at counts from the beginning of the run.
	Say(at time.Duration, text string)
	// Frame tells how things stand, ten times a second.
	Frame(f Frame)
}

// Silent is a View that shows nothing.
type Silent struct{}

// Say does nothing.
func (Silent) Say(time.Duration, string) {}

// Frame does nothing.
func (Silent) Frame(Frame) {}

// Frame is how things stand at one moment.
type Frame struct {
	At              time.Duration
	Nodes           []NodeFrame
	VIPs            []VIPFrame
	Version         uint64
	Sessions, Moved int
}

// NodeFrame is a node in a Frame.
type NodeFrame struct {
	Name, Address, Status string
	Leader                bool
	Holds                 []string // instances
}

// VIPFrame is an address in a Frame.
type VIPFrame struct {
	Instance, Address string
	Owners            []string
	Asked             int
	Failed            int
	Gap               time.Duration
	Strip             []measure.Slot // the last seconds, one slot a frame; empty before measuring begins
}

// draw feeds the view until the stage is stopped.
func (s *stage) draw(ctx context.Context) {
	if _, silent := s.opts.View.(Silent); silent {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	s.stopAll = stop
	s.drawing.Go(func() {
		tick := time.NewTicker(frameEvery)
		defer tick.Stop()
		for n := 0; ; n++ {
			if n%5 == 0 {
				s.refreshLeader(ctx)
			}
			s.opts.View.Frame(s.frame())
			select {
			case <-ctx.Done():
				s.opts.View.Frame(s.frame())
				return
			case <-tick.C:
			}
		}
	})
}

// refreshLeader asks a node that runs who leads. Nobody answering is no error here.
func (s *stage) refreshLeader(ctx context.Context) {
	for _, n := range s.nodes {
		s.mu.Lock()
		up := s.status[n.Name] == "up"
		s.mu.Unlock()
		if !up {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, frameEvery)
		st, err := s.agents.State(asking, n)
		cancel()
		if err == nil {
			s.mu.Lock()
			s.leader = st.Leader
			s.mu.Unlock()
			return
		}
	}
}

func (s *stage) frame() Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Frame{At: time.Since(s.begun), Version: s.version, Sessions: len(s.sessions)}
	for _, g := range s.sessions {
		if g.moved != "" {
			f.Moved++
		}
	}
	holds := map[string][]string{}
	for _, v := range s.vips {
		vf := VIPFrame{Instance: v.instance, Address: v.addr.String(), Owners: s.watch.Owners(v.addr)}
		slices.Sort(vf.Owners)
		for _, o := range vf.Owners {
			holds[o] = append(holds[o], v.instance)
		}
		if s.measure != nil {
			r := s.measure.Report(v.target(), time.Time{})
			vf.Asked, vf.Failed, vf.Gap = r.Requests, r.Errors, r.Gap
			vf.Strip = s.measure.Recent(v.target(), frameEvery, stripLen)
		}
		f.VIPs = append(f.VIPs, vf)
	}
	for _, n := range s.nodes {
		f.Nodes = append(f.Nodes, NodeFrame{
			Name: n.Name, Address: n.Address.String(), Status: s.status[n.Name], Leader: n.Name == s.leader, Holds: holds[n.Name],
		})
	}
	return f
}

// addresses lists the virtual addresses for people.
func (s *stage) addresses() string {
	var out []string
	for _, v := range s.vips {
		out = append(out, v.addr.String())
	}
	return strings.Join(out, " and ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
