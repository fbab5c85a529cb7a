package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/measure"
	"golang.org/x/sys/unix"
)

const (
	nodeCount    = 3
	serverCount  = 3 // the last one comes by the change
	sessionCount = 50
)

// stage is everything a run has: hosts, processes, what is measured.
type stage struct {
	opts   Options
	agents Agents
	begun  time.Time
	report Report

	net     *lab.Net
	watch   *lab.Watch
	nodes   []Node
	hosts   map[string]*lab.Host
	client  *lab.Host
	servers []server
	vips    []vip

	measure  *measure.Client
	measured chan error
	stopAll  context.CancelFunc // ends measuring and drawing
	drawing  sync.WaitGroup
	sessions []session

	victim  Node
	lost    vip       // the victim's address
	faultAt time.Time // when the victim was failed

	mu      sync.Mutex // guards what the drawing reads
	procs   map[string]*lab.Process
	status  map[string]string
	leader  string
	version uint64
	targets []netip.AddrPort
}

func newStage(o Options, agents Agents) (*stage, error) {
	s := &stage{
		opts: o, agents: agents, begun: time.Now(), hosts: map[string]*lab.Host{}, stopAll: func() {},
		procs: map[string]*lab.Process{}, status: map[string]string{},
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("cluster key: %w", err)
	}
	for i := range nodeCount {
		name := fmt.Sprintf("lb%d", i+1)
		s.nodes = append(s.nodes, Node{
			Name: name, Address: address(0, 11+i), DataDir: filepath.Join(o.Dir, name, "data"), Socket: socketPath(o.Dir, name),
			Expect: nodeCount, Key: base64.StdEncoding.EncodeToString(key),
		})
		s.status[name] = "starting"
	}
	for i := range s.nodes {
		for j, other := range s.nodes {
			if i != j {
				s.nodes[i].Join = append(s.nodes[i].Join, other.Address.String())
			}
		}
	}
	count := 2
	if o.Leader {
		count = nodeCount
	}
	for i := range count {
		s.vips = append(s.vips, vip{instance: fmt.Sprintf("VI_%d", i+1), addr: address(0, 101+i), prefers: s.nodes[i].Name})
	}
	for i := range serverCount {
		s.servers = append(s.servers, server{name: fmt.Sprintf("web%d", i+1), addr: address(0, 21+i)})
	}
	s.report = Report{Nodes: nodeCount, Fail: o.Fail, VIPs: count}
	return s, nil
}

// address is one of the lab's network, 10.77.0.0/16.
func address(third, fourth int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(third), byte(fourth)})
}

// socketPath is where an agent's API listens. A socket's path has at most 107 bytes, which a temporary folder's can exceed;
// /run is the lab's own and vanishes with it.
func socketPath(dir, name string) string {
	if p := filepath.Join(dir, name, "api.sock"); len(p) < 100 {
		return p
	}
	return filepath.Join("/run", "reeve-demo-"+name+".sock")
}

// raise builds the network and starts the agents.
func (s *stage) raise(ctx context.Context) error {
	for i := range s.nodes {
		if err := s.furnish(&s.nodes[i]); err != nil {
			return err
		}
	}
	var err error
	if s.net, err = lab.Open(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if s.watch, err = s.net.Watch(); err != nil {
		return err
	}
	for _, n := range s.nodes {
		if s.hosts[n.Name], err = s.net.Host(n.Name, n.Address.String()+"/16"); err != nil {
			return err
		}
	}
	for i := range s.servers {
		w := &s.servers[i]
		if w.host, err = s.net.Host(w.name, w.addr.String()+"/16"); err != nil {
			return err
		}
		if _, err := w.host.Web(w.addr.String() + ":80"); err != nil {
			return err
		}
	}
	own := []string{address(0, 100).String() + "/16"}
	for i := range sessionCount {
		own = append(own, address(1, 1+i).String()+"/16")
	}
	if s.client, err = s.net.Host("client", own...); err != nil {
		return err
	}
	s.draw(ctx)
	s.say("network: %s, %d web servers and a client, hosts of their own on one switch", names(s.nodes), serverCount)
	for _, n := range s.nodes {
		if err := s.start(n); err != nil {
			return err
		}
	}
	return nil
}

// furnish gives a node its folder and files.
func (s *stage) furnish(n *Node) error {
	dir := filepath.Dir(n.DataDir)
	if err := os.MkdirAll(n.DataDir, 0o700); err != nil {
		return err
	}
	for _, f := range s.files(s.servers[:serverCount-1]) {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
			return err
		}
		n.Files = append(n.Files, path)
	}
	return nil
}

// start starts a node's agent.
func (s *stage) start(n Node) error {
	p := s.hosts[n.Name].Command(s.agents.Argv(n)...)
	if err := p.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[n.Name] = p
	s.status[n.Name] = "starting"
	return nil
}

// agentsSaid is the end of what each agent wrote, for an error.
func (s *stage) agentsSaid() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, n := range s.nodes {
		p := s.procs[n.Name]
		if p == nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
		lines = lines[max(0, len(lines)-8):]
		fmt.Fprintf(&b, "\n%s's agent wrote last:\n    %s", n.Name, strings.Join(lines, "\n    "))
	}
	return b.String()
}

// close ends what runs: agents by TERM, then all that is left on the hosts.
func (s *stage) close() error {
	s.stopAll()
	s.drawing.Wait()
	if s.measured != nil {
		<-s.measured
	}
	var stopping sync.WaitGroup
	for _, p := range s.procs {
		_ = p.Signal(unix.SIGCONT) // it may be frozen, or gone
		stopping.Go(func() { _ = p.Stop(2 * time.Second) })
	}
	stopping.Wait()
	if s.net == nil {
		return nil
	}
	err := s.net.Close()
	for _, n := range s.nodes {
		if rm := os.Remove(n.Socket); rm != nil && !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

// state asks a node, for at most a moment.
func (s *stage) state(ctx context.Context, n Node) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return s.agents.State(ctx, n)
}

func (s *stage) say(format string, args ...any) {
	s.opts.View.Say(time.Since(s.begun), fmt.Sprintf(format, args...))
}

func (s *stage) setStatus(node, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[node] = status
}

func names(nodes []Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return strings.Join(out, ", ")
}

// poll asks cond every few milliseconds until it says yes, or fails after a limit with what was waited for.
func poll(ctx context.Context, limit time.Duration, what string, cond func(context.Context) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s: not within %v", what, limit))
	defer cancel()
	for !cond(ctx) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
