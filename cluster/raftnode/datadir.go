package raftnode

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse: another agent runs on the data_dir.
var ErrInUse = errors.New("data_dir is in use by another agent")

// Dir is a node's data_dir, held by this process alone until Close. The zero Dir ("" path) keeps nothing.
type Dir struct {
	Path string
	ID   string // the node's id, for life

	lock *os.File
}

// OpenDir takes the directory, making it if need be, and reads or makes the node's id. With path "" the id is new and
// nothing is written. Each failure is one line that names the path.
func OpenDir(path string) (*Dir, error) {
	if path == "" {
		id, err := newID()
		return &Dir{ID: id}, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir %s: %w", path, err)
	}
	d := &Dir{Path: path}
	if err := d.take(); err != nil {
		return nil, err
	}
	var err error
	if d.ID, err = d.readID(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) take() error {
	name := filepath.Join(d.Path, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%s: %w%s", d.Path, ErrInUse, holder(f))
		}
		return fmt.Errorf("data_dir: lock %s: %w", name, err)
	}
	d.lock = f
	// Who holds it is only told to a second agent; the lock itself is the kernel's.
	if err := f.Truncate(0); err != nil {
		return errors.Join(fmt.Errorf("data_dir: write %s: %w", name, err), d.Close())
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return errors.Join(fmt.Errorf("data_dir: write %s: %w", name, err), d.Close())
	}
	return nil
}

func holder(f *os.File) string {
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (pid " + pid + ")"
	}
	return ""
}

// Close lets the directory go. Safe more than once.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	err := d.lock.Close()
	d.lock = nil
	return err
}

func newID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make node id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

func (d *Dir) readID() (string, error) {
	name := filepath.Join(d.Path, "node-id")
	b, err := os.ReadFile(name)
	switch {
	case err == nil:
		id := strings.TrimSpace(string(b))
		if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
			return "", fmt.Errorf("data_dir: %s holds no node id", name)
		}
		return id, nil
	case !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("data_dir: %w", err)
	}
	id, err := newID()
	if err != nil {
		return "", err
	}
	if err := writeFile(name, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	return id, nil
}

// writeFile writes a file so that after a crash it is there whole or not at all.
func writeFile(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// IsFresh reports whether the directory never held a Raft log.
func (d *Dir) IsFresh() bool {
	if d.Path == "" {
		return true
	}
	_, err := os.Stat(d.marker())
	return errors.Is(err, os.ErrNotExist)
}

func (d *Dir) raft() string   { return filepath.Join(d.Path, "raft") }
func (d *Dir) log() string    { return filepath.Join(d.raft(), "raft.db") }
func (d *Dir) marker() string { return filepath.Join(d.raft(), "format") }

// Keep writes a small file of the directory so that after a crash it is there whole, as it was or as it is. Nothing is
// kept without a path.
func (d *Dir) Keep(name string, b []byte) error {
	if d.Path == "" {
		return nil
	}
	if err := writeFile(filepath.Join(d.Path, name), b); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return nil
}

// Kept reads what Keep wrote; nil if there is nothing.
func (d *Dir) Kept(name string) ([]byte, error) {
	if d.Path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(d.Path, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return b, nil
}

// SerfSnapshot is where gossip remembers whom it knew; "" if nothing is kept.
func (d *Dir) SerfSnapshot() (string, error) {
	if d.Path == "" {
		return "", nil
	}
	dir := filepath.Join(d.Path, "serf")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	return filepath.Join(dir, "snapshot"), nil
}
