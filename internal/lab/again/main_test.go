package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab/stolen"
)

func read(t *testing.T, lines ...string) (*record, string) {
	t.Helper()
	var out strings.Builder
	r := newRecord(&out)
	if err := r.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

// TestRecord: what passes is silent, what fails is told with its output, and whose fault it is is known by its name.
func TestRecord(t *testing.T) {
	r, out := read(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"run","Package":"p","Test":"TestB"}`,
		`{"Action":"run","Package":"p","Test":"TestB/x"}`,
		`{"Action":"output","Package":"p","Test":"TestB/x","Output":"why\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestB/x"}`,
		`{"Action":"fail","Package":"p","Test":"TestB"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\tp\t1s\n"}`,
		`{"Action":"fail","Package":"p"}`)
	if len(r.failed) != 1 || r.failed[0].test != "TestB" || len(r.broken) != 0 || out != "why\nFAIL\tp\t1s\n" {
		t.Errorf("%+v %q", r, out)
	}
	r, out = read(t, `not json`, `{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: x\n"}`, `{"Action":"fail","Package":"p"}`)
	if len(r.failed) != 0 || !slices.Equal(r.broken, []string{"p"}) || out != "not json\npanic: x\n" {
		t.Errorf("%+v %q", r, out)
	}
}

// TestRaces: what the race detector reports is no matter of the machine's load.
func TestRaces(t *testing.T) {
	n := 0
	fake := func(_ context.Context, _ []string, each func(io.Reader) error) error {
		n++
		return each(strings.NewReader(`{"Action":"run","Package":"p","Test":"T"}
{"Action":"output","Package":"p","Test":"T","Output":"WARNING: DATA RACE\n"}
{"Action":"fail","Package":"p","Test":"T"}
{"Action":"fail","Package":"p"}`))
	}
	good, err := run(t.Context(), io.Discard, fake, []string{"-shared", "./p"})
	if good || err != nil || n != 1 {
		t.Errorf("good %v after %d runs (%v)", good, n, err)
	}
}

// TestRepeats: a failure is excused by what the host took, and by nothing else, and not for ever.
func TestRepeats(t *testing.T) {
	for _, tc := range []struct {
		name  string
		taken []float64 // at each failure
		fails int       // how often it fails
		flag  string
		good  bool
		runs  int
	}{
		{"good", nil, 0, "", true, 0},
		{"bad on a calm machine", []float64{0}, 1, "", false, 0},
		{"good the second time", []float64{50}, 1, "", true, 1},
		{"bad once the machine is calm", []float64{50, 2}, 2, "", false, 1},
		{"never good", []float64{50, 50, 50, 50, 50}, 9, "", false, 3},
		{"good alone", []float64{0}, 1, "-shared", true, 1},
		{"bad alone", []float64{0, 0}, 2, "-shared", false, 1},
	} {
		var asked []string
		n := 0
		fake := func(_ context.Context, args []string, each func(io.Reader) error) error {
			if n++; n > 1 {
				asked = append(asked, strings.Join(args, " "))
			}
			action := "fail"
			if n > tc.fails {
				action = "pass"
			}
			return each(strings.NewReader(fmt.Sprintf(`{"Action":"run","Package":"p","Test":"T"}
{"Action":"%s","Package":"p","Test":"T"}
{"Action":"%s","Package":"p"}`, action, action)))
		}
		good, runs := false, 0
		func() {
			old := look
			defer func() { look = old }()
			calls := 0
			look = func() (stolen.Processors, error) {
				calls++
				p := stolen.Processors{}
				if calls%2 == 0 && calls/2 <= len(tc.taken) {
					p = stolen.Of(1000, uint64(tc.taken[calls/2-1]*10))
				}
				return p, nil
			}
			var err error
			if good, err = run(t.Context(), io.Discard, fake, append(strings.Fields(tc.flag), "-count=1", "./p")); err != nil {
				t.Fatal(err)
			}
			runs = len(asked)
		}()
		if good != tc.good || runs != tc.runs {
			t.Errorf("%s: good %v after %d repeats, want %v after %d", tc.name, good, runs, tc.good, tc.runs)
		}
		if runs > 0 && asked[0] != "-count=1 -run ^T$ p" {
			t.Errorf("%s: asked %q", tc.name, asked[0])
		}
	}
}

// TestParts: of a test whose parts ran side by side only those that failed are run again, each by itself, and one that then
// does not run at all is not good.
func TestParts(t *testing.T) {
	for name, second := range map[string]struct {
		action string
		good   bool
	}{
		"good alone":  {`{"Action":"run","Package":"p","Test":"%s"}`, true},
		"not there":   {`{"Action":"output","Package":"p","Output":"testing: warning: no tests to run"}`, false},
		"bad as well": {`{"Action":"run","Package":"p","Test":"%s"}` + "\n" + `{"Action":"fail","Package":"p","Test":"T"}`, false},
	} {
		var asked []string
		fake := func(_ context.Context, args []string, each func(io.Reader) error) error {
			if asked == nil {
				asked = []string{}
				return each(strings.NewReader(`{"Action":"run","Package":"p","Test":"T"}
{"Action":"run","Package":"p","Test":"T/a"}
{"Action":"run","Package":"p","Test":"T/b"}
{"Action":"run","Package":"p","Test":"T/b/c"}
{"Action":"fail","Package":"p","Test":"T/b/c"}
{"Action":"fail","Package":"p","Test":"T/b"}
{"Action":"pass","Package":"p","Test":"T/a"}
{"Action":"fail","Package":"p","Test":"T"}`))
			}
			asked = append(asked, strings.Join(args, " "))
			line := second.action
			if strings.Contains(line, "%s") {
				line = fmt.Sprintf(line, "T/b")
			}
			return each(strings.NewReader(`{"Action":"run","Package":"p","Test":"T"}` + "\n" + line))
		}
		good, err := run(t.Context(), io.Discard, fake, []string{"-shared", "-count=1", "./p"})
		if err != nil || good != second.good || !slices.Equal(asked, []string{"-count=1 -run ^T$/^b$ p"}) {
			t.Errorf("%s: good %v, %v, asked %q", name, good, err, asked)
		}
	}
}
