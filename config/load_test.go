package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/source"
)

// load reads files of testdata; an argument may carry a node, as on the command line.
func load(t *testing.T, args ...string) (Document, Node, source.Problems) {
	t.Helper()
	for i, a := range args {
		if node, path, ok := strings.Cut(a, "="); ok {
			args[i] = node + "=" + filepath.Join("testdata", path)
		} else {
			args[i] = filepath.Join("testdata", a)
		}
	}
	files, ps := ReadFiles(args)
	if len(ps) > 0 {
		t.Fatalf("reading: %v", ps)
	}
	return Load(files)
}

// mustLoad wants no errors; warnings are fine.
func mustLoad(t *testing.T, args ...string) Document {
	t.Helper()
	d, _, ps := load(t, args...)
	if err := ps.Err(); err != nil {
		t.Fatalf("%v:\n%v", args, err)
	}
	return d
}

// parseText reads content as a file of that name.
func parseText(t *testing.T, name, content string) (Document, source.Problems) {
	t.Helper()
	d, _, ps := Load([]File{{Name: name, Content: []byte(content)}})
	return d, ps
}

func wantEqual(t *testing.T, got, want Document) {
	t.Helper()
	for _, c := range Diff(want, got) {
		t.Errorf("differs: %s", c)
	}
}

func TestThreeSpellingsAreEqual(t *testing.T) {
	dialects := mustLoad(t, "lb1=classic-pair/lb1.conf", "lb2=classic-pair/lb2.conf", "classic-pair/haproxy.cfg")
	native := mustLoad(t, "classic-pair/site.hcl")
	wantEqual(t, dialects, native)
	if len(dialects.Proxy.Backends) != 3 || len(dialects.Checks) != 4 || len(dialects.Nodes) != 2 {
		t.Errorf("backends %d, checks %d, nodes %d: want 3, 4, 2", len(dialects.Proxy.Backends), len(dialects.Checks), len(dialects.Nodes))
	}
}

func TestWrittenHCLReadsBackEqual(t *testing.T) {
	for _, args := range corpus(t) {
		d, _, ps := load(t, args...)
		if ps.HasErrors() {
			continue
		}
		b := WriteHCL(d)
		again, ps := parseText(t, "written.hcl", string(b))
		if err := ps.Err(); err != nil {
			t.Errorf("%v: written HCL is refused: %v\n%s", args, err, b)
		}
		wantEqual(t, again, d)
	}
}

// corpus is every file of testdata, and the pair.
func corpus(t *testing.T) [][]string {
	t.Helper()
	out := [][]string{{"lb1=classic-pair/lb1.conf", "lb2=classic-pair/lb2.conf", "classic-pair/haproxy.cfg"}}
	err := filepath.WalkDir("testdata", func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(path, "fuzz") {
			switch filepath.Ext(path) {
			case ".cfg", ".conf", ".hcl":
				out = append(out, []string{strings.TrimPrefix(path, "testdata/")})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
