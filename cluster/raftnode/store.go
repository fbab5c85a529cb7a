package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrCorrupt: the Raft store is damaged. It is never emptied by us: restore the file, or take the node out and its
// data_dir away.
var ErrCorrupt = errors.New("raft store is damaged")

// stores are where Raft keeps what it must not forget.
type stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
}

const (
	markerText  = "1\n"
	logCache    = 512
	keepSnaps   = 2
	openTimeout = 2 * time.Second
)

// open opens the stores, checking first that nothing of what they held is lost.
func (d *Dir) open(log hclog.Logger) (stores, error) {
	if d.Path == "" {
		s := raft.NewInmemStore()
		return stores{s, s, raft.NewInmemSnapshotStore(), func() error { return nil }}, nil
	}
	if err := os.MkdirAll(d.raft(), 0o700); err != nil {
		return stores{}, fmt.Errorf("data_dir: %w", err)
	}
	// What is agreed on has private keys in it: whatever made the directory before, nobody else looks in.
	if err := os.Chmod(d.raft(), 0o700); err != nil {
		return stores{}, fmt.Errorf("data_dir: %w", err)
	}
	if err := d.checkFile(); err != nil {
		return stores{}, err
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(d.raft(), keepSnaps, log.Named("snapshot"))
	if err != nil {
		return stores{}, fmt.Errorf("data_dir: %w", err)
	}
	newest, err := checkSnapshots(snaps, d.raft())
	if err != nil {
		return stores{}, err
	}
	db, err := d.openLog(newest)
	if err != nil {
		return stores{}, err
	}
	if d.IsFresh() {
		if err := writeFile(d.marker(), []byte(markerText)); err != nil {
			return stores{}, errors.Join(fmt.Errorf("data_dir: %w", err), db.Close())
		}
	}
	cache, err := raft.NewLogCache(logCache, db)
	if err != nil {
		return stores{}, errors.Join(fmt.Errorf("raft log cache: %w", err), db.Close())
	}
	return stores{cache, db, private{snaps, filepath.Join(d.raft(), "snapshots")}, db.Close}, nil
}

// private is a store of snapshots whose files only their owner reads: the library makes them readable by all.
type private struct {
	raft.SnapshotStore
	dir string
}

// Create implements raft.SnapshotStore.
func (p private) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := p.SnapshotStore.Create(version, index, term, c, at, t)
	if err != nil {
		return nil, err
	}
	// Until it is whole a snapshot has this ending. Nothing of the state is in it yet.
	dir := filepath.Join(p.dir, sink.ID()+".tmp")
	err = os.Chmod(dir, 0o700)
	if err == nil {
		err = os.Chmod(filepath.Join(dir, "state.bin"), 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep a snapshot to its owner: %w", err), sink.Cancel())
	}
	return sink, nil
}

// checkFile refuses a log that is gone or empty although there was one: bbolt would begin a new one in its place, and a
// node that forgot its votes could elect two leaders.
func (d *Dir) checkFile() error {
	if d.IsFresh() {
		return nil
	}
	if b, err := os.ReadFile(d.marker()); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	} else if string(b) != markerText {
		return fmt.Errorf("%s: written by a newer program", d.raft())
	}
	fi, err := os.Stat(d.log())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: %w: the file is gone", d.log(), ErrCorrupt)
	case err != nil:
		return fmt.Errorf("data_dir: %w", err)
	case fi.Size() == 0:
		return fmt.Errorf("%s: %w: the file is empty", d.log(), ErrCorrupt)
	}
	f, err := os.Open(d.log())
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	defer f.Close()
	if err := checkBolt(f, fi.Size()); err != nil {
		return fmt.Errorf("%s: %w: %w", d.log(), ErrCorrupt, err)
	}
	return nil
}

// checkSnapshots reads the newest snapshot through, so that its checksum is verified, and returns its index; 0 if there is none.
func checkSnapshots(s raft.SnapshotStore, dir string) (uint64, error) {
	list, err := s.List()
	if err != nil {
		return 0, fmt.Errorf("data_dir: list snapshots in %s: %w", dir, err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	_, r, err := s.Open(list[0].ID)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: snapshot %s: %w", dir, ErrCorrupt, list[0].ID, err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, fmt.Errorf("%s: %w: snapshot %s: %w", dir, ErrCorrupt, list[0].ID, err)
	}
	return list[0].Index, nil
}

// openLog opens the log and reads all of it once.
func (d *Dir) openLog(snapshot uint64) (db *raftboltdb.BoltStore, err error) {
	err = guarded(func() error {
		db, err = raftboltdb.New(raftboltdb.Options{
			Path:                    d.log(),
			BoltOptions:             &bbolt.Options{Timeout: openTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
			MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", d.log(), ErrInUse)
	case errors.Is(err, os.ErrPermission), errors.Is(err, errNoSpace), errors.Is(err, errReadOnly):
		return nil, fmt.Errorf("data_dir: open %s: %w", d.log(), err)
	default:
		return nil, fmt.Errorf("%s: %w: %w", d.log(), ErrCorrupt, err)
	}
	if err := guarded(func() error { return readThrough(db, snapshot) }); err != nil {
		if !errors.Is(err, errPanicked) { // else to close would hang on the lock that the panic left held
			err = errors.Join(err, db.Close())
		}
		return nil, fmt.Errorf("%s: %w: %w", d.log(), ErrCorrupt, err)
	}
	return db, nil
}

var errPanicked = errors.New("unreadable page")

// guarded turns the panics of bbolt on damaged pages, and the fault of reading a file that was cut short, into errors.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanicked, r)
		}
	}()
	return f()
}

// readThrough reads each entry and checks that none is missing, up from the snapshot.
func readThrough(db *raftboltdb.BoltStore, snapshot uint64) error {
	first, err := db.FirstIndex()
	if err != nil {
		return fmt.Errorf("first entry: %w", err)
	}
	last, err := db.LastIndex()
	if err != nil {
		return fmt.Errorf("last entry: %w", err)
	}
	if first > snapshot+1 {
		return fmt.Errorf("entries %d to %d are missing", snapshot+1, first-1)
	}
	for i := first; i > 0 && i <= last; i++ {
		var l raft.Log
		if err := db.GetLog(i, &l); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if l.Index != i {
			return fmt.Errorf("entry %d calls itself %d", i, l.Index)
		}
	}
	term, err := db.Get([]byte("CurrentTerm"))
	switch {
	case errors.Is(err, raftboltdb.ErrKeyNotFound):
		if last > 1 { // the first entry may be a bootstrap's, written before the term
			return errors.New("there are entries but no term")
		}
	case err != nil:
		return fmt.Errorf("term: %w", err)
	case len(term) != 8 || binary.BigEndian.Uint64(term) == 0 && last > 1:
		return errors.New("term: not a number")
	}
	return nil
}
