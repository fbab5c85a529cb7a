package raftnode

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Raft sends each peer a heartbeat every tenth to fifth of its timeout, which would be most of what an idle cluster costs.
// Here three in a timeout are sent, and none where leader and follower talk anyway: what a lease stream carries both ways,
// under the same term, says all that a heartbeat and its answer say. Leader and follower are told so by Contact and Led.
// A stream that falls silent is a heartbeat that goes over the network again.

// beats is when heartbeats to the peers are due.
type beats struct {
	every  time.Duration
	begun  time.Time
	done   <-chan struct{}
	handle atomic.Pointer[func(raft.RPC)] // Raft's, for heartbeats

	mu    sync.Mutex
	term  uint64
	peers map[raft.ServerID]*pulse
}

// pulse is one peer's.
type pulse struct {
	last time.Time     // of the last heartbeat, or of what took its place
	mute bool          // something took its place
	met  chan struct{} // capacity 1: the peer was heard
}

// beatKind is how a heartbeat goes out. The zero kind is invalid.
type beatKind int

const (
	beatSend    beatKind = iota + 1 // over the network
	beatMet                         // not at all: the peer and this node heard each other
	beatStopped                     // the transport is closed
)

func (b *beats) init(every time.Duration, done <-chan struct{}) {
	b.every, b.begun, b.done, b.peers = every, time.Now(), done, make(map[raft.ServerID]*pulse)
}

// next waits until the next heartbeat to a peer is due or needless. The first after an election goes at once.
func (b *beats) next(id raft.ServerID, term uint64) beatKind {
	p, wait := b.begin(id, term)
	if wait <= 0 {
		return beatSend
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	kind := beatSend
	select {
	case <-timer.C:
	case <-p.met:
		kind = beatMet
	case <-b.done:
		return beatStopped
	}
	b.mu.Lock()
	p.last, p.mute = time.Now(), kind == beatMet
	b.mu.Unlock()
	return kind
}

func (b *beats) begin(id raft.ServerID, term uint64) (*pulse, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if term != b.term { // a new reign: nobody knows of it yet
		b.term = term
		clear(b.peers)
	}
	p := b.peers[id]
	if p == nil {
		p = &pulse{met: make(chan struct{}, 1)}
		b.peers[id] = p
	}
	select {
	case <-p.met: // before this heartbeat was asked for: Raft takes the time of its answer for that of the contact
	default:
	}
	now := time.Now()
	at := p.last.Add(b.every)
	if p.mute {
		at = at.Add(b.every / 4) // its stream may be a little late
	} else {
		at = at.Add(-(at.Sub(b.begun) % b.every)) // the same moments for all peers: one waking serves them
	}
	if !at.After(now) {
		p.last, p.mute = now, false
		return p, 0
	}
	return p, at.Sub(now)
}

// contact notes that the peer was heard under the term.
func (b *beats) contact(id raft.ServerID, term uint64) {
	b.mu.Lock()
	p := b.peers[id]
	if term != b.term {
		p = nil
	}
	b.mu.Unlock()
	if p == nil {
		return
	}
	select {
	case p.met <- struct{}{}:
	default:
	}
}

// Contact tells that this node, the leader of term, and the peer have just heard each other, both under that term. Safe
// for concurrent use, doesn't block.
func (n *Node) Contact(peer raft.ServerID, term uint64) { n.trans.beats.contact(peer, term) }

// Led tells that the leader has just said to this node that it leads in term. Raft hears it only of the leader that it
// knows, in the term that it is in: who leads it learns from heartbeats. Safe for concurrent use, doesn't block.
func (n *Node) Led(leader raft.ServerID, term uint64) {
	handle := n.trans.beats.handle.Load()
	addr, id := n.raft.LeaderWithID()
	if handle == nil || id != leader || term != n.raft.CurrentTerm() || n.raft.State() != raft.Follower {
		return
	}
	(*handle)(raft.RPC{
		Command: &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader), Addr: []byte(addr)},
			Term:      term,
		},
		RespChan: make(chan raft.RPCResponse, 1), // nobody asks for the answer
	})
}
