// Package gossip knows who is in: Serf on memberlist, encrypted with the cluster key. It notices who comes, leaves and
// fails within seconds, and refuses nodes of another cluster or of a name that is taken. It decides nothing else.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Tags that nodes tell of themselves. Short: all of them travel in 512 bytes.
const (
	tagID      = "id"
	tagCluster = "cl"
	tagRole    = "role"
	tagRPC     = "rpc" // port
	tagBuild   = "build"
	tagProto   = "proto"
	tagExpect  = "exp"
)

// Protocol is the version of what nodes say to each other. A node speaks with those whose version differs by one at most.
const Protocol = 1

// DefaultPort is used for addresses that name none.
const DefaultPort = 7301

// Options are what a Gossip is made of.
type Options struct {
	Name, ID, ClusterID, Role, Build string
	Expect                           int
	RPCPort                          int
	Bind, Advertise                  netip.Addr
	Port                             int // 0: any free one
	Key                              []byte
	Snapshot                         string // file that remembers whom we knew; "": none
	ReapAfter                        time.Duration
	Logger                           hclog.Logger

	// NameTaken is told when a live node elsewhere has this node's name. Do not block.
	NameTaken func(addr netip.AddrPort, id string)
}

// Member is a node as gossip knows it.
type Member struct {
	Name, ID, Role, Build, Protocol string
	Addr                            netip.AddrPort
	RPC                             netip.AddrPort
	Expect                          int
	Status                          serf.MemberStatus
	Tags                            map[string]string
}

// Gossip is one node's Serf. Safe for concurrent use.
type Gossip struct {
	o      Options
	log    hclog.Logger
	guard  *guard
	events chan serf.Event

	mu       sync.Mutex
	serf     *serf.Serf
	watchers map[chan struct{}]struct{}
}

// ErrNotRunning: before Start, or after Run has ended.
var ErrNotRunning = errors.New("gossip does not run")

// New allocates only.
func New(o Options) *Gossip {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	g := &Gossip{o: o, log: o.Logger, events: make(chan serf.Event, 256), watchers: map[chan struct{}]struct{}{}}
	g.guard = &guard{o: &g.o, log: g.log, known: map[string]identity{}}
	return g
}

// Start opens the sockets. Run must follow.
func (g *Gossip) Start() error {
	ml, err := g.lan()
	if err != nil {
		return err
	}
	c := serf.DefaultConfig()
	c.MemberlistConfig = ml
	c.NodeName = g.o.Name
	c.EventCh = g.events
	c.SnapshotPath = g.o.Snapshot
	c.Merge = g.guard
	c.EnableNameConflictResolution = false // guard refuses the second one; a vote could shut the first one out
	c.DisableCoordinates = true
	c.ReconnectInterval = 3 * time.Second
	c.ReconnectTimeout = g.o.ReapAfter
	c.BroadcastTimeout = 2 * time.Second
	c.LeavePropagateDelay = 300 * time.Millisecond
	c.Logger = c.MemberlistConfig.Logger
	c.MsgpackUseNewTimeFormat = true
	c.Tags = map[string]string{
		tagID: g.o.ID, tagCluster: g.o.ClusterID, tagRole: g.o.Role, tagBuild: g.o.Build,
		tagRPC: strconv.Itoa(g.o.RPCPort), tagProto: strconv.Itoa(Protocol),
	}
	if g.o.Expect > 0 {
		c.Tags[tagExpect] = strconv.Itoa(g.o.Expect)
	}
	s, err := serf.Create(c)
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), ml.Transport.Shutdown())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serf = s
	return nil
}

// lan tunes memberlist for a rack: a dead node is known within about 3 s. Addresses move by leases, much sooner. It
// opens the sockets itself: Serf would leave goroutines behind where they can't be opened.
func (g *Gossip) lan() (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.BindAddr, c.BindPort = g.o.Bind.String(), g.o.Port
	if g.o.Advertise.IsValid() && !g.o.Advertise.IsUnspecified() {
		c.AdvertiseAddr = g.o.Advertise.String()
	}
	c.AdvertisePort = g.o.Port
	c.SecretKey = g.o.Key
	c.ProbeInterval, c.ProbeTimeout = 500*time.Millisecond, 250*time.Millisecond
	c.SuspicionMult = 3
	c.GossipInterval = 200 * time.Millisecond
	// A node that came back at another address is refused until its old one is known to be dead; it is heard again by the
	// next exchange of the whole state.
	c.PushPullInterval = 5 * time.Second
	c.TCPTimeout = 3 * time.Second
	c.DeadNodeReclaimTime = time.Millisecond
	c.EnableCompression = false // messages are short
	c.MsgpackUseNewTimeFormat = true
	c.Logger = newStdLogger(g.log)
	tries := 1
	if g.o.Port == 0 {
		tries = 10 // a port that is free for tcp may not be for udp
	}
	var t *memberlist.NetTransport
	var err error
	for ; tries > 0 && t == nil; tries-- {
		t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{c.BindAddr}, BindPort: g.o.Port, Logger: c.Logger,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("listen for gossip: %w", err)
	}
	c.BindPort = t.GetAutoBindPort()
	c.AdvertisePort = c.BindPort
	c.Transport = t
	return c, nil
}

// Run passes events on until ctx ends, then shuts gossip down: without Leave the others see a failure.
func (g *Gossip) Run(ctx context.Context) error {
	s := g.handle()
	if s == nil {
		return ErrNotRunning
	}
	defer g.shutdown(s)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ShutdownCh():
			return nil
		case e := <-g.events:
			if me, ok := e.(serf.MemberEvent); ok {
				g.guard.learn(me)
				g.tell(me)
			}
		}
	}
}

func (g *Gossip) shutdown(s *serf.Serf) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Shutdown(); err != nil {
			g.log.Warn("gossip did not shut down cleanly", "error", err)
		}
	}()
	for { // Serf may be waiting to give us an event
		select {
		case <-g.events:
		case <-done:
			return
		}
	}
}

func (g *Gossip) tell(e serf.MemberEvent) {
	for _, m := range e.Members {
		switch e.Type {
		case serf.EventMemberJoin:
			g.log.Info("node joined", "node", m.Name, "address", m.Addr.String())
		case serf.EventMemberLeave:
			g.log.Info("node left", "node", m.Name, "address", m.Addr.String())
		case serf.EventMemberFailed:
			g.log.Warn("node failed", "node", m.Name, "address", m.Addr.String())
		case serf.EventMemberReap:
			g.log.Info("node forgotten", "node", m.Name, "address", m.Addr.String())
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for ch := range g.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Changed is signalled after each change of the members until ctx ends.
func (g *Gossip) Changed(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watchers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.watchers, ch)
	})
	return ch
}

func (g *Gossip) handle() *serf.Serf {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serf
}

// Addr is where gossip listens; zero before Start.
func (g *Gossip) Addr() netip.AddrPort {
	s := g.handle()
	if s == nil {
		return netip.AddrPort{}
	}
	n := s.Memberlist().LocalNode()
	a, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(a.Unmap(), n.Port)
}

// Members returns all that are known, ordered by name; the node itself is among them.
func (g *Gossip) Members() []Member {
	s := g.handle()
	if s == nil {
		return nil
	}
	var ms []Member
	for _, m := range s.Members() {
		ms = append(ms, member(m))
	}
	slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return ms
}

func member(m serf.Member) Member {
	a, _ := netip.AddrFromSlice(m.Addr)
	a = a.Unmap()
	rpc, _ := strconv.ParseUint(m.Tags[tagRPC], 10, 16)
	expect, _ := strconv.Atoi(m.Tags[tagExpect])
	return Member{
		Name: m.Name, ID: m.Tags[tagID], Role: m.Tags[tagRole], Build: m.Tags[tagBuild], Protocol: m.Tags[tagProto],
		Addr: netip.AddrPortFrom(a, m.Port), RPC: netip.AddrPortFrom(a, uint16(rpc)),
		Expect: expect, Status: m.Status, Tags: m.Tags,
	}
}

// Join asks nodes to let us in and returns how many did. An error names each address that did not.
func (g *Gossip) Join(ctx context.Context, addrs []string) (int, error) {
	s := g.handle()
	if s == nil {
		return 0, ErrNotRunning
	}
	var errs []error
	joined := 0
	for _, a := range addrs {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		n, err := s.Join([]string{WithPort(a)}, true)
		joined += n
		if err != nil || n == 0 {
			errs = append(errs, joinError(a, err))
		}
	}
	return joined, errors.Join(errs...)
}

// joinError says what is known about why a node did not let us in, in one line.
func joinError(addr string, err error) error {
	if err == nil {
		return fmt.Errorf("join %s: nobody answers", addr)
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case strings.Contains(text, "EOF"), strings.Contains(text, "reset by peer"), strings.Contains(text, "installed keys"):
		return fmt.Errorf("join %s: it refuses us: another cluster key there, or no gossip port", addr)
	}
	if i := strings.LastIndex(text, "* "); i >= 0 { // go-multierror's list
		text = text[i+2:]
	}
	return fmt.Errorf("join %s: %s", addr, text)
}

// WithPort adds the default port to an address that has none.
func WithPort(addr string) string {
	if ip, err := netip.ParseAddr(strings.Trim(addr, "[]")); err == nil {
		return netip.AddrPortFrom(ip, DefaultPort).String()
	}
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(addr, strconv.Itoa(DefaultPort))
}

// Leave tells the others that the node goes by its own will, and waits until they know. Run still has to be ended.
func (g *Gossip) Leave() error {
	s := g.handle()
	if s == nil {
		return ErrNotRunning
	}
	if err := s.Leave(); err != nil {
		return fmt.Errorf("leave gossip: %w", err)
	}
	return nil
}

// Forget takes a failed node out of the members.
func (g *Gossip) Forget(name string) error {
	s := g.handle()
	if s == nil {
		return ErrNotRunning
	}
	return s.RemoveFailedNode(name)
}
