package source

import "testing"

func TestEditsIsADistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"abc", "abc", 0}, {"kitten", "sitting", 3}} {
		if n := edits(c.a, c.b); n != c.n {
			t.Errorf("edits(%q, %q) = %d, want %d", c.a, c.b, n, c.n)
		}
		if edits(c.a, c.b) != edits(c.b, c.a) {
			t.Errorf("edits(%q, %q) is not symmetric", c.a, c.b)
		}
	}
}
