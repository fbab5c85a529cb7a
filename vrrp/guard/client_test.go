package guard

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// sleepingGuard gives a client a guard that reads only when told to.
func sleepingGuard(t *testing.T) (*Client, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	c := newClient(Options{Args: []string{"no-guard"}})
	if err := c.adopt(os.NewFile(uintptr(fds[0]), "guard"), 4711); err != nil {
		t.Fatal(err)
	}
	c.begin()
	t.Cleanup(func() { c.Close() })
	return c, fds[1]
}

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
	h := hold("A", 1, 0)
	buf := make([]byte, messageMax)
	c.Pet(h)
	allocs := testing.AllocsPerRun(100, func() {
		h.Expiry++
		c.Pet(h)
		_, _ = unix.Read(fd, buf)
	})
	if allocs > 0 {
		t.Errorf("%v allocations a pet", allocs)
	}
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
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fds[1])
	c := newClient(Options{})
	if err := c.adopt(os.NewFile(uintptr(fds[0]), "guard"), 1); err != nil {
		b.Fatal(err)
	}
	c.begin()
	defer c.Close()
	h, buf := hold("VI_1", 1, 0), make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		h.Expiry++
		c.Pet(h)
		_, _ = unix.Read(fds[1], buf)
	}
}
