package probe

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// o is a success, x a failure; after each the state that statistics print.
func TestHealthTexts(t *testing.T) {
	cases := []struct {
		rise, fall int
		probes     string
		want       string
	}{
		{2, 3, "x", "DOWN"}, // up until the first check fails
		{2, 3, "oxo", "UP, UP 2/3, UP"},
		{2, 3, "oxxxxoxoo", "UP, UP 2/3, UP 1/3, DOWN, DOWN, DOWN 1/2, DOWN, DOWN 1/2, UP"},
		{1, 1, "oxo", "UP, DOWN, UP"},
		{3, 2, "oxxooo", "UP, UP 1/2, DOWN, DOWN 1/3, DOWN 2/3, UP"},
		{0, 0, "xo", "DOWN, UP"},
	}
	for _, c := range cases {
		h := NewHealth(c.rise, c.fall)
		var got []string
		for _, p := range c.probes {
			was := h.Up()
			changed := h.Take(p == 'o')
			if changed != (was != h.Up()) {
				t.Errorf("%+v: changed %v", c, changed)
			}
			got = append(got, h.String())
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("rise %d fall %d %s:\ngot  %s\nwant %s", c.rise, c.fall, c.probes, s, c.want)
		}
	}
}

func TestReconfigureKeepsTheVerdict(t *testing.T) {
	cases := []struct{ probes, after, want string }{
		{"o", "UP", "UP 4/5"},
		{"", "UP 1/5", "DOWN"},
		{"ox", "UP 1/5", "DOWN"},
		{"x", "DOWN", "DOWN"},
		{"xo", "DOWN", "DOWN"},
	}
	for _, c := range cases {
		h := NewHealth(2, 3)
		for _, p := range c.probes {
			h.Take(p == 'o')
		}
		h.Reconfigure(4, 5)
		after := h.String()
		if h.Take(false); after != c.after || h.String() != c.want {
			t.Errorf("%q: %s, after a failure %s; want %s, %s", c.probes, after, h, c.after, c.want)
		}
	}
}

// It comes up after exactly rise successes in a row and goes down after exactly fall failures in a row of a fully up server.
func TestHealthCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rise, fall := rapid.IntRange(1, 6).Draw(t, "rise"), rapid.IntRange(1, 6).Draw(t, "fall")
		h := NewHealth(rise, fall)
		row, last := 0, true
		for i, ok := range rapid.SliceOfN(rapid.Bool(), 1, 100).Draw(t, "probes") {
			if ok != last {
				row, last = 0, ok
			}
			row++
			was := h.Up()
			h.Take(ok)
			switch {
			case i == 0 && !ok:
				if h.Up() {
					t.Fatal("up after the first check failed")
				}
			case was && h.Up() == (!ok && row >= fall):
				t.Fatalf("up was, %d in a row of %v: %s", row, ok, h)
			case !was && h.Up() != (ok && row >= rise):
				t.Fatalf("down was, %d in a row of %v: %s", row, ok, h)
			}
		}
	})
}
