package keepalivedconf

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// Included is a file that another one includes, as Gather found it.
type Included struct {
	Name    string `json:"name"`
	Content []byte `json:"content,omitempty"`
	Error   string `json:"error,omitempty"` // why it can't be read
	Skipped bool   `json:"skipped,omitempty"`
}

// Collected are files that were read before: Files without a disk.
type Collected []Included

// Glob implements Files.
func (c Collected) Glob(pattern string) []string {
	var out []string
	for _, f := range c {
		if ok, err := filepath.Match(pattern, f.Name); ok && err == nil || f.Name == pattern {
			out = append(out, f.Name)
		}
	}
	return out
}

// Read implements Files.
func (c Collected) Read(name string) ([]byte, error) {
	i := slices.IndexFunc(c, func(f Included) bool { return f.Name == name })
	switch {
	case i < 0:
		return nil, os.ErrNotExist
	case c[i].Skipped:
		return nil, ErrSkipped
	case c[i].Error != "":
		return nil, fmt.Errorf("%s", c[i].Error)
	}
	return c[i].Content, nil
}

// maxConditions bounds how many config ids of one file are tried by Gather.
const maxConditions = 64

// Gather reads from the disk what a file includes, whichever config id its conditions compare with, so that the whole can
// be understood later and elsewhere. Nothing is said about what is missing; Read does that.
func Gather(file string, content []byte, opts Options) []Included {
	d := &disk{seen: map[string]int{}}
	opts.Files = d
	ids := []string{"\x00", opts.ConfigID} // the first is nobody's
	for i := 0; i < len(ids) && i < maxConditions; i++ {
		opts.ConfigID = ids[i]
		var ps source.Problems
		x := expander{opts: opts, ps: &ps, vars: map[string][]text{}}
		x.condition = func(id string) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		x.run(file, string(content))
	}
	return d.read
}

// disk is the machine's files; it keeps what was asked for.
type disk struct {
	read []Included
	seen map[string]int
	size int
}

// Glob implements Files.
func (d *disk) Glob(pattern string) []string {
	names, _ := filepath.Glob(pattern)
	if len(names) == 0 {
		if _, err := os.Lstat(pattern); err == nil {
			names = []string{pattern}
		}
	}
	if len(names) > maxOpened+1 {
		names = names[:maxOpened+1]
	}
	return names
}

// Read implements Files.
func (d *disk) Read(name string) ([]byte, error) {
	i, ok := d.seen[name]
	if !ok {
		i = len(d.read)
		d.seen[name] = i
		d.read = append(d.read, d.open(name))
	}
	return Collected(d.read[i : i+1]).Read(name)
}

func (d *disk) open(name string) Included {
	f := Included{Name: name}
	st, err := os.Stat(name)
	switch {
	case err != nil:
		f.Error = reason(err)
		return f
	case !st.Mode().IsRegular() || st.Mode()&0o111 != 0:
		f.Skipped = true
		return f
	case d.size+int(st.Size()) > MaxInclude || len(d.read) > maxOpened:
		f.Error = "there are too many included files, or they are too long"
		return f
	}
	file, err := os.Open(name)
	if err == nil {
		defer file.Close()
		f.Content, err = io.ReadAll(io.LimitReader(file, MaxInclude))
	}
	if err != nil {
		f.Error = reason(err)
	}
	d.size += len(f.Content)
	return f
}

// Includes reports whether a file may have an include line: cheap, and wrong only by saying yes.
func Includes(content []byte) bool { return strings.Contains(string(content), "include") }
