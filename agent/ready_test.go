package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestReadiness: a node is not ready before it has caught up, nor after it was away, and an answer that began before it was
// away counts for nothing.
func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		answers := make(chan error)
		ready := true
		r := newReadiness(func(ctx context.Context) error {
			select {
			case err := <-answers:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}, func(b bool) { ready = b })
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		is := func(want bool, when string) {
			t.Helper()
			synctest.Wait()
			if ready != want {
				t.Fatalf("%s: ready is %v", when, ready)
			}
		}
		is(false, "at the start")
		answers <- errors.New("no leader")
		is(false, "without an answer")
		answers <- nil
		is(true, "caught up")
		r.away()
		is(false, "away")
		r.away()
		answers <- nil
		is(false, "an answer to a question from before")
		answers <- nil
		is(true, "caught up again")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
