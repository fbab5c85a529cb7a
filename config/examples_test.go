package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExamples: what is shown as an example is good.
func TestExamples(t *testing.T) {
	var files []string
	for _, ext := range []string{"cfg", "hcl"} {
		some, err := filepath.Glob("../examples/*/*." + ext)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, some...)
	}
	if len(files) < 4 {
		t.Fatalf("only %v", files)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ps := Load([]File{{Name: name, Content: text}}); ps.HasErrors() {
			t.Error(ps.Err())
		}
	}
}
