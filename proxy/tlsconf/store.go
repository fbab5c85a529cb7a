package tlsconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// maxFile bounds what is read of one file: a CA bundle is a quarter of a megabyte.
const maxFile = 16 << 20

// Store is where the files of TLS come from. What was put into it by name takes the place of the file of that name. It
// also has the keys that session tickets are sealed with. Safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	put     map[string]stored
	puts    int64
	keys    []TicketKey
	renewed time.Time // when keys was made; zero: set from outside
}

// NewStore makes a Store in whose place of no file anything stands, with a ticket key of its own.
func NewStore() *Store {
	s := &Store{put: map[string]stored{}}
	s.renew(time.Now())
	return s
}

// stamp tells one state of a file from another; the zero stamp is a file that is not there.
type stamp struct {
	mod    time.Time
	size   int64
	inode  uint64
	number int64 // of Put
}

func (s *Store) stamp(name string) stamp {
	if c, ok := s.stored(name); ok {
		return stamp{number: c.number}
	}
	return fileStamp(name)
}

func fileStamp(name string) stamp {
	st, err := os.Stat(name)
	if err != nil {
		return stamp{}
	}
	out := stamp{mod: st.ModTime(), size: st.Size()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		out.inode = sys.Ino
	}
	return out
}

// reading remembers which files have been read and how they were, those too that were looked for in vain.
type reading struct {
	store *Store
	dirs  dirs
	seen  map[string]stamp
	crts  map[string]*certificate // a file is read once
}

func (s *Store) reading(d dirs) *reading {
	return &reading{store: s, dirs: d, seen: map[string]stamp{}, crts: map[string]*certificate{}}
}

// changed looks whether a file is not as it was.
func (r *reading) changed() bool {
	for name, was := range r.seen {
		if r.store.stamp(name) != was {
			return true
		}
	}
	return false
}

// in completes a relative name.
func in(base, name string) string {
	if base == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(base, name)
}

func (r *reading) exists(name string) bool {
	r.seen[name] = r.store.stamp(name)
	return r.seen[name] != stamp{}
}

// file reads one file.
func (r *reading) file(name string) ([]byte, error) {
	r.seen[name] = r.store.stamp(name)
	if c, ok := r.store.stored(name); ok {
		return c.content, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	case st.Size() > maxFile:
		return nil, fmt.Errorf("%s is larger than 16 MiB", name)
	}
	b := make([]byte, st.Size())
	n, err := f.ReadAt(b, 0)
	if err != nil && int64(n) < st.Size() {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	return b, nil
}

// cause is an error without the name of the file, which is told already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
