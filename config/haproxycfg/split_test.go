package haproxycfg

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/internal/source"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line  string
		words []string
		cols  []int
	}{
		{"  bind *:80\tname x", []string{"bind", "*:80", "name", "x"}, []int{3, 8, 13, 18}},
		{"a # b", []string{"a"}, []int{1}},
		{"a#b", []string{"a"}, []int{1}},
		{`a\#b`, []string{"a#b"}, []int{1}},
		{`'a b'c "d e"`, []string{"a bc", "d e"}, []int{1, 8}},
		{`a\ b \\ \' \"`, []string{"a b", `\`, "'", `"`}, []int{1, 6, 9, 12}},
		{`\d \1 \.`, []string{`\d`, `\1`, `\.`}, []int{1, 4, 7}},
		{`"\x41\n\t\$x"`, []string{"A\n\t$x"}, []int{1}},
		{`'\x41'`, []string{`\x41`}, []int{1}},
		{`a\`, []string{`a\`}, []int{1}},
		{"", nil, nil},
	} {
		var ps source.Problems
		got := Split(c.line, source.Pos{File: "f", Line: 1, Col: 1}, true, &ps)
		if len(ps) > 0 {
			t.Errorf("%q: %v", c.line, ps)
		}
		var ws []string
		var cols []int
		for _, w := range got {
			ws, cols = append(ws, w.Text), append(cols, w.Pos.Col)
		}
		if !slices.Equal(ws, c.words) || !slices.Equal(cols, c.cols) {
			t.Errorf("%q: %q at %v, want %q at %v", c.line, ws, cols, c.words, c.cols)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for line, want := range map[string]string{
		`a "b`:    "f:1:3: error: unmatched quote",
		`a 'b`:    "f:1:3: error: unmatched quote",
		`a "$x"`:  `f:1:4: error: variables are not supported yet (write \$ for the sign itself)`,
		`a b\xg0`: `f:1:4: error: bad escape (two hexadecimal digits follow \x)`,
		`a "" b`:  "f:1:3: error: empty word (it would hide the rest of the line)",
	} {
		var ps source.Problems
		Split(line, source.Pos{File: "f", Line: 1, Col: 1}, true, &ps)
		if len(ps) != 1 || ps[0].Error() != want {
			t.Errorf("%q: %v, want %s", line, ps, want)
		}
	}
}

func TestSplitUndoesJoin(t *testing.T) {
	word := rapid.StringMatching(`[ -~äß\t\r\n]{1,12}`)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(word, 0, 6).Draw(t, "words")
		var ps source.Problems
		line := Join(want...)
		var got []string
		for _, w := range Split(line, source.Pos{Line: 1, Col: 1}, true, &ps) {
			got = append(got, w.Text)
		}
		if len(ps) > 0 || !slices.Equal(got, want) {
			t.Fatalf("%q became %q by way of %q: %v", want, got, line, ps)
		}
	})
}
