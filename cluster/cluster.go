package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/gossip"
	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/cluster/raftnode"
	"github.com/reeve-lb/reeve/cluster/tables"
)

// Cluster is one node's part in the cluster. All methods are safe for concurrent use; what needs a running cluster
// returns ErrStopped before Run has begun and after it has ended.
type Cluster struct {
	conf Config
	app  App
	log  hclog.Logger
	dir  *raftnode.Dir

	auth   *mux.Authority
	mux    *mux.Mux
	tables *tables.Replica
	lease  leaseSide
	teller teller
	report running
	dirs   directory
	lead   leadership

	tlsPart fsm.TLSPart // guarded by node's lock, as all of the state
	serving running     // what the program serves TLS with, by index in place of version

	proposing chan struct{} // one token: one change of the configuration at a time on the leader
	boot      bootstrapper

	up      atomic.Bool
	joined  atomic.Bool
	node    *raftnode.Node // set before up
	gossip  *gossip.Gossip // set before up
	ready   chan struct{}  // closed once the node has opened its ports
	fatal   chan error     // ends Run
	leaving atomic.Bool
	leavers sync.Map // id -> time.Time: who asked to be taken out

	seedTrouble atomic.Value // string: the last thing said

	stateMu sync.Mutex
	stuck   error
}

// New checks the configuration, takes the data_dir (a second agent on it fails here) and allocates. Run gives the
// data_dir back at its end; Close does if Run is never called.
func New(conf Config, app App) (*Cluster, error) {
	if err := conf.defaults(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	auth, err := mux.NewAuthority(conf.Key)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	or(&conf.ClusterID, auth.ClusterID())
	dir, err := raftnode.OpenDir(conf.DataDir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		conf: conf, app: app, log: conf.Logger, dir: dir, auth: auth,
		proposing: make(chan struct{}, 1),
		ready:     make(chan struct{}),
		fatal:     make(chan error, 4),
	}
	c.seedTrouble.Store("")
	c.teller.init(c)
	c.report.init(conf.Name)
	c.serving.init(conf.Name)
	c.lead.init()
	c.tables = tables.New(c.sendBatch, c.readState, conf.Logger.Named("tables"))
	c.mux, err = mux.New(mux.Options{
		Authority: auth, ID: dir.ID, Name: conf.Name,
		Bind:        net.JoinHostPort(conf.Bind.String(), strconv.Itoa(conf.RPCPort)),
		Logger:      conf.Logger.Named("rpc"),
		Network:     conf.Network,
		EncodeError: encodeError, DecodeError: decodeError,
	})
	if err == nil {
		err = c.lease.init(c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: %w", err), dir.Close())
	}
	c.handlers()
	return c, nil
}

// Close gives the data_dir back when Run was never called. Safe more than once.
func (c *Cluster) Close() error {
	if c.up.Load() {
		return nil
	}
	c.mux.Close()
	return c.dir.Close()
}

// ID is the node's id, for life.
func (c *Cluster) ID() string { return c.dir.ID }

// Ready is closed once Run has opened the node's ports and its store.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// Run takes part in the cluster until ctx ends, or until Leave has left it (then it returns nil). The node stays a voter
// of the cluster, which sees it as failed; a leader hands the leadership over first.
func (c *Cluster) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, c.dir.Close()) }()
	if err := c.mux.Listen(ctx); err != nil {
		c.mux.Close()
		return err
	}
	if err := c.open(); err != nil {
		c.mux.Close()
		return err
	}
	// Connections outlive what uses them: what stops first may still want to say goodbye.
	netCtx, netStop := context.WithCancel(context.WithoutCancel(ctx))
	var nets errgroup.Group
	nets.Go(func() error { return c.mux.Run(netCtx) })
	defer func() {
		c.up.Store(false)
		cerr := c.node.Close()
		netStop()
		err = errors.Join(err, cerr, nets.Wait())
	}()
	if err := c.gossip.Start(); err != nil {
		return err
	}
	nets.Go(func() error { return c.gossip.Run(netCtx) })
	c.dirs.update(c.gossip.Members())
	c.up.Store(true)
	close(c.ready)
	c.log.Info("cluster node is up", "node", c.conf.Name, "id", c.dir.ID, "rpc", c.rpcAddr(), "gossip", c.gossip.Addr())

	g, gctx := errgroup.WithContext(ctx)
	for _, f := range []func(context.Context) error{
		c.follow, c.watchMembers, c.retryJoin, c.bootstrap, c.tables.Run, c.teller.bindings, c.teller.configs,
		c.lease.client.Run, c.lease.service.Run,
	} {
		g.Go(func() error { return ignoreCancel(f(gctx)) })
	}
	g.Go(func() error {
		select {
		case err := <-c.fatal:
			return err
		case <-gctx.Done():
			return nil
		}
	})
	<-gctx.Done()
	c.abdicate()
	if err := g.Wait(); err != nil && !errors.Is(err, errLeft) {
		return err
	}
	return nil
}

// errLeft ends Run after Leave.
var errLeft = errors.New("left the cluster")

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// open starts Raft and makes gossip, without its sockets.
func (c *Cluster) open() error {
	snap, err := c.dir.SerfSnapshot()
	if err != nil {
		return err
	}
	c.node, err = raftnode.Open(raftnode.Options{
		Dir: c.dir, State: fsm.New(map[fsm.Type]fsm.Part{fsm.TypeLease: &c.lease.part, fsm.TypeTLS: &c.tlsPart}),
		Layer: layer{c.mux.Raft(), c.rpcAddr()}, Addrs: (*addresses)(c), Logger: c.log,
		Heartbeat: c.conf.HeartbeatTimeout, Election: c.conf.ElectionTimeout, LeaderLease: c.conf.LeaderLease,
		SnapshotInterval: c.conf.SnapshotInterval, SnapshotLogs: c.conf.SnapshotLogs,
		Applied: c.teller.applied, Restored: c.teller.restored, Stuck: c.nowStuck,
	})
	if err != nil {
		return err
	}
	c.gossip = gossip.New(gossip.Options{
		Name: c.conf.Name, ID: c.dir.ID, ClusterID: c.conf.ClusterID, Role: string(c.conf.Role), Build: c.conf.Build,
		Expect: c.conf.BootstrapExpect, RPCPort: int(c.rpcAddr().Port()), Bind: c.conf.Bind, Advertise: c.conf.Advertise,
		Port: c.conf.GossipPort, Key: c.conf.Key, Snapshot: snap, ReapAfter: c.conf.ReapAfter,
		Logger: c.log.Named("gossip"), NameTaken: c.nameTaken,
	})
	return nil
}

// layer is the mux's part for Raft, with the address that the others are told in place of the one it is bound to.
type layer struct {
	*mux.RaftLayer
	advertise netip.AddrPort
}

// Addr implements net.Listener.
func (l layer) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.advertise) }

// rpcAddr is where the others reach the common port.
func (c *Cluster) rpcAddr() netip.AddrPort {
	a, ok := c.mux.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(c.conf.Advertise, uint16(a.Port))
}

// nameTaken ends a newcomer whose name another node has; a node that is of the cluster already only complains.
func (c *Cluster) nameTaken(addr netip.AddrPort, id string) {
	if c.joined.Load() || c.node.HasLog() {
		return // gossip's refusal is logged
	}
	select {
	case c.fatal <- fmt.Errorf("%w: %s is used by the node at %s", ErrNameTaken, c.conf.Name, addr):
	default:
	}
}

func (c *Cluster) nowStuck(err error) {
	c.stateMu.Lock()
	c.stuck = err
	c.stateMu.Unlock()
	c.teller.leaseMoved() // who waits for the log waits in vain
	c.log.Error("no longer applying what the cluster agrees on", "error", err)
	c.lead.poke()
}

func (c *Cluster) isStuck() error {
	c.stateMu.Lock()
	defer c.stateMu.Unlock()
	return c.stuck
}

// abdicate hands the leadership over, so that nobody has to wait for an election.
func (c *Cluster) abdicate() {
	r := c.node.Raft()
	if r.State() != raft.Leader || c.voters() < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*c.conf.ElectionTimeout)
	defer cancel()
	if err := raftnode.Wait(ctx, r.LeadershipTransfer()); err != nil {
		c.log.Warn("could not hand the leadership over", "error", err)
	}
}

func (c *Cluster) readState(f func(*fsm.State)) {
	if c.up.Load() {
		c.node.Read(f)
	}
}

// Tables gives access to the sticky entries.
func (c *Cluster) Tables() *tables.Replica { return c.tables }

// Leases is this node's side of the leases.
func (c *Cluster) Leases() *lease.Client { return c.lease.client }

// Config is the version in force as this node has it; false if there is none yet.
func (c *Cluster) Config() (v ConfigVersion, ok bool) {
	c.readState(func(s *fsm.State) { v, ok = s.Config() })
	return v, ok
}

// History returns the versions kept, oldest first.
func (c *Cluster) History() (vs []ConfigVersion) {
	c.readState(func(s *fsm.State) { vs = s.History() })
	return vs
}

// Info tells this node's state.
func (c *Cluster) Info() Info {
	i := Info{ID: c.dir.ID, Name: c.conf.Name, State: "stopped"}
	if !c.up.Load() {
		return i
	}
	r := c.node.Raft()
	i.State = map[raft.RaftState]string{
		raft.Follower: "follower", raft.Candidate: "candidate", raft.Leader: "leader", raft.Shutdown: "stopped",
	}[r.State()]
	if !c.node.HasLog() {
		i.State = "waiting"
	}
	i.Leader, _ = c.Leader()
	i.IsLeader = c.IsLeader()
	i.Term, i.LastIndex, i.CommitIndex, i.AppliedIndex = r.CurrentTerm(), r.LastIndex(), r.CommitIndex(), r.AppliedIndex()
	i.Voters = c.voters()
	v, _ := c.Config()
	i.ConfigVersion = v.Version
	if err := c.isStuck(); err != nil {
		i.Stuck = err.Error()
	}
	i.RPC, i.Gossip = c.rpcAddr(), c.gossip.Addr()
	return i
}

func (c *Cluster) voters() int {
	n := 0
	for _, s := range c.node.Servers() {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

// Handle registers the answer to a method of the program's own. Names with a dot are the cluster's.
func (c *Cluster) Handle(method string, h Handler) { c.mux.Handle(method, h) }

// HandleStream registers what takes streams of a name of the program's own.
func (c *Cluster) HandleStream(name string, h mux.StreamHandler) { c.mux.HandleStream(name, h) }

// Call asks a live node (by name or id) and waits until ctx's deadline, or 10 s.
func (c *Cluster) Call(ctx context.Context, node, method string, body []byte) ([]byte, error) {
	t, err := c.target(node)
	if err != nil {
		return nil, err
	}
	return c.mux.Call(ctx, t, method, body)
}

// Stream opens a raw connection to a node (by name or id). The caller closes it.
func (c *Cluster) Stream(ctx context.Context, node, name string) (net.Conn, error) {
	t, err := c.target(node)
	if err != nil {
		return nil, err
	}
	return c.mux.Stream(ctx, t, name)
}
