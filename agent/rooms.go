package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// rooms runs the parts of the agent, each with a life of its own, so that they end in an order: addresses first, then
// requests, then the cluster that was told of both.
type rooms struct {
	group  errgroup.Group
	died   chan error  // the first room that ended before its time
	ending atomic.Bool // rooms may end by themselves now
	stops  []func()
}

func newRooms() *rooms { return &rooms{died: make(chan error, 1)} }

// open starts a room and returns what ends it and waits for that.
func (r *rooms) open(name string, run func(context.Context) error) (stop func()) {
	life, end := context.WithCancel(context.Background())
	gone := make(chan struct{})
	r.group.Go(func() error {
		defer close(gone)
		err := run(life)
		if life.Err() != nil || err == nil && r.ending.Load() {
			return nil
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		err = fmt.Errorf("%s: %w", name, err)
		select {
		case r.died <- err:
		default:
		}
		return err
	})
	stop = func() { end(); <-gone }
	r.stops = append(r.stops, stop)
	return stop
}

// close ends what still runs, the room opened last first, and returns what went wrong in any.
func (r *rooms) close() error {
	r.ending.Store(true)
	for i := len(r.stops) - 1; i >= 0; i-- {
		r.stops[i]()
	}
	return r.group.Wait()
}
