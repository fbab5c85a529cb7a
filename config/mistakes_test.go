package config

import (
	"os"
	"strings"
	"testing"
)

// TestTenMistakes: all that is wrong in a file is told at once, each at its line and column. The golden file holds the
// problems of the three spellings; it is read by hand line by line.
func TestTenMistakes(t *testing.T) {
	golden, err := os.ReadFile("testdata/ten-mistakes.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(golden)), "\n")
	var got []string
	for _, name := range []string{"ten-mistakes.cfg", "ten-mistakes.conf", "ten-mistakes.hcl"} {
		content, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, ps := parseText(t, name, string(content))
		n := 0
		for _, p := range ps {
			got = append(got, p.Error())
			if p.Severity.String() == "error" {
				n++
			}
		}
		if n < 10 {
			t.Errorf("%s: %d errors, want at least 10", name, n)
		}
	}
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("problem %d:\n got %s\nwant %s", i+1, g, w)
		}
	}
}
