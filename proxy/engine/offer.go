package engine

import (
	"context"
	"time"

	"github.com/reeve-lb/reeve/proxy/stick"
)

const (
	// offerPiece is how many places of a table a loop looks at before others have their turn: well under a millisecond.
	offerPiece = 1024
	// offerPause lets a Replicator that is full send some of what it has.
	offerPause = 20 * time.Millisecond
)

// OfferAgain offers the sticky entries that the cluster's log has not confirmed, a table after the other and in small
// pieces, so that requests go on meanwhile. It is for a node that has a quorum again: what it bound alone may have found
// no room with the Replicator. It returns how many entries were taken, with ctx's error when that ended first: the rest
// is offered at its half-life.
func (e *Engine) OfferAgain(ctx context.Context) (taken int, err error) {
	e.mu.Lock()
	var tables []*backend
	for _, b := range e.backs {
		if b.tables != nil {
			tables = append(tables, b)
		}
	}
	var l *loop
	if e.state == running {
		l = e.loops[0] // the tables of each loop hold all that the node bound
	}
	e.mu.Unlock()
	if l == nil {
		return 0, nil
	}
	for _, b := range tables {
		for from, next := 0, -1; next != 0; from = next {
			var bs []stick.Binding
			if bs, next, err = l.tentative(ctx, b, from); err != nil {
				return taken, err
			}
			n, err := e.offerAll(ctx, bs)
			taken += n
			if err != nil {
				return taken, err
			}
		}
	}
	return taken, nil
}

// tentative reads a piece of a table on the loop; next 0 is its end, or that of the engine.
func (l *loop) tentative(ctx context.Context, b *backend, from int) (bs []stick.Binding, next int, err error) {
	type piece struct {
		bs   []stick.Binding
		next int
	}
	read := make(chan piece, 1)
	if !l.post(func() {
		bs, next := b.tables[l.id].Tentative(b.name, from, offerPiece, l.now)
		read <- piece{bs, next}
	}) {
		return nil, 0, nil
	}
	select {
	case p := <-read:
		return p.bs, p.next, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// offerAll waits where the Replicator has no room.
func (e *Engine) offerAll(ctx context.Context, bs []stick.Binding) (taken int, err error) {
	for _, b := range bs {
		for !e.replicator.Offer(b) {
			select {
			case <-time.After(offerPause):
			case <-ctx.Done():
				return taken, ctx.Err()
			}
		}
		taken++
	}
	return taken, nil
}
