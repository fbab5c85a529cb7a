package speaker

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// busy is addresses behind a lock that the test can take, as others take the kernel's.
type busy struct {
	*vip.Manager
	kernel  sync.Mutex
	waiting chan struct{} // a call came while it was taken
}

func (b *busy) wait() {
	if !b.kernel.TryLock() {
		poke(b.waiting)
		b.kernel.Lock()
	}
	b.kernel.Unlock()
}

func (b *busy) Add(g vip.Group, until boottime.Time) error { b.wait(); return b.Manager.Add(g, until) }
func (b *busy) Extend(g vip.Group, until boottime.Time) error {
	b.wait()
	return b.Manager.Extend(g, until)
}
func (b *busy) Announce(g vip.Group, n int) error { b.wait(); return b.Manager.Announce(g, n) }
func (b *busy) Remove(g vip.Group) error          { b.wait(); return b.Manager.Remove(g) }
func (b *busy) Link(dev string) (vip.Link, error) { b.wait(); return b.Manager.Link(dev) }

// TestAdvertsDoNotWaitForTheKernel: while somebody else configures the machine for long, a MASTER goes on saying that it is,
// and nobody who listens takes over.
func TestAdvertsDoNotWaitForTheKernel(t *testing.T) {
	link(t, "v5", "10.5.0.1/24")
	b := &busy{Manager: vip.New(vip.Options{}), waiting: make(chan struct{}, 1)}
	ctx, end := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { _ = b.Manager.Run(ctx) })
	t.Cleanup(func() { end(); watching.Wait(); _ = b.Close() })
	s, _ := run(t, Options{Node: "me", VIP: b})
	in := instanceOf("A", "v5", "10.5.0.100/24", 1, 255)
	in.Version, in.AdvertInt = 3, 50*time.Millisecond
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{in}}, vrrp.ElectionVRRP)
	sent := func() uint64 { return s.Status()[0].Counters["advert_sent"] }
	await(t, "MASTER", func() bool { return has("v5", "10.5.0.100/24") && sent() > 2 })

	b.kernel.Lock()
	s.find("A").touch()
	<-b.waiting
	before := sent()
	await(t, "adverts for five Master_Down_Intervals", func() bool { return sent() > before+20 })
	b.kernel.Unlock()
	await(t, "a look and an extension", func() bool { _, err := b.Link("v5"); return err == nil })
	if st := s.Status()[0]; st.State != machine.Master || len(st.Moves) != 1 {
		t.Errorf("not MASTER all the time: %+v", st.Moves)
	}
}

// TestHands: jobs are done in order, those that the next of their kind makes needless are left out, and none after end.
func TestHands(t *testing.T) {
	h := newHands()
	var done []string
	say := func(what string) func() { return func() { done = append(done, what) } }
	h.queue(once, say("add"))
	h.queue(extend, say("extend 1"))
	h.queue(look, say("look 1"))
	h.queue(extend, say("extend 2"))
	h.queue(look, say("look 2"))
	h.queue(once, say("remove"))
	h.queue(extend, say("extend 3"))
	h.queue(once, h.end)
	h.queue(once, say("too late"))
	h.work()
	if want := []string{"add", "extend 2", "look 2", "remove", "extend 3"}; !slices.Equal(done, want) {
		t.Errorf("done: %q, want %q", done, want)
	}
}
