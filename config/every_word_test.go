package config

import (
	"os"
	"testing"
)

// TestEveryWordInBothSpellings: a file with every word of keepalived's VRRP side, and the same in HCL as it was read by
// hand.
func TestEveryWordInBothSpellings(t *testing.T) {
	d, _, ps := load(t, "every-word/keepalived.conf")
	for _, p := range ps {
		t.Errorf("%v", p)
	}
	wantEqual(t, mustLoad(t, "every-word/site.hcl"), d)
	want, err := os.ReadFile("testdata/every-word/site.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if got := WriteHCL(d); string(got) != string(want) {
		t.Errorf("written as\n%s", got)
	}
}
