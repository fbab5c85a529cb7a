package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reeve-lb/reeve/cluster/fsm"
)

// The configuration as a user has it: one register for the whole cluster, every change of which makes the next version,
// and on each node a copy that may be late but never steps back, nor shows what was not agreed on.

type regKind int

const (
	regWrite regKind = iota // Propose
	regRead                 // Config of one node: its copy
)

type regInput struct {
	kind    regKind
	node    int
	payload string  // of a write; no two are the same
	base    *uint64 // of a write: the version it was made against
}

type regEnd int

const (
	regDone     regEnd = iota
	regConflict        // refused; version is the one that the cluster says is in force
	regUnknown         // ErrUncertain: see settled
)

type regOutput struct {
	end     regEnd
	version uint64
	payload string // read
	running []int  // the nodes that a write's reports say run it
}

// settled decides what became of the writes of which their clients do not know it: one that is in the history that all
// nodes have in the end was carried out as that version, at any time since it was asked for; another one never was.
func settled(ops []porcupine.Operation, history []string) (out []porcupine.Operation) {
	for _, o := range ops {
		if o.Output.(regOutput).end == regUnknown {
			i := slices.Index(history, o.Input.(regInput).payload)
			if i < 0 {
				continue
			}
			o.Output, o.Return = regOutput{version: uint64(i + 1)}, math.MaxInt64
		}
		out = append(out, o)
	}
	return out
}

// regState is the register and how far each node's copy is. It is never changed, only replaced.
type regState struct {
	log   []string // payload of version i+1
	floor [3]uint64
}

func (s regState) next(payload string) regState {
	s.log = append(slices.Clip(s.log), payload)
	return s
}

var regSeed = maphash.MakeSeed()

var regModel = porcupine.Model{
	Init: func() any { return regState{} },
	Step: func(state, in, out any) (bool, any) { return regStep(state.(regState), in.(regInput), out.(regOutput)) },
	Equal: func(a, b any) bool {
		s, u := a.(regState), b.(regState)
		return s.floor == u.floor && slices.Equal(s.log, u.log)
	},
	Hash: func(a any) uint64 {
		s := a.(regState)
		return maphash.Comparable(regSeed, [4]uint64{uint64(len(s.log)), s.floor[0], s.floor[1], s.floor[2]})
	},
}

func regStep(s regState, in regInput, out regOutput) (bool, any) {
	now := uint64(len(s.log))
	switch {
	case in.kind == regRead:
		if out.version > now || out.version < s.floor[in.node] || (out.version > 0 && s.log[out.version-1] != out.payload) {
			return false, s
		}
		s.floor[in.node] = out.version
		return true, s
	case out.end == regConflict: // the leader's copy at that time: not the base, and nothing of the future
		return out.version <= now && (in.base == nil || out.version != *in.base), s
	case in.base != nil && *in.base != now:
		return false, s
	}
	s = s.next(in.payload)
	for _, n := range out.running {
		s.floor[n] = max(s.floor[n], now+1)
	}
	return out.version == now+1, s
}

// regRun is what the clients of one cluster did.
type regRun struct {
	t     *testing.T
	nodes []*testNode
	begun time.Time

	budget atomic.Int64 // writes that may still begin
	acks   chan struct{}

	mu      sync.Mutex
	ops     []porcupine.Operation
	acked   map[uint64]string
	unknown map[string]bool // payloads that may be in the history
	refused int
}

func newRegRun(t *testing.T, nodes []*testNode) *regRun {
	r := &regRun{
		t: t, nodes: nodes, begun: time.Now(), acks: make(chan struct{}, fsm.MaxHistory),
		acked: map[uint64]string{}, unknown: map[string]bool{},
	}
	r.budget.Store(fsm.MaxHistory - 5) // so that no version falls out of the history
	return r
}

func (r *regRun) record(client int, in regInput, out regOutput, call int64) {
	op := porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: int64(time.Since(r.begun))}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
	switch {
	case out.end == regUnknown:
		r.unknown[in.payload] = true
	case in.kind == regWrite && out.end == regDone:
		if old, ok := r.acked[out.version]; ok {
			r.t.Errorf("version %d was acknowledged to %q and to %q", out.version, old, in.payload)
		}
		r.acked[out.version] = in.payload
	}
}

// client reads here and writes there until the writes are used up or ctx ends.
func (r *regRun) client(ctx context.Context, id int) {
	var seen uint64
	for i := 0; ctx.Err() == nil; i++ {
		at := rand.IntN(len(r.nodes))
		if v := r.read(id, at); v > seen {
			seen = v
		}
		if r.budget.Add(-1) < 0 {
			return
		}
		in := regInput{kind: regWrite, node: at, payload: fmt.Sprintf("client %d write %d", id, i)}
		if rand.IntN(4) > 0 {
			in.base = &[]uint64{seen}[0]
		}
		wctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		seen = max(seen, r.write(wctx, id, in))
		cancel()
	}
}

func (r *regRun) read(client, at int) uint64 {
	call := int64(time.Since(r.begun))
	v, _ := r.nodes[at].Config()
	r.record(client, regInput{kind: regRead, node: at}, regOutput{version: v.Version, payload: string(v.Payload)}, call)
	return v.Version
}

// write proposes, and returns the version that it learned of; 0 if nothing came of it.
func (r *regRun) write(ctx context.Context, client int, in regInput) uint64 {
	call := int64(time.Since(r.begun))
	v, reports, err := r.nodes[in.node].Propose(ctx, Proposal{Payload: []byte(in.payload), Base: in.base})
	out := regOutput{version: v.Version}
	conflict, _ := errors.AsType[*ConflictError](err)
	switch {
	case err == nil:
		for _, rep := range reports {
			if rep.Error == "" {
				out.running = append(out.running, slices.IndexFunc(r.nodes, func(n *testNode) bool { return n.conf.Name == rep.Node }))
			}
		}
	case conflict != nil:
		out.end, out.version = regConflict, conflict.Current
	case errors.Is(err, ErrUncertain):
		out.end = regUnknown
	case errors.Is(err, ErrNoLeader), errors.Is(err, ErrNotLeader), errors.Is(err, ErrBusy):
		r.mu.Lock()
		r.refused++ // it must not have come about: the payload is no one's
		r.mu.Unlock()
		return 0
	default:
		r.t.Errorf("%q on %s: %v", in.payload, r.nodes[in.node].conf.Name, err)
		return 0
	}
	r.record(client, in, out, call)
	if err == nil {
		select {
		case r.acks <- struct{}{}:
		default:
		}
	}
	return out.version
}

// more waits until n more writes were acknowledged; false once the clients are through.
func (r *regRun) more(n int, through <-chan struct{}) bool {
	for range n {
		select {
		case <-r.acks:
		case <-through:
			return false
		}
	}
	return true
}

// check judges what was seen.
func (r *regRun) check(history []string) {
	r.t.Helper()
	ops := settled(r.ops, history)
	if got := porcupine.CheckOperationsTimeout(regModel, ops, 10*time.Second); got != porcupine.Ok {
		r.t.Errorf("what the clients saw is no history of one register: %s", got)
		slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		for _, o := range ops {
			in, out := o.Input.(regInput), o.Output.(regOutput)
			base := "any"
			if in.base != nil {
				base = fmt.Sprint(*in.base)
			}
			r.t.Logf("%v..%v client %d at %d: %q base %s: %+v",
				time.Duration(o.Call), time.Duration(o.Return), o.ClientId, in.node, in.payload, base, out)
		}
	}
}

// kept checks that the history of each node is what was acknowledged, in order, and beside it nothing but writes of which
// nobody knew what became. It returns the payloads.
func (r *regRun) kept(last uint64) (payloads []string) {
	r.t.Helper()
	for _, n := range r.nodes {
		n.app.until(r.t, "the last version on "+n.conf.Name, func() bool {
			vs := n.app.versions
			return len(vs) > 0 && vs[len(vs)-1].Version >= last
		})
		h := n.History()
		if len(h) < int(last) {
			r.t.Errorf("%s keeps %d versions of %d", n.conf.Name, len(h), last)
			continue
		}
		payloads = payloads[:0]
		for i, v := range h[:last] {
			payloads = append(payloads, string(v.Payload))
			want, ok := r.acked[uint64(i+1)]
			switch {
			case v.Version != uint64(i+1):
				r.t.Errorf("%s: version %d in place %d", n.conf.Name, v.Version, i+1)
			case ok && want != string(v.Payload):
				r.t.Errorf("%s: version %d is %q, but %q was acknowledged", n.conf.Name, v.Version, v.Payload, want)
			case !ok && !r.unknown[string(v.Payload)]:
				r.t.Errorf("%s: version %d is %q, which was refused", n.conf.Name, v.Version, v.Payload)
			}
		}
	}
	return payloads
}

// Whatever becomes of leaders, changes behave as if made one after the other on one machine, and none that was
// acknowledged is lost.
func TestConfigurationIsOneRegister(t *testing.T) {
	f, nodes := fabricCluster(t, 3)
	eventually(t, "three voters", nodes, func() bool {
		l := leaderOf(t, nodes...)
		return l.Info().Voters == 3
	})
	r := newRegRun(t, nodes)
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	var clients sync.WaitGroup
	for id := range 5 {
		clients.Go(func() { r.client(ctx, id) })
	}
	through := make(chan struct{})
	go func() { clients.Wait(); close(through) }()
	t.Cleanup(func() { stop(); <-through }) // before the nodes stop, should the test end here

	cuts, moves := 0, 0
	for r.more(6, through) {
		old := leaderOf(t, nodes...)
		if next := without(nodes, old)[rand.IntN(2)]; (*leaseLog)(old.Cluster).TransferLeadership(ctx, next.ID()) == nil {
			moves++
		}
		if !r.more(6, through) {
			break
		}
		old = leaderOf(t, nodes...)
		rest := without(nodes, old)
		f.split(true, []*testNode{old}, rest)
		cuts++
		leaderOf(t, rest...)
		r.more(2, through)
		f.split(false, []*testNode{old}, rest)
	}
	<-through
	f.split(false, nodes, nodes)
	leaderOf(t, nodes...)
	// What was lost on an old connection is of unknown outcome still.
	last := uint64(0)
	for i := 0; r.acked[last] == "" && i < 5; i++ {
		last = r.write(t.Context(), 0, regInput{kind: regWrite, payload: fmt.Sprint("last ", i)})
	}
	if r.acked[last] == "" {
		t.Fatal("a whole cluster does not take a change")
	}
	t.Logf("%v: %d operations, %d writes acknowledged, %d of unknown outcome, %d refused; leader cut off %d times, moved %d times",
		time.Since(r.begun), len(r.ops), len(r.acked), len(r.unknown), r.refused, cuts, moves)
	if cuts == 0 || moves == 0 || len(r.acked) < 10 {
		t.Error("too little happened for the test to say anything")
	}
	r.check(r.kept(last))
}

// The judge of the test above finds what it is there to find.
func TestRegisterModelSeesWhatIsWrong(t *testing.T) {
	base := func(v uint64) *uint64 { return &v }
	type op struct {
		call, end int64
		in        regInput
		out       regOutput
	}
	write := func(call, end int64, payload string, b *uint64, version uint64) op {
		return op{call, end, regInput{payload: payload, base: b}, regOutput{version: version}}
	}
	unknown := func(call int64, payload string, b *uint64) op {
		return op{call, math.MaxInt64, regInput{payload: payload, base: b}, regOutput{end: regUnknown}}
	}
	conflict := func(call, end int64, b, version uint64) op {
		return op{call, end, regInput{payload: "refused", base: &b}, regOutput{end: regConflict, version: version}}
	}
	read := func(call, end int64, node int, version uint64, payload string) op {
		return op{call, end, regInput{kind: regRead, node: node}, regOutput{version: version, payload: payload}}
	}
	runs := func(o op, nodes ...int) op { o.out.running = nodes; return o }
	for _, tc := range []struct {
		name    string
		ops     []op
		want    porcupine.CheckResult
		history []string
	}{
		{"one after the other", []op{write(0, 1, "a", base(0), 1), write(2, 3, "b", base(1), 2), read(4, 5, 0, 2, "b")}, porcupine.Ok, nil},
		{"at once, in either order", []op{write(0, 9, "a", nil, 2), write(0, 9, "b", nil, 1), read(0, 9, 0, 1, "b")}, porcupine.Ok, nil},
		{"a copy that is late", []op{write(0, 1, "a", nil, 1), read(2, 3, 1, 0, ""), read(4, 5, 1, 1, "a")}, porcupine.Ok, nil},
		{"unknown, and came about", []op{unknown(0, "a", base(0)), read(2, 3, 0, 1, "a"), write(4, 5, "b", base(1), 2)}, porcupine.Ok, []string{"a", "b"}},
		{"unknown, and came about late", []op{unknown(0, "a", nil), write(4, 5, "b", nil, 1), read(6, 7, 0, 2, "a")}, porcupine.Ok, []string{"b", "a"}},
		{"unknown, and had no effect", []op{unknown(0, "a", base(0)), write(2, 3, "b", base(0), 1), read(4, 5, 0, 1, "b")}, porcupine.Ok, []string{"b"}},
		{"two against one version", []op{write(0, 1, "a", nil, 1), conflict(2, 3, 0, 1)}, porcupine.Ok, nil},

		{"lost update", []op{write(0, 9, "a", base(0), 1), write(0, 9, "b", base(0), 1)}, porcupine.Illegal, nil},
		{"lost update, numbered on", []op{write(0, 9, "a", base(0), 1), write(0, 9, "b", base(0), 2)}, porcupine.Illegal, nil},
		{"acknowledged and overwritten", []op{write(0, 1, "a", nil, 1), write(2, 3, "b", nil, 1), read(4, 5, 0, 1, "b")}, porcupine.Illegal, nil},
		{"done twice", []op{write(0, 1, "a", nil, 1), write(2, 3, "b", nil, 3)}, porcupine.Illegal, nil},
		{"another's payload", []op{write(0, 1, "a", nil, 1), read(2, 3, 0, 1, "b")}, porcupine.Illegal, nil},
		{"read before it was proposed", []op{read(0, 1, 0, 1, "a"), write(2, 3, "a", nil, 1)}, porcupine.Illegal, nil},
		{"a copy that steps back", []op{write(0, 1, "a", nil, 1), read(2, 3, 1, 1, "a"), read(4, 5, 1, 0, "")}, porcupine.Illegal, nil},
		{"reported to run and does not", []op{runs(write(0, 1, "a", nil, 1), 0, 2), read(2, 3, 2, 0, "")}, porcupine.Illegal, nil},
		{"conflict with its own base", []op{write(0, 1, "a", nil, 1), conflict(2, 3, 1, 1)}, porcupine.Illegal, nil},
		{"conflict with what never was", []op{write(0, 1, "a", nil, 1), conflict(2, 3, 0, 2)}, porcupine.Illegal, nil},
		{"unknown, seen and lost", []op{unknown(0, "a", nil), read(2, 3, 0, 1, "a"), write(4, 5, "b", nil, 1)}, porcupine.Illegal, []string{"b"}},
		{"an unknown one had effect twice", []op{unknown(0, "a", nil), read(2, 3, 0, 1, "a"), write(4, 5, "b", nil, 3)}, porcupine.Illegal, []string{"a", "a", "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ops []porcupine.Operation
			for i, o := range tc.ops {
				ops = append(ops, porcupine.Operation{ClientId: i, Input: o.in, Output: o.out, Call: o.call, Return: o.end})
			}
			if got := porcupine.CheckOperationsTimeout(regModel, settled(ops, tc.history), 5*time.Second); got != tc.want {
				t.Errorf("judged %s, want %s", got, tc.want)
			}
		})
	}
}
