package mux

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// directPair is two ends of one connection, as Listen and Dial of TCP make them, with socket buffers that hold
// only a part of what the tests write. (With less to receive into than loopback's segments, TCP crawls.)
func directPair(t testing.TB) (a, b *direct) {
	t.Helper()
	ln, err := TCP{}.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed, err := TCP{}.Dial(t.Context(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		dialed.Close()
		t.Fatal(err)
	}
	ends := [2]*direct{}
	for i, c := range []net.Conn{dialed, accepted} {
		t.Cleanup(func() { c.Close() })
		d, ok := c.(*direct)
		if !ok {
			t.Fatalf("end %d is a %T", i, c)
		}
		if err := errors.Join(d.SetReadBuffer(256<<10), d.SetWriteBuffer(1)); err != nil {
			t.Fatal(err)
		}
		ends[i] = d
	}
	return ends[0], ends[1]
}

// within runs f, which is to end by itself.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: not within 30 s", what)
	}
}

// inWait waits until so many goroutines wait for a socket in f, a method of direct.
func inWait(t *testing.T, f string, n int) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		waiting := 0
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			head, _, _ := strings.Cut(g, "\n")
			if strings.Contains(head, "[IO wait") && strings.Contains(g, "mux.(*direct)."+f+"(") {
				waiting++
			}
		}
		if waiting >= n {
			return
		}
	}
	t.Fatalf("nobody waits in %s", f)
}

// tooMuch is more than fits on its way while nobody reads.
var tooMuch = make([]byte, 8<<20)

// TestDirectCarriesBothWays: what is written in pieces of all sizes, both ways at once, through buffers that hold only a
// part of a piece, arrives as it was.
func TestDirectCarriesBothWays(t *testing.T) {
	a, b := directPair(t)
	const size = 4 << 20
	pieces := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for _, way := range []struct {
		name     string
		from, to *direct
	}{{"there", a, b}, {"back again", b, a}} {
		sent := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(len(way.name))}).Read(sent)
		seed := pieces.Uint64()
		wg.Go(func() {
			cut := rand.New(rand.NewPCG(seed, 0))
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+cut.IntN(1<<uint(cut.IntN(21))))
				if got, err := way.from.Write(rest[:n]); got != n || err != nil {
					t.Errorf("%s: wrote %d of %d: %v", way.name, got, n, err)
					return
				}
				rest = rest[n:]
			}
			if err := way.from.CloseWrite(); err != nil {
				t.Errorf("%s: %v", way.name, err)
			}
		})
		wg.Go(func() {
			cut := rand.New(rand.NewPCG(seed, 1))
			var got []byte
			buf := make([]byte, 128<<10)
			for {
				n, err := way.to.Read(buf[:1+cut.IntN(len(buf))])
				got = append(got, buf[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil || n == 0 {
					t.Errorf("%s: read %d, %v", way.name, n, err)
					way.to.Close() // the writer waits for it
					return
				}
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%s: %d bytes came of %d, or others", way.name, len(got), len(sent))
			}
		})
	}
	within(t, "4 MiB each way", wg.Wait)
}

// TestDirectPartialWrite: a write that a deadline ends tells how much of it is on its way, and no more.
func TestDirectPartialWrite(t *testing.T) {
	a, b := directPair(t)
	sent := make([]byte, len(tooMuch))
	rand.NewChaCha8([32]byte{}).Read(sent)
	if err := a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := a.Write(sent)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(sent) {
		t.Fatalf("wrote %d of %d with nobody reading: %v", n, len(sent), err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	within(t, "the rest", func() {
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, sent[:n]) {
			t.Errorf("%d bytes came, %d were told to be sent: %v", len(got), n, err)
		}
	})
}

// TestDirectDeadlines: a deadline ends a call that waits, whether set before or meanwhile, and the connection goes on.
func TestDirectDeadlines(t *testing.T) {
	a, b := directPair(t)
	for _, tc := range []struct {
		name string
		set  func(time.Time) error
		call func() (int, error)
	}{
		{"Read", a.SetReadDeadline, func() (int, error) { return a.Read(make([]byte, 10)) }},
		{"Write", a.SetWriteDeadline, func() (int, error) { return a.Write(tooMuch) }},
	} {
		within(t, tc.name, func() {
			begun := time.Now()
			if err := tc.set(begun.Add(50 * time.Millisecond)); err != nil {
				t.Error(err)
			}
			n, err := tc.call()
			var ne net.Error
			if n == len(tooMuch) || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%s past its deadline: %d, %v", tc.name, n, err)
			}
			if took := time.Since(begun); took < 50*time.Millisecond {
				t.Errorf("%s ended after %v, before its deadline", tc.name, took)
			}
			if n, err := tc.call(); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s begun past its deadline: %d, %v", tc.name, n, err)
			}
			if err := tc.set(time.Time{}); err != nil {
				t.Error(err)
			}
		})
		done := make(chan error, 1)
		go func() { _, err := tc.call(); done <- err }()
		inWait(t, tc.name, 1)
		if err := tc.set(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		within(t, tc.name, func() {
			if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s that waited while a deadline came: %v", tc.name, err)
			}
		})
		if err := tc.set(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Write([]byte("still")); err != nil {
		t.Fatal(err)
	}
	within(t, "a read after the deadlines", func() {
		buf := make([]byte, 5)
		if _, err := io.ReadFull(a, buf); err != nil || string(buf) != "still" {
			t.Errorf("after its deadlines: %q, %v", buf, err)
		}
	})
}

// TestDirectClose: Close ends those who wait, and those who come later learn of it.
func TestDirectClose(t *testing.T) {
	a, _ := directPair(t)
	errs := make(chan error, 4)
	for range 2 { // the second waits for the first
		go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := a.Write(tooMuch); errs <- err }()
	}
	inWait(t, "Read", 1)
	inWait(t, "Write", 1)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "those who wait", func() {
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("while it was closed: %v", err)
			}
		}
	})
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := a.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

// TestDirectEnd: what was sent before the end is read first, then io.EOF, again and again; a read for nothing is no end.
func TestDirectEnd(t *testing.T) {
	a, b := directPair(t)
	if err := a.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Read(nil); n != 0 || err != nil {
		t.Errorf("a read for nothing: %d, %v", n, err)
	}
	if n, err := a.Write(nil); n != 0 || err != nil {
		t.Errorf("a write of nothing: %d, %v", n, err)
	}
	if _, err := b.Write([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "the end", func() {
		if got, err := io.ReadAll(a); string(got) != "bye" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		for range 2 {
			if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
		}
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Errorf("a read for nothing after the end: %d, %v", n, err)
		}
	})
}

// TestDirectReset: a connection that the peer threw away is an error that names both ends, and writing to it kills nobody.
func TestDirectReset(t *testing.T) {
	a, b := directPair(t)
	done := make(chan error, 1)
	go func() { _, err := a.Read(make([]byte, 1)); done <- err }()
	inWait(t, "Read", 1)
	if err := errors.Join(b.SetLinger(0), b.Close()); err != nil {
		t.Fatal(err)
	}
	within(t, "the reset", func() {
		err := <-done
		op, ok := errors.AsType[*net.OpError](err)
		if !ok || !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("got %T %v", err, err)
			return
		}
		if op.Op != "read" || op.Net != "tcp" || op.Source.String() != a.LocalAddr().String() || op.Addr.String() != a.RemoteAddr().String() {
			t.Errorf("it reads %v", err)
		}
		if op.Timeout() {
			t.Error("a reset passes for a timeout")
		}
	})
	n, err := a.Write([]byte("x"))
	op, ok := errors.AsType[*net.OpError](err)
	if n != 0 || !ok || op.Op != "write" || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("wrote %d to nobody: %v", n, err)
	}
}

// TestDirectWritersTakeTurns: what goroutines write at once is not mixed, however small the buffers.
func TestDirectWritersTakeTurns(t *testing.T) {
	a, b := directPair(t)
	const writers, size = 4, 128 << 10
	for i := range writers {
		go func() {
			if _, err := a.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
				t.Error(err)
			}
		}()
	}
	within(t, "all of it", func() {
		buf, seen := make([]byte, size), map[byte]bool{}
		for range writers {
			if _, err := io.ReadFull(b, buf); err != nil {
				t.Error(err)
				return
			}
			if bytes.Count(buf, buf[:1]) != size {
				t.Error("two writes are mixed")
			}
			seen[buf[0]] = true
		}
		if len(seen) != writers {
			t.Errorf("%d writes of %d came", len(seen), writers)
		}
	})
}

// TestDirectAllocatesNothing: frames pass without garbage, those that are waited for too.
func TestDirectAllocatesNothing(t *testing.T) {
	a, b := directPair(t)
	out, in := []byte("a frame of the usual kind"), make([]byte, 25)
	back := make(chan struct{})
	go func() {
		defer close(back)
		buf := make([]byte, 64)
		for {
			n, err := b.Read(buf)
			if err != nil {
				return
			}
			if _, err := b.Write(buf[:n]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	got := testing.AllocsPerRun(200, func() {
		if _, err := a.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(a, in); err != nil {
			t.Fatal(err)
		}
	})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "the other end", func() { <-back })
	if !bytes.Equal(in, out) {
		t.Errorf("got %q", in)
	}
	if got != 0 {
		t.Errorf("%v allocations for a frame there and back", got)
	}
}

// TestDirectIsTCPOnly: what is no TCP of the kernel's stays as it is.
func TestDirectIsTCPOnly(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got, err := newDirect(a); got != a || err != nil {
		t.Errorf("got %T, %v", got, err)
	}
}
