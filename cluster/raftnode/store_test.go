package raftnode

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// written makes a data_dir with a log of n entries.
func written(t testing.TB, dir string, n int) *Dir {
	t.Helper()
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.open(hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stable.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		l := &raft.Log{Index: uint64(i + 1), Term: 3, Data: bytes.Repeat([]byte{byte(i)}, 50+i*37%3000), AppendedAt: time.Unix(1, 0)}
		if err := s.logs.StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// Whatever happened to the file, to open it is an error or gives what was written; the process survives.
func TestAnyDamageIsSurvived(t *testing.T) {
	dir := t.TempDir()
	d := written(t, dir, 120)
	defer d.Close()
	whole, err := os.ReadFile(d.log())
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	rapid.Check(t, func(rt *rapid.T) {
		// A file of its own each time: a damaged one may stay open.
		sub, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		d := &Dir{Path: sub}
		if err := errors.Join(os.Mkdir(d.raft(), 0o700), os.WriteFile(d.marker(), []byte(markerText), 0o600)); err != nil {
			rt.Fatal(err)
		}
		b := bytes.Clone(whole)
		// Most of what matters is in the heads of pages and elements.
		for range rapid.IntRange(1, 4).Draw(rt, "places") {
			page := rapid.IntRange(0, len(b)/4096-1).Draw(rt, "page")
			at := page*4096 + rapid.IntRange(0, 200).Draw(rt, "offset")
			b[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "flip"))
		}
		if rapid.IntRange(0, 4).Draw(rt, "cut") == 0 {
			b = b[:rapid.IntRange(0, len(b)).Draw(rt, "length")]
		}
		if err := os.WriteFile(d.log(), b, 0o600); err != nil {
			rt.Fatal(err)
		}
		s, err := d.open(hclog.NewNullLogger())
		if err != nil {
			damaged++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), d.log()) {
				rt.Fatalf("%v", err)
			}
			return
		}
		if err := s.close(); err != nil {
			rt.Fatal(err)
		}
	})
	if damaged == 0 {
		t.Error("no damage was found: the test does not test")
	}
	if err := os.WriteFile(d.log(), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := d.open(hclog.NewNullLogger())
	if err != nil {
		t.Fatalf("the file as it was: %v", err)
	}
	if n, err := s.logs.LastIndex(); n != 120 || err != nil {
		t.Errorf("last entry %d, %v", n, err)
	}
	s.close()
}

func FuzzCheckBolt(f *testing.F) {
	d := written(f, f.TempDir(), 5)
	whole, err := os.ReadFile(d.log())
	if err != nil {
		f.Fatal(err)
	}
	d.Close()
	f.Add(whole)
	f.Add(whole[:9000])
	f.Fuzz(func(_ *testing.T, b []byte) { _ = checkBolt(bytes.NewReader(b), int64(len(b))) })
}

func TestMissingEntriesAreDamage(t *testing.T) {
	dir := t.TempDir()
	d := written(t, dir, 10)
	defer d.Close()
	s, err := d.open(hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.logs.DeleteRange(1, 4); err != nil { // as if a snapshot had them
		t.Fatal(err)
	}
	s.close()
	if _, err := d.open(hclog.NewNullLogger()); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "entries 1 to 4 are missing") {
		t.Errorf("got %v", err)
	}
}

func TestDataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !d.IsFresh() || len(d.ID) != 32 {
		t.Errorf("%+v", d)
	}
	if _, err := OpenDir(dir); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second: %v", err)
	}
	if err := d.Keep("x", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	d.Close()
	d.Close()
	again, err := OpenDir(dir)
	if err != nil || again.ID != d.ID {
		t.Fatalf("id %q then %q, %v", d.ID, again.ID, err)
	}
	if b, err := again.Kept("x"); string(b) != "kept" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if b, err := again.Kept("y"); b != nil || err != nil {
		t.Errorf("%q %v", b, err)
	}
	again.Close()
	if fi, _ := os.Stat(dir); fi.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", fi.Mode())
	}
	if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(dir); err == nil || !strings.Contains(err.Error(), "holds no node id") {
		t.Errorf("nonsense for an id: %v", err)
	}
	mem, err := OpenDir("")
	if err != nil || mem.ID == d.ID || !mem.IsFresh() {
		t.Errorf("in memory: %+v, %v", mem, err)
	}
}

func TestRaftRepeatsItselfQuietly(t *testing.T) {
	var b bytes.Buffer
	l := newQuiet(hclog.New(&hclog.LoggerOptions{Output: &b, Level: hclog.Info}))
	for range 100 {
		l.Error("failed to heartbeat to", "peer", "a", "error", errors.New("refused"))
		l.Warn("failed to contact", "peer", "b")
		l.Info("entering follower state")
		l.Warn("failed to get previous log", "error", "x")
	}
	if n := strings.Count(b.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
}
