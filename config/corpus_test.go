package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestKeepalivedCorpusSurvives: every file of the corpus, one feature or mistake each, gives a Document that is whole, as
// the personality reads it, and that HCL holds.
func TestKeepalivedCorpusSurvives(t *testing.T) {
	files, err := filepath.Glob("keepalivedconf/corpus/testdata/*.conf")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, _, ps := Load([]File{{Name: filepath.Base(name), Content: content}}, Options{Tolerant: true, VRRPOnly: true})
		if ps.HasErrors() {
			continue
		}
		if ps := Validate(d); ps.HasErrors() {
			t.Errorf("%s: what is left of it is not whole: %v", name, ps.Err())
		}
		b := WriteHCL(d)
		again, _, ps := Load([]File{{Name: "written.hcl", Content: b}})
		if err := ps.Err(); err != nil {
			t.Errorf("%s: written HCL is refused: %v\n%s", name, err, b)
		}
		for _, c := range Diff(d, again) {
			t.Errorf("%s: %s\n%s", name, c, b)
		}
	}
}
