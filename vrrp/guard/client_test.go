package guard

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// tied gives a client a guard of which the test has the socket and the bell.
func tied(t testing.TB, c *Client) (sock, bell int) {
	t.Helper()
	l, theirs, err := tie()
	if err != nil {
		t.Fatal(err)
	}
	l.pid = 4711
	c.adopt(l)
	var fds []int
	for _, f := range theirs {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { unix.Close(fd) })
		fds = append(fds, fd)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// ringable gives a client a guard that reads only when told to, and whose bell can be looked at.
func ringable(t testing.TB) (c *Client, sock, bell int) {
	t.Helper()
	c = newClient(Options{Args: []string{"no-guard"}})
	sock, bell = tied(t, c)
	c.begin()
	t.Cleanup(func() { c.Close() })
	return c, sock, bell
}

func sleepingGuard(t testing.TB) (*Client, int) {
	t.Helper()
	c, sock, _ := ringable(t)
	return c, sock
}

// rung reports whether the bell was rung since the last look.
func rung(bell int) bool {
	var b [8]byte
	n, _ := unix.Read(bell, b[:])
	return n == len(b)
}

// far is an expiry that no test reaches.
func far() boottime.Time { return boottime.Now().Add(time.Hour) }

// read takes in everything that is there and returns what a guard would know.
func read(t *testing.T, fd int, known map[string]boottime.Time) (blob string) {
	t.Helper()
	buf := make([]byte, messageMax)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || n == 0 {
			return blob
		}
		m, err := parse(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		switch m.kind {
		case kindHold:
			known[string(m.instance)] = m.expiry
		case kindDrop:
			delete(known, string(m.instance))
		case kindSay:
			blob = string(m.blob)
		}
	}
}

// A guard that does not read must not hold the agent up, and when it reads again it learns the latest state.
func TestFullSocket(t *testing.T) {
	c, fd := sleepingGuard(t)
	began := time.Now()
	const pets = 20000
	for i := range pets {
		c.Pet(hold("A", 1, boottime.Time(i)))
		c.Pet(hold("B", 1, boottime.Time(i)))
	}
	c.Drop("B")
	if err := c.Say([]byte("latest")); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d pets of a sleeping guard took %s", 2*pets, took)
	}
	if c.Stats().Held == 0 {
		t.Error("nothing was counted as held back")
	}
	known, blob := map[string]boottime.Time{}, ""
	within(t, 5*time.Second, "the latest state arrives", func() bool {
		if b := read(t, fd, known); b != "" {
			blob = b
		}
		_, b := known["B"]
		return known["A"] == pets-1 && !b && blob == "latest"
	})
}

func TestSayIsBounded(t *testing.T) {
	c, fd := sleepingGuard(t)
	if err := c.Say(make([]byte, BlobMax+1)); err == nil {
		t.Error("taken")
	}
	if err := c.Say(make([]byte, BlobMax)); err != nil {
		t.Error(err)
	}
	if got := read(t, fd, map[string]boottime.Time{}); len(got) != BlobMax {
		t.Errorf("%d bytes arrived of %d", len(got), BlobMax)
	}
}

func TestPetDoesNotAllocate(t *testing.T) {
	c, fd := sleepingGuard(t)
	buf := make([]byte, messageMax)
	for name, expiry := range map[string]boottime.Time{"quiet": far(), "rings": 0} {
		h := hold("A", 1, expiry)
		c.Pet(h)
		allocs := testing.AllocsPerRun(100, func() {
			h.Expiry++
			c.Pet(h)
			_, _ = unix.Read(fd, buf)
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations a pet", name, allocs)
		}
	}
}

// What the guard has to be woken for, and what it takes in when it wakes for something else.
func TestWhatRings(t *testing.T) {
	c, sock, bell := ringable(t)
	end := far()
	moved := hold("A", 2, end+ms)
	moved.Addresses = []Address{on("eth1", "10.0.0.100/32")}
	more := hold("A", 2, end+ms)
	more.Addresses = append(more.Addresses, on("eth0", "10.0.0.101/32"))
	pets := func(h Holding) func() { return func() { c.Pet(h) } }
	for _, s := range []struct {
		what  string
		do    func()
		rings bool
	}{
		{"the first hold", pets(hold("A", 1, end)), true},
		{"an extension", pets(hold("A", 1, end+ms)), false},
		{"another one", pets(hold("A", 1, end+2*ms)), false},
		{"the same expiry again", pets(hold("A", 1, end+2*ms)), false},
		{"the first hold of another instance", pets(hold("B", 1, end)), true},
		{"an extension of the other", pets(hold("B", 1, end+ms)), false},
		{"an earlier expiry", pets(hold("A", 1, end+ms)), true},
		{"an extension of that", pets(hold("A", 1, end+2*ms)), false},
		{"a new epoch", pets(hold("A", 2, end+2*ms)), true},
		{"an address more", pets(more), true},
		{"other addresses", pets(moved), true},
		{"the first ones", pets(hold("A", 2, end+3*ms)), true},
		{"instructions", func() { _ = c.Say([]byte("x")) }, true},
		{"an extension after instructions", pets(hold("A", 2, end+4*ms)), false},
		{"a drop", func() { c.Drop("A") }, true},
		{"a hold after a drop", pets(hold("A", 2, end+5*ms)), true},
		{"an expiry that is over", pets(hold("A", 2, boottime.Now())), true},
		{"a hold that the guard may have given up", pets(hold("A", 2, end)), true},
		{"an extension of it", pets(hold("A", 2, end+ms)), false},
	} {
		s.do()
		if got := rung(bell); got != s.rings {
			t.Errorf("%s: rung %v, want %v", s.what, got, s.rings)
		}
	}
	known := map[string]boottime.Time{}
	read(t, sock, known)
	if known["A"] != end+ms || known["B"] != end+ms {
		t.Errorf("what did not ring was not sent: %v", known)
	}
}

// A new guard knows nothing: it is told everything, and woken for it.
func TestNewGuardIsRung(t *testing.T) {
	c := newClient(Options{})
	_, _ = tied(t, c)
	end := far()
	c.Pet(hold("A", 1, end))
	c.Pet(hold("A", 1, end+ms))
	c.mu.Lock()
	c.disown()
	c.mu.Unlock()
	sock, bell := tied(t, c)
	c.begin()
	defer c.Close()
	known := map[string]boottime.Time{}
	if read(t, sock, known); known["A"] != end+ms || !rung(bell) {
		t.Errorf("the new guard was told of %v", known)
	}
	if c.Pet(hold("A", 1, end+2*ms)); rung(bell) {
		t.Error("it was woken for an extension")
	}
}

// Extensions that nobody reads ring before the socket is full, and again when it is.
func TestRingsBeforeTheSocketIsFull(t *testing.T) {
	c, sock, bell := ringable(t)
	h := hold("A", 1, far())
	c.Pet(h)
	rung(bell)
	pet := func() bool { h.Expiry++; c.Pet(h); return rung(bell) }
	quiet := 0
	for !pet() {
		quiet++
	}
	if quiet < 20 || c.Stats().Held != 0 {
		t.Errorf("rung after %d extensions, %d held back", quiet, c.Stats().Held)
	}
	for range 10000 {
		if c.Stats().Held > 0 {
			break
		}
		pet()
	}
	if held := c.Stats().Held; held == 0 || !pet() {
		t.Errorf("a full socket did not ring, %d held back", held)
	}
	known := map[string]boottime.Time{}
	within(t, 5*time.Second, "the latest arrives", func() bool { read(t, sock, known); return known["A"] == h.Expiry })
}

func TestStartFails(t *testing.T) {
	for name, o := range map[string]Options{
		"no such binary":                 {Exe: filepath.Join(t.TempDir(), "none")},
		"a binary that fails":            {Exe: "/bin/false"},
		"one that is no guard":           {Exe: "/bin/true"},
		"a subcommand that is not there": {Args: []string{"-test.run=^$", "-no-such-flag"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if c, err := Start(ctx, o); err == nil {
				c.Close()
				t.Error("started")
			} else if !strings.Contains(err.Error(), "guard") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	c, fd := sleepingGuard(t)
	if !c.Alive() {
		t.Error("not alive")
	}
	c.Close()
	c.Close()
	<-c.Done()
	if c.Alive() {
		t.Error("alive after Close")
	}
	c.Pet(hold("A", 1, 1)) // late calls are harmless
	c.Drop("A")
	if err := c.Say([]byte("x")); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 64)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := parse(buf[:n]); err != nil || m.kind != kindBye {
		t.Errorf("its last word: %v, %v", m, err)
	}
}

func BenchmarkPet(b *testing.B) {
	for name, expiry := range map[string]boottime.Time{"extends": far(), "rings": 0} {
		b.Run(name, func(b *testing.B) {
			c, sock := sleepingGuard(b)
			h, buf := hold("VI_1", 1, expiry), make([]byte, 256)
			b.ReportAllocs()
			for b.Loop() {
				h.Expiry++
				c.Pet(h)
				_, _ = unix.Read(sock, buf)
			}
		})
	}
}
