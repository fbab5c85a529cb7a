package speaker

import (
	"context"
	"errors"
	"slices"

	"github.com/reeve-lb/reeve/vrrp/machine"
)

// SetReady says whether this node may be promoted (its configuration and tables are up to date, its listeners are up). It
// never takes an address from a holder.
func (s *Speaker) SetReady(ready bool) {
	s.mu.Lock()
	s.ready = ready
	s.mu.Unlock()
	s.each(func(i *instance) { i.feedLater(machine.Ready{Ready: ready}) })
}

// Fenced says that the guard took an instance's addresses off, because it heard too late that they may stay.
func (s *Speaker) Fenced(name string, epoch uint64) {
	names := []string{name}
	if g := s.groupOf(name); g != nil {
		names = g.status().Members
	}
	for _, name := range names {
		if i := s.find(name); i != nil {
			i.feedLater(machine.Fenced{Epoch: epoch})
		}
	}
}

// Release hands an instance over by will: priority 0, addresses off, lease released. It returns when that is done; the
// node does not take the instance back from whoever takes it, until its priority or settings change. An instance of a sync
// group goes with all of the group, which can also be named itself.
func (s *Speaker) Release(ctx context.Context, name string) error {
	members := s.together(name)
	if len(members) == 0 {
		return &InstanceError{name, ErrUnknownInstance}
	}
	var kept, errs []error
	for _, m := range members {
		switch err := s.release(ctx, m); {
		case errors.Is(err, ErrNotMaster):
			kept = append(kept, err)
		case err != nil:
			errs = append(errs, err)
		}
	}
	if len(kept) == len(members) {
		return &InstanceError{name, ErrNotMaster}
	}
	return errors.Join(errs...)
}

// together is the instances that are MASTER together with one, or those of a group; none if there is neither.
func (s *Speaker) together(name string) []*instance {
	names := []string{name}
	for _, g := range s.Groups() {
		if g.Name == name || slices.Contains(g.Members, name) {
			names = g.Members
		}
	}
	var out []*instance
	for _, m := range names {
		if i := s.find(m); i != nil {
			out = append(out, i)
		}
	}
	return out
}

func (s *Speaker) release(ctx context.Context, i *instance) error {
	done := make(chan error, 1)
	release := func() {
		if i.m.State() != machine.Master {
			done <- &InstanceError{i.name, ErrNotMaster}
			return
		}
		i.whenOff = append(i.whenOff, func() { done <- nil })
		i.feed(machine.Release{})
	}
	select {
	case i.work <- release:
	case <-i.deaf:
		return &InstanceError{i.name, ErrNotRunning}
	case <-ctx.Done():
		return &InstanceError{i.name, ctx.Err()}
	}
	select {
	case err := <-done:
		return err
	case <-i.gone:
		return &InstanceError{i.name, ErrNotRunning}
	case <-ctx.Done():
		return &InstanceError{i.name, ctx.Err()}
	}
}

// InstanceError says which instance an error is about.
type InstanceError struct {
	Instance string
	Err      error
}

// Error implements error.
func (e *InstanceError) Error() string { return e.Instance + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InstanceError) Unwrap() error { return e.Err }
