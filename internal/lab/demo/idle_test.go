package demo

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseUse(t *testing.T) {
	stat := []byte("7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 45 0 0 20 0 5 0 1 2 3\n")
	status := []byte("Name:\tx\nVmRSS:\t   20000 kB\nRssAnon:\t    5000 kB\n")
	got, err := parseUse(stat, status)
	if want := (processUse{ticks: 165, rss: 20.48, anon: 5.12}); err != nil || got != want {
		t.Errorf("%+v, %v, not %+v", got, err, want)
	}
	for name, c := range map[string][2]string{
		"short stat": {"7 (a) S 1 2", string(status)}, "no number": {"7 (a) S 1 2 3 4 5 6 7 8 9 10 x 45 0", string(status)}, "no memory": {string(stat), "Name: x\n"},
	} {
		if _, err := parseUse([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestIdleReport(t *testing.T) {
	look := func(ticks uint64, rss float64) []nodeUse {
		return []nodeUse{
			{"lb1", map[int]processUse{1: {ticks: 100 + ticks, rss: rss, anon: 5}, 2: {ticks: 7, rss: 10, anon: 1}}},
			{"lb2", map[int]processUse{3: {ticks: 50 + ticks, rss: 20, anon: 5}}},
		}
	}
	r, err := idleReport(10*time.Second, look(0, 25), look(20, 25))
	if err != nil || r.CPUPercent != 4 || r.Nodes[0] != (Usage{"lb1", 2, 2, 35, 6}) || len(r.Faults()) != 0 {
		t.Errorf("%+v, %v, %v", r, r.Faults(), err)
	}
	var b strings.Builder
	if err := r.Print(&b); err != nil || !strings.Contains(b.String(), "cpu_percent        2    2       2    4") {
		t.Errorf("%v, %s", err, b.String())
	}
	if r, _ = idleReport(10*time.Second, look(0, 50), look(25, 50)); len(r.Faults()) != 2 {
		t.Errorf("5 %% and 60 MB are too much: %v", r.Faults())
	}
	busy, quiet := r, r
	busy.CPUPercent, quiet.CPUPercent = 7, 4.5
	if got := least([]IdleReport{busy, quiet, busy}); got.CPUPercent != 4.5 || !slices.Equal(got.Spans, []float64{7, 4.5, 7}) {
		t.Errorf("the least of three spans is %+v", got)
	}
	after := look(0, 25)
	after[1].procs[9] = processUse{}
	if _, err := idleReport(10*time.Second, look(0, 25), after); err == nil {
		t.Error("a process that came is not noticed")
	}
}
