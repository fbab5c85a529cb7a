package raftnode

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Raft tells followers the commit index with the next entries, or after its commit timeout (50 to 100 ms) when there are
// none. A node that takes over within that time would lack the newest bindings, so a leader says it at once: an
// AppendEntries without entries, as any leader may send at any time, whose previous entry is the one just applied. A
// follower that does not have that entry yet refuses it; it is told again a few times, then learns in the usual way.

// nudgePauses are between tries to tell a follower that is a little behind.
var nudgePauses = [...]time.Duration{2 * time.Millisecond, 8 * time.Millisecond, 32 * time.Millisecond}

// committed notes an applied entry for tellCommitted; the newest replaces what is not yet told.
func (n *Node) committed(index, term uint64) {
	if r := n.live.Load(); r == nil || r.State() != raft.Leader { // nil: entries applied while Raft starts
		return
	}
	c := committed{index, term}
	for {
		select {
		case n.nudge <- c:
			return
		default:
		}
		select {
		case <-n.nudge:
		default:
		}
	}
}

// tellCommitted tells each follower, one request at a time each.
func (n *Node) tellCommitted(ctx context.Context) {
	var wg sync.WaitGroup
	peers := map[raft.ServerID]chan committed{}
	defer func() {
		for _, ch := range peers {
			close(ch)
		}
		wg.Wait()
	}()
	for {
		var c committed
		select {
		case <-ctx.Done():
			return
		case c = <-n.nudge:
		}
		seen := map[raft.ServerID]bool{}
		for _, s := range n.Servers() {
			if string(s.ID) == n.o.Dir.ID {
				continue
			}
			seen[s.ID] = true
			ch := peers[s.ID]
			if ch == nil {
				ch = make(chan committed, 1)
				peers[s.ID] = ch
				wg.Go(func() { n.tellPeer(s, ch) })
			}
			select {
			case <-ch: // what it has not been told yet is told by the newer one
			default:
			}
			ch <- c
		}
		for id, ch := range peers {
			if !seen[id] {
				close(ch)
				delete(peers, id)
			}
		}
	}
}

func (n *Node) tellPeer(s raft.Server, ch <-chan committed) {
	for c := range ch {
		for try := 0; !n.tellOnce(s, c) && try < len(nudgePauses); try++ {
			t := time.NewTimer(nudgePauses[try])
			select {
			case newer, ok := <-ch:
				t.Stop()
				if !ok {
					return
				}
				c, try = newer, -1
			case <-t.C:
			}
		}
	}
}

// tellOnce reports whether the follower knows now, or need not be told any more.
func (n *Node) tellOnce(s raft.Server, c committed) bool {
	// The request is of a leader of this term: that it led between two looks at the same term.
	term := n.raft.CurrentTerm()
	if n.raft.State() != raft.Leader || term != n.raft.CurrentTerm() {
		return true
	}
	addr := n.trans.EncodePeer(raft.ServerID(n.o.Dir.ID), n.trans.LocalAddr())
	req := &raft.AppendEntriesRequest{
		RPCHeader:    raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.o.Dir.ID), Addr: addr},
		Term:         term,
		PrevLogEntry: c.index, PrevLogTerm: c.term, LeaderCommitIndex: c.index,
	}
	var resp raft.AppendEntriesResponse
	err := n.trans.AppendEntries(s.ID, s.Address, req, &resp)
	return err != nil || resp.Success // Raft itself finds out who is away
}
