package keepalivedconf

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
)

// Files is where `include` finds files. Names are paths as filepath.Join makes them of the including file's directory.
type Files interface {
	// Glob lists the names that a pattern of filepath.Match fits, directories and programs too.
	Glob(pattern string) []string
	// Read is the content of a file, at most MaxInclude bytes of it. ErrSkipped: it is no plain file, or may be executed.
	Read(name string) ([]byte, error)
}

// ErrSkipped is what Files.Read says of what `include` passes over: directories, programs, devices.
var ErrSkipped = errors.New("not a plain file without an execute bit")

// MaxInclude is the longest file that is included, in bytes.
const MaxInclude = 8 << 20

// strictness of the variants of include: what has to be there.
var strictness = map[string]struct{ match, wildcard, braces, read bool }{
	"include":  {},
	"includer": {read: true},
	"includem": {match: true},
	"includew": {match: true, wildcard: true},
	"includeb": {match: true, braces: true},
	"includea": {match: true, wildcard: true, braces: true, read: true},
}

// include takes in the files that a line names, if it is an include line.
func (x *expander) include(t text, nesting int) bool {
	i := strings.IndexAny(t.s, blanks)
	if i < 0 || !strings.HasPrefix(t.s, "include") {
		return false
	}
	must, ok := strictness[t.s[:i]]
	if !ok {
		return false
	}
	if nesting > 0 && !x.made(t, t) {
		return true
	}
	pattern := strings.Trim(t.s[i:], blanks)
	at := t.slice(i, len(t.s)).trim().pos(0)
	if x.opts.Files == nil {
		x.ps.Errorf(at, "", "%s can't be included: there are no other files here", tree.Quote(pattern))
		x.ps.As(source.ClassSilent)
		return true
	}
	alternatives := braces(pattern)
	if len(alternatives) > maxOpened {
		x.bomb(at, "%d patterns in one include are too many", len(alternatives))
		return true
	}
	var names []string
	missing := 0
	for _, a := range alternatives {
		path := a
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(x.file()), path)
		}
		found := x.opts.Files.Glob(path)
		slices.Sort(found)
		if len(found) == 0 {
			missing++
		}
		names = append(names, found...)
	}
	wild := strings.ContainsAny(pattern, "*?[")
	x.missing(at, pattern, wild, missing, missing == len(alternatives), must.match && !wild || must.wildcard && wild, must.braces)
	for _, n := range names {
		x.open(n, at, must.read)
	}
	return true
}

// missing says that nothing is there to be included.
func (x *expander) missing(at source.Pos, pattern string, wild bool, n int, all, mustMatch, mustAll bool) {
	switch {
	case n == 0:
	case all && mustMatch || mustAll:
		x.ps.Errorf(at, "", "no file is %s", tree.Quote(pattern))
		x.ps.As(source.ClassInclude)
	case all:
		x.ps.Warnf(at, "", "no file is %s", tree.Quote(pattern))
	}
}

// open reads one included file.
func (x *expander) open(name string, at source.Pos, must bool) {
	x.opened++
	switch {
	case x.stop:
		return
	case len(x.files) > maxDepth:
		x.ps.Errorf(at, "", "files include files, more than %d deep", maxDepth)
		x.ps.As(source.ClassSilent)
		return
	case x.opened > maxOpened:
		x.bomb(at, "more than %d included files", maxOpened)
		return
	}
	content, err := x.opts.Files.Read(name)
	switch {
	case slices.Contains(x.files, name):
		x.ps.Errorf(at, "keepalived reads it again and again until it has no more files", "%s is included by itself", tree.Quote(name))
		return
	case errors.Is(err, ErrSkipped):
		x.ps.Warnf(at, "", "%s is passed over: %s", tree.Quote(name), ErrSkipped)
		if must {
			x.ps.As(source.ClassInclude)
		}
		return
	case err != nil:
		x.ps.Errorf(at, "", "%s can't be read: %s", tree.Quote(name), reason(err))
		x.ps.As(source.ClassSilent)
		if must {
			x.ps.As(source.ClassInclude)
		}
		return
	}
	if !readable(name, content, x.ps) {
		return
	}
	x.read += len(content)
	if x.read > maxRead {
		x.bomb(at, "included files are longer than %d MiB", maxRead>>20)
		return
	}
	x.run(name, string(content))
}

// reason is an error without the path.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// braces is what a pattern with {a,b} in it stands for, in order.
func braces(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	depth, start := 0, open+1
	var parts []string
	for i := open; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '{':
			depth++
		case c == ',' && depth == 1:
			parts = append(parts, pattern[start:i])
			start = i + 1
		case c == '}':
			if depth--; depth == 0 {
				return alternatives(pattern[:open], append(parts, pattern[start:i]), pattern[i+1:])
			}
		}
	}
	return []string{pattern} // no closing brace: the brace is itself
}

func alternatives(head string, parts []string, tail string) []string {
	var out []string
	for _, p := range parts {
		out = append(out, braces(head+p+tail)...)
		if len(out) > maxOpened {
			break
		}
	}
	return out
}
