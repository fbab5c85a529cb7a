package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// fuzz reads arbitrary bytes as a file of one format: no panic, an answer in time, every problem at a place that exists,
// and what was understood is printed and compared without complaint.
func fuzz(f *testing.F, name string) {
	add := func(path string, e os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == filepath.Ext(name) {
			if b, err := os.ReadFile(path); err == nil {
				f.Add(b)
			}
		}
		return err
	}
	_ = filepath.WalkDir("testdata", add)
	_ = filepath.WalkDir("keepalivedconf/corpus/testdata", add)
	f.Fuzz(func(t *testing.T, content []byte) {
		begin := time.Now()
		d, _, ps := Load([]File{{Name: name, Content: content}})
		for _, p := range ps {
			wantInside(t, p, name, content)
		}
		if len(content) < 10_000 && time.Since(begin) > 5*time.Second {
			t.Errorf("%d bytes took %s", len(content), time.Since(begin))
		}
		if ps.HasErrors() {
			return
		}
		b := WriteHCL(d)
		again, _, ps := Load([]File{{Name: "written.hcl", Content: b}})
		if err := ps.Err(); err != nil {
			t.Fatalf("written HCL is refused: %v\n%s", err, b)
		}
		for _, c := range Diff(d, again) {
			t.Errorf("%s\n%s", c, b)
		}
	})
}

func wantInside(t *testing.T, p source.Problem, name string, content []byte) {
	t.Helper()
	if p.Pos.File != name {
		t.Errorf("%q is in no file", p.Error())
		return
	}
	if p.Pos.Line == 0 { // the file as a whole
		return
	}
	lines := bytes.Split(content, []byte("\n"))
	if p.Pos.Line > len(lines) || p.Pos.Col < 1 || p.Pos.Col > len(lines[p.Pos.Line-1])+1 {
		t.Errorf("%q is outside the file", p.Error())
	}
}

func FuzzHAProxy(f *testing.F)    { fuzz(f, "fuzz.cfg") }
func FuzzKeepalived(f *testing.F) { fuzz(f, "fuzz.conf") }
func FuzzHCL(f *testing.F)        { fuzz(f, "fuzz.hcl") }
