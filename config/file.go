package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/reeve-lb/reeve/config/keepalivedconf"
	"github.com/reeve-lb/reeve/internal/source"
)

// MaxFileSize is the longest configuration file that is read, in bytes.
const MaxFileSize = 8 << 20

// File is one configuration file, read but not yet understood.
type File struct {
	Name    string // as shown in problems
	Content []byte
	Node    string // "lb1" when the argument was lb1=a.conf; else "", a file of every node
	Format  string // "hcl", "haproxy" or "keepalived"; "": by the suffix of Name

	// Included are the files that a keepalived.conf includes, and Dir is the directory that Name counts from: Load reads
	// no disk, and may be on another machine.
	Included []keepalivedconf.Included
	Dir      string
}

// ReadFiles reads what command line arguments name: a file, node=file, a directory (its *.hcl, *.cfg and *.conf in
// alphabetical order, not deeper), or "-" for standard input (HCL). Everything that can't be read is a problem.
func ReadFiles(args []string) ([]File, source.Problems) {
	var files []File
	var ps source.Problems
	for _, arg := range args {
		node, path := splitNode(arg)
		names, err := expand(path)
		if err != nil {
			ps.Errorf(source.Pos{File: path}, "", "%s", reason(err))
			continue
		}
		for _, name := range names {
			f, err := readFile(name)
			if err != nil {
				ps.Errorf(source.Pos{File: name}, "", "%s", reason(err))
				continue
			}
			f.Node = node
			f.Gather()
			files = append(files, f)
		}
	}
	return files, ps
}

// Gather reads from the disk what a keepalived.conf includes, for whichever config id, into Included. ReadFiles does it;
// it is for those who make a File themselves.
func (f *File) Gather() {
	if as := f.format(); as == "keepalived" || as == "" {
		f.Dir, _ = os.Getwd() // empty: ${_PWD} is relative then
		if keepalivedconf.Includes(f.Content) {
			f.Included = keepalivedconf.Gather(f.Name, f.Content, keepalivedconf.Options{Dir: f.Dir})
		}
	}
}

// splitNode takes the lb1 off lb1=a.conf. A path that exists as it stands is a path.
func splitNode(arg string) (node, path string) {
	node, path, ok := strings.Cut(arg, "=")
	if !ok || node == "" || strings.ContainsAny(node, "/.") {
		return "", arg
	}
	if _, err := os.Stat(arg); err == nil {
		return "", arg
	}
	return node, path
}

// expand turns a directory into its configuration files and leaves everything else alone.
func expand(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".hcl", ".cfg", ".conf":
			if !e.IsDir() {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no *.hcl, *.cfg or *.conf in this directory")
	}
	return names, nil
}

func readFile(name string) (File, error) {
	f, in := File{Name: name}, os.Stdin
	if name == "-" {
		f.Name, f.Format = "<stdin>", "hcl"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return f, err
		}
		defer file.Close()
		in = file
	}
	content, err := io.ReadAll(io.LimitReader(in, MaxFileSize+1))
	if err != nil {
		return f, err
	}
	if len(content) > MaxFileSize {
		return f, fmt.Errorf("longer than %d bytes", MaxFileSize)
	}
	f.Content = content
	return f, nil
}

// reason is the error without the path, which stands in front of the problem already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
