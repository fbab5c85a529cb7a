package tlsconf

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// What is put in the place of a file stands there until it is taken back, whatever becomes of the file meanwhile: all nodes
// of a cluster put the same and have files of their own, which somebody may change on one of them alone.

// stored is what stands in the place of a file.
type stored struct {
	content []byte
	number  int64
	seen    stamp // the file itself, as Overtaken saw it last
}

var errSize = errors.New("a certificate needs a name and at most 16 MiB")

// Put lets content (PEM: certificate, chain and key) stand in place of the file name from the next Refresh on. It is refused
// if it would be no good as a certificate.
func (s *Store) Put(name string, content []byte) error {
	if name == "" || len(content) > maxFile {
		return errSize
	}
	if _, err := parseCertificate(name, content, nil, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(name, content)
	return nil
}

// set puts, unless the same stands there already; mu is held.
func (s *Store) set(name string, content []byte) {
	if was, there := s.put[name]; there && bytes.Equal(was.content, content) {
		return
	}
	s.puts++
	s.put[name] = stored{content: bytes.Clone(content), number: s.puts}
}

// PutAll lets these stand in place of the files of their names, and of no others. What is no good shows at Refresh.
func (s *Store) PutAll(all map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.put, func(name string, _ stored) bool { _, still := all[name]; return !still })
	for name, content := range all {
		s.set(name, content)
	}
}

// Remove takes back what Put said; the file counts again. It reports whether there was anything.
func (s *Store) Remove(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.put[name]
	delete(s.put, name)
	return there
}

func (s *Store) stored(name string) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.put[name]
	return c, ok
}

// Check says what speaks against showing content in place of the file name, and what there is in it. A certificate whose
// time is over, or has not come, is refused: nobody puts one by intention.
func Check(name string, content []byte, now time.Time) (Certificate, source.Problems) {
	var ps source.Problems
	if name == "" || len(content) > maxFile {
		ps.Errorf(source.Pos{}, "", "%v", errSize)
		return Certificate{}, ps
	}
	c, err := parseCertificate(name, content, nil, nil)
	if err != nil {
		ps.Errorf(source.Pos{}, "", "%v", err)
		return Certificate{}, ps
	}
	switch {
	case now.After(c.leaf.NotAfter):
		ps.Errorf(source.Pos{}, "", "%s: the certificate ended on %s", name, c.leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.leaf.NotBefore):
		ps.Errorf(source.Pos{}, "is this machine's clock right?", "%s: the certificate begins on %s", name, c.leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return c.describe(), ps
}

// CheckFile says why a file could not count if nothing stood in its place, or nil.
func CheckFile(name string) error {
	_, err := bare().certificate(name)
	return err
}

// bare reads files that nothing stands in place of.
func bare() *reading { return (&Store{}).reading(dirs{}) }

// Uncovered are the names of a certificate that another one, which is to take its place, is not good for.
func Uncovered(was, by Certificate) []string {
	return slices.DeleteFunc(slices.Clone(was.Names), func(name string) bool {
		return slices.ContainsFunc(by.Names, func(n string) bool {
			rest, wild := strings.CutPrefix(n, "*")
			dot := strings.IndexByte(name, '.')
			return n == name || wild && dot > 0 && name[dot:] == rest
		})
	})
}

var (
	// ErrNoCertificate: nothing that is served comes from a file of that name.
	ErrNoCertificate = errors.New("no bind serves a certificate from a file of that name")
	// ErrSeveral: the last part of a path is not enough.
	ErrSeveral = errors.New("several files are called that")
)

// Find is the one of the files that a name means: the file's path (the first slash may be left out), or its last part where
// that is enough. Files may be listed twice.
func Find(files []string, name string) (string, error) {
	var last []string
	for _, f := range files {
		if f == name || f == "/"+name {
			return f, nil
		}
		if filepath.Base(f) == name && !slices.Contains(last, f) {
			last = append(last, f)
		}
	}
	switch len(last) {
	case 0:
		return "", fmt.Errorf("%q: %w", name, ErrNoCertificate)
	case 1:
		return last[0], nil
	}
	return "", fmt.Errorf("%q: %w: %q", name, ErrSeveral, last)
}

// Ahead is the file that a name will mean once a bind names it: the whole path, whose first slash may be left out. Nothing but
// a whole path will do, so that a slip in a short name is not kept for ever.
func Ahead(name string) (file string, ok bool) {
	if !strings.Contains(name, "/") || strings.HasSuffix(name, "/") {
		return "", false
	}
	return filepath.Clean("/" + name), true
}

// Overtaken warns of files that have a certificate which ends later than the one that stands in their place: somebody has
// renewed the file, and it does not count. Each state of a file is told once.
func (s *Store) Overtaken() source.Problems {
	s.mu.Lock()
	all := maps.Clone(s.put)
	s.mu.Unlock()
	var ps source.Problems
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, now := all[name], fileStamp(name)
		if now == was.seen {
			continue
		}
		s.mu.Lock()
		if c, there := s.put[name]; there && c.number == was.number {
			c.seen = now
			s.put[name] = c
		}
		s.mu.Unlock()
		file, err := bare().certificate(name)
		put, perr := parseCertificate(name, was.content, nil, nil)
		if err != nil || perr != nil || !file.leaf.NotAfter.After(put.leaf.NotAfter) {
			continue
		}
		ps.Warnf(source.Pos{}, "`reeve certificate remove "+name+"` lets the file count again",
			"%s: the file has a certificate that ends later (%s) than the one that was set in its place (%s), which is shown",
			name, file.leaf.NotAfter.UTC().Format(time.RFC3339), put.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return ps
}
