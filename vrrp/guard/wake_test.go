package guard

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// inside is a guard within this process that takes nothing off but notes when it would.
type inside struct {
	client *Client // nil: the test has the link
	mu     sync.Mutex
	off    map[string]boottime.Time // by address
	said   []Released
	ended  chan error
}

// runInside starts one and returns the agent's end.
func runInside(t *testing.T) (*inside, *link) {
	t.Helper()
	l, theirs, err := tie()
	if err != nil {
		t.Fatal(err)
	}
	fd := 500 // next to each other, as a guard inherits them
	for i, f := range theirs {
		if err := unix.Dup3(int(f.Fd()), fd+i, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	g := &inside{off: map[string]boottime.Time{}, ended: make(chan error, 1)}
	p, err := newProcess(ProcessOptions{FD: fd, Remove: g.remove, Said: g.say})
	if err != nil {
		t.Fatal(err)
	}
	go func() { g.ended <- p.run() }()
	t.Cleanup(func() {
		if g.client != nil {
			g.client.Close()
		}
		select {
		case err := <-g.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the guard does not end")
		}
		p.ear.file.Close()
		for _, x := range []int{p.timer, fd, fd + 1} {
			unix.Close(x)
		}
	})
	return g, l
}

func startInside(t *testing.T) *inside {
	t.Helper()
	g, l := runInside(t)
	g.client = newClient(Options{Args: []string{"no-guard"}})
	g.client.adopt(l)
	g.client.begin()
	return g
}

func (g *inside) remove(list []Address) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range list {
		g.off[a.Prefix.Addr().String()] = boottime.Now()
	}
	return nil
}

func (g *inside) say(_ context.Context, released []Released, _ []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said = append(g.said, released...)
}

// gone returns when the address went.
func (g *inside) gone(address string) (boottime.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.off[address]
	return at, ok
}

// mustGo waits until the address went and fails the test unless that was at its expiry.
func (g *inside) mustGo(t *testing.T, address string, expiry boottime.Time) {
	t.Helper()
	var at boottime.Time
	within(t, 5*time.Second, address+" goes", func() (ok bool) { at, ok = g.gone(address); return ok })
	if late := at.Sub(expiry); late < 0 || late > 150*time.Millisecond {
		t.Errorf("%s went %s after its expiry", address, late)
	}
}

func holdOn(name, address string, expiry boottime.Time) Holding {
	return Holding{name, 1, expiry, []Address{on("eth0", address+"/32")}}
}

// The last extension counts, though the guard was woken for none, and its timer is set to the first expiry.
func TestExtensionIsHonoured(t *testing.T) {
	g := startInside(t)
	h := holdOn("A", "10.0.0.1", boottime.Now().Add(100*time.Millisecond))
	g.client.Pet(h)
	for range 10 {
		h.Expiry = h.Expiry.Add(30 * time.Millisecond)
		g.client.Pet(h)
	}
	g.mustGo(t, "10.0.0.1", h.Expiry)
}

func TestNearDeadlineBesideAFarOne(t *testing.T) {
	g := startInside(t)
	now := boottime.Now()
	g.client.Pet(holdOn("FAR", "10.0.0.1", now.Add(time.Hour)))
	wait(t, 20*time.Millisecond) // the timer is set to it
	near := holdOn("NEAR", "10.0.0.2", now.Add(100*time.Millisecond))
	g.client.Pet(near)
	near.Expiry = near.Expiry.Add(50 * time.Millisecond)
	g.client.Pet(near)
	g.mustGo(t, "10.0.0.2", near.Expiry)
	back := holdOn("FAR", "10.0.0.1", boottime.Now().Add(100*time.Millisecond))
	g.client.Pet(back) // earlier than what the guard knows
	g.mustGo(t, "10.0.0.1", back.Expiry)
}

// An agent that went over its deadline and comes back is watched over again.
func TestExtensionAfterTheDeadline(t *testing.T) {
	g := startInside(t)
	h := holdOn("A", "10.0.0.1", boottime.Now().Add(50*time.Millisecond))
	for range 3 {
		g.client.Pet(h)
		g.mustGo(t, "10.0.0.1", h.Expiry)
		g.mu.Lock()
		clear(g.off)
		g.mu.Unlock()
		h.Expiry = boottime.Now().Add(50 * time.Millisecond)
	}
}

// What the agent said before it died counts, also when the guard had not been woken for it, and also when the agent
// leaves something unread, which the kernel reports as an error ahead of it.
func TestAgentDiesWithUnreadPets(t *testing.T) {
	for _, unread := range []bool{false, true} {
		t.Run(fmt.Sprintf("greeting_unread_%v", unread), func(t *testing.T) {
			g, l := runInside(t)
			if !unread {
				if _, err := l.greeting(time.Now().Add(5 * time.Second)); err != nil {
					t.Fatal(err)
				}
			} else if _, err := l.ear.wait(); err != nil {
				t.Fatal(err)
			}
			for i, end := 0, far(); i < 5; i++ {
				for _, h := range []Holding{holdOn("A", "10.0.0.1", end.Add(time.Duration(i))), holdOn("B", "10.0.0.2", end)} {
					if b, err := appendHold(nil, h); err != nil || !l.send(b) {
						t.Fatal("not sent: ", err)
					}
				}
			}
			died := boottime.Now()
			l.close()
			g.mustGo(t, "10.0.0.1", died)
			g.mustGo(t, "10.0.0.2", died)
			within(t, 5*time.Second, "the guard says so", func() bool {
				g.mu.Lock()
				defer g.mu.Unlock()
				return slices.Equal(g.said, []Released{{"A", 1, true}, {"B", 1, true}})
			})
		})
	}
}

// An agent that never stops talking does not keep the guard from what has expired, nor lose what it renews meanwhile.
func TestFloodDelaysNoRemoval(t *testing.T) {
	g, l := runInside(t)
	stop, flooded := make(chan struct{}), make(chan int)
	a := holdOn("A", "10.0.0.1", boottime.Now().Add(200*time.Millisecond))
	first, err := appendHold(nil, a)
	if err != nil || !l.send(first) {
		t.Fatal("not sent: ", err)
	}
	var flood [2][]byte // of holdings in turn, so that the guard is slower to take one in than the agent to send the next
	for i := range flood {
		h := holdOn("B", "10.0.0.2", 0)
		for range 500 {
			h.Addresses = append(h.Addresses, on("eth0", fmt.Sprintf("10.0.1.%d/32", i)))
		}
		if flood[i], err = appendHold(nil, h); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		n := 0
		defer func() { flooded <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			b := flood[n%len(flood)]
			binary.LittleEndian.PutUint64(b[10:], uint64(boottime.Now().Add(150*time.Millisecond))) // the expiry
			l.send(b)
			l.ring()
		}
	}()
	g.mustGo(t, "10.0.0.1", a.Expiry)
	wait(t, 300*time.Millisecond)
	if at, ok := g.gone("10.0.0.2"); ok {
		t.Errorf("what was renewed went at %d", at)
	}
	close(stop)
	t.Logf("%d messages", <-flooded)
	l.close()
}

// spawn starts a real guard, its word goes to the file that it returns.
func spawn(t *testing.T) (*Client, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	said := filepath.Join(t.TempDir(), "said") // goes after the guard, which writes there to its end
	c, err := Start(ctx, Options{Args: []string{guardWord}})
	if err != nil {
		t.Fatal(err)
	}
	pid := c.Stats().PID
	t.Cleanup(func() {
		c.Close()
		within(t, 10*time.Second, "the guard ends", func() bool { return !alive(pid) })
	})
	if err := c.Say([]byte(said)); err != nil {
		t.Fatal(err)
	}
	return c, said
}

// TestPriority: where the guard may have a higher priority it has it, among all sessions too where the kernel shares time
// among them first.
func TestPriority(t *testing.T) {
	c, _ := spawn(t)
	pid := c.Stats().PID
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/autogroup", pid))
	if nice != 20+15 || err != nil { // the system call counts from 20 downwards
		t.Logf("nothing to hold: %d, %v", 20-nice, err)
		return
	}
	if !strings.HasSuffix(strings.TrimSpace(string(b)), "nice -15") {
		t.Errorf("nice -15 in a session that says %q", b)
	}
}

// wakes counts how often the threads of a process went to sleep of themselves.
func wakes(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatal("no such process: ", err)
	}
	sum := 0
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		for line := range strings.Lines(string(b)) {
			n := 0
			_, _ = fmt.Sscanf(line, "voluntary_ctxt_switches: %d", &n)
			sum += n
		}
	}
	return sum
}

func TestExtensionDoesNotWake(t *testing.T) {
	const pets = 200
	c, said := spawn(t)
	h := holdOn("A", "10.9.9.9", boottime.Now().Add(10*time.Second))
	c.Pet(h)
	wait(t, 300*time.Millisecond)
	before := wakes(t, c.Stats().PID)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range pets {
		<-tick.C
		h.Expiry = h.Expiry.Add(5 * time.Millisecond)
		c.Pet(h)
	}
	n := wakes(t, c.Stats().PID) - before
	t.Logf("the guard woke %d times for %d pets", n, pets)
	if n > pets/10 {
		t.Errorf("the guard woke %d times for %d pets", n, pets)
	}
	if got := readSaid(said); len(got) != 0 {
		t.Errorf("it took off %v", got)
	}
	h.Expiry = boottime.Now().Add(50 * time.Millisecond)
	c.Pet(h) // and is not asleep for ever
	within(t, 2*time.Second, "the address goes", func() bool { return len(readSaid(said)) == 1 })
}

// Many instances fill the socket between two expiries: the guard is rung before anything has to wait.
func TestManyInstances(t *testing.T) {
	const (
		instances, rate = 200, 20
		ttl             = time.Second
	)
	c, said := spawn(t)
	hs := make([]Holding, instances)
	for i := range hs {
		hs[i] = holdOn(fmt.Sprintf("VI_%d", i), netip.AddrFrom4([4]byte{10, 9, 9, byte(i)}).String(), 0)
	}
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	before := 0
	for round := range 3 * rate {
		for i := range hs { // all at once: the worst case
			hs[i].Expiry = boottime.Now().Add(ttl)
			c.Pet(hs[i])
		}
		if round == 0 {
			before = wakes(t, c.Stats().PID)
		}
		<-tick.C
	}
	n := wakes(t, c.Stats().PID) - before
	t.Logf("the guard woke %d times for %d pets", n, 3*rate*instances)
	if s := c.Stats(); s.Held != 0 || s.Removed != 0 || s.Starts != 1 || len(readSaid(said)) != 0 {
		t.Errorf("%+v, said %v", s, readSaid(said))
	}
	within(t, 5*time.Second, "all go when nobody renews", func() bool { return c.Stats().Removed == instances })
}
