package track

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, tr *Tracker, want int) {
	t.Helper()
	await(t, "value", func() bool { s := tr.File("f"); return s.Known && s.Value == want })
}

// TestFile: written in place, replaced by another, removed, made again; and what is no number counts as 0.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	tr := tracking(t, Options{}, Wanted{Files: []vrrp.File{{Name: "f", Path: path}}})
	await(t, "first look", func() bool { return tr.File("f").Known })
	if s := tr.File("f"); s.Value != 0 || !strings.Contains(s.Note, "no file") {
		t.Errorf("%+v", s)
	}
	write(t, path, "10\n")
	value(t, tr, 10)
	write(t, path, " -50 \n more\n")
	value(t, tr, -50)
	write(t, path+".new", "7")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	value(t, tr, 7)
	write(t, path, "abc")
	await(t, "complaint", func() bool { s := tr.File("f"); return s.Value == 0 && strings.Contains(s.Note, "no number") })
	write(t, path, "99999999999999999999")
	value(t, tr, 1<<31-1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	value(t, tr, 0)
	write(t, path, "3")
	value(t, tr, 3)
	tr.Apply(Wanted{})
	await(t, "forgetting", func() bool { return !tr.File("f").Known })
}

// TestFileIsNotReadHalfWritten: between truncation and write it has no number, and nobody must see that.
func TestFileIsNotReadHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "5")
	values := make(chan int, 1000)
	var tr *Tracker
	ready := make(chan struct{})
	tr = tracking(t, Options{Changed: func() { <-ready; values <- tr.File("f").Value }}, Wanted{Files: []vrrp.File{{Name: "f", Path: path}}})
	close(ready)
	value(t, tr, 5)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(path), "other") // something else happens in the folder
	write(t, other, "x")
	if _, err := f.WriteString("6"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	value(t, tr, 6)
	for len(values) > 0 {
		if v := <-values; v != 5 && v != 6 {
			t.Errorf("%d was seen", v)
		}
	}
}

// TestEmptiedFile: what stays empty counts as 0, also when nobody tells of it.
func TestEmptiedFile(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "f"), filepath.Join(t.TempDir(), "target")
	write(t, target, "11")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	tr := tracking(t, Options{}, Wanted{Files: []vrrp.File{{Name: "f", Path: path}}})
	value(t, tr, 11)
	write(t, target, "")
	value(t, tr, 0)
}

// TestFileThroughLinks: what inotify on the folder does not tell, a look a second later does; and a folder may come later.
func TestFileThroughLinks(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "later", "f"), filepath.Join(dir, "target")
	tr := tracking(t, Options{}, Wanted{Files: []vrrp.File{{Name: "f", Path: path}}})
	await(t, "first look", func() bool { return tr.File("f").Known })
	write(t, target, "11")
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	value(t, tr, 11)
	write(t, target, "123")
	value(t, tr, 123)
}

// TestFileThatIsNone: a pipe, which would have us wait, and a folder.
func TestFileThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := tracking(t, Options{}, Wanted{Files: []vrrp.File{{Name: "f", Path: path}, {Name: "g", Path: "/"}}})
	await(t, "note", func() bool {
		return strings.Contains(tr.File("f").Note, "no regular file") && strings.Contains(tr.File("g").Note, "no regular file")
	})
}

func TestInitFile(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	write(t, b, "2")
	write(t, c, "2")
	five := 5
	tr := tracking(t, Options{}, Wanted{Files: []vrrp.File{
		{Name: "new", Path: a, Init: &five}, {Name: "kept", Path: b, Init: &five}, {Name: "overwritten", Path: c, Init: &five, Overwrite: true},
	}})
	await(t, "all three", func() bool { return tr.File("new").Known && tr.File("kept").Known && tr.File("overwritten").Known })
	for name, want := range map[string]int{"new": 5, "kept": 2, "overwritten": 5} {
		if s := tr.File(name); s.Value != want {
			t.Errorf("%s: %+v, want %d", name, s, want)
		}
	}
	write(t, a, "9")
	await(t, "another value", func() bool { return tr.File("new").Value == 9 })
	tr.Apply(Wanted{Files: []vrrp.File{{Name: "new", Path: a, Init: &five, Overwrite: true}}})
	await(t, "the new configuration", func() bool { return !tr.File("kept").Known })
	if v := tr.File("new").Value; v != 9 {
		t.Errorf("a reload wrote over the operator's value: %d", v)
	}
}
