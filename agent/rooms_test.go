package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestRoomsEndInOrder: the last one opened ends first, whatever order they were asked for in.
func TestRoomsEndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []string
		r := newRooms()
		for _, name := range []string{"cluster", "proxy", "vrrp"} {
			r.open(name, func(ctx context.Context) error {
				<-ctx.Done()
				ended = append(ended, name)
				return ctx.Err()
			})
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		if want := []string{"vrrp", "proxy", "cluster"}; !slices.Equal(ended, want) {
			t.Errorf("ended %v, want %v", ended, want)
		}
	})
}

// TestRoomThatDies: a room that ends before its time is told with its name, a room that ends after the end has begun is fine.
func TestRoomThatDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRooms()
		die, leave := make(chan error), make(chan struct{})
		r.open("proxy", func(context.Context) error { return <-die })
		r.open("cluster", func(context.Context) error { <-leave; return nil })
		die <- errors.New("no more descriptors")
		if err := <-r.died; !strings.Contains(err.Error(), "proxy: no more descriptors") {
			t.Errorf("told %v", err)
		}
		r.ending.Store(true)
		close(leave)
		err := r.close()
		if err == nil || strings.Contains(err.Error(), "cluster") {
			t.Errorf("ended with %v", err)
		}
	})
}
