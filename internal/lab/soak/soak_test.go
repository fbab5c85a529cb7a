package soak

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

var duration = flag.Duration("soak", 6*time.Second, "how long to soak; `make soak` takes 10m")

func TestMain(m *testing.M) {
	flag.Parse()
	lab.MainWithProgram(m, "github.com/reeve-lb/reeve", "hashicorpmetrics")
}

// What may be left at the end beyond what there was before: connections of pools, buffers that are kept, a collection that
// has not come yet. None of it grows with the time.
const (
	moreDescriptors = 200
	moreGoroutines  = 10
	moreMemory      = 64 << 20
)

// TestSoak: see the package. For a short time it shows that the proxy bears all of this, for a long one that nothing grows.
func TestSoak(t *testing.T) {
	n := lab.New(t)
	r, err := Run(t.Context(), n.Host("box"), Options{Program: lab.Program(), Dir: t.TempDir(), Duration: *duration, Share: .7, Log: t.Logf})
	t.Logf("%d requests at %d a second, %d rude clients, %d changes, %d deaths; before %+v, after %+v, at most %d descriptors; servers went down by %s", r.Requests, r.Rate,
		r.Rude, r.Changes, r.Deaths, r.Before, r.After, most(r.Samples), counts(r.Downs))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Errors {
		t.Error(e)
	}
	if r.Failed > 0 {
		t.Log(r.Said[max(0, len(r.Said)-8000):])
		t.Errorf("%d of %d requests failed: %s; the proxy's log has of them: %s; servers went down by %s", r.Failed, r.Requests+r.Failed,
			counts(r.Seen), counts(r.Logged), counts(r.Downs))
	}
	if want := int64(float64(r.Rate) * duration.Seconds() / 2); r.Requests < want {
		t.Errorf("%d requests were answered, not even half of those asked for", r.Requests)
	}
	seconds := int(duration.Seconds())
	if r.Changes < seconds/2 || r.Deaths < seconds/4 || r.Rude < int64(seconds) {
		t.Errorf("there was not much of a soak: %d changes, %d deaths, %d rude clients", r.Changes, r.Deaths, r.Rude)
	}
	if r.After.Conns > 0 {
		t.Errorf("%d connections are left", r.After.Conns)
	}
	if d := r.After.Descriptors - r.Before.Descriptors; d > moreDescriptors {
		t.Errorf("%d descriptors more than before", d)
	}
	if d := r.After.Goroutines - r.Before.Goroutines; d > moreGoroutines {
		t.Errorf("%d goroutines more than before", d)
	}
	if d := r.After.Resident - r.Before.Resident; d > moreMemory {
		t.Errorf("%d bytes more than before", d)
	}
	steady(t, r.Samples)
}

// steady compares the second quarter of a long run with the last: the first is for pools and buffers to reach their size.
func steady(t *testing.T, samples []Sample) {
	if len(samples) < 60 {
		return
	}
	q := len(samples) / 4
	for _, f := range []struct {
		name  string
		of    func(Sample) float64
		slack float64
	}{
		{"bytes of memory", func(s Sample) float64 { return float64(s.Resident) }, 8 << 20},
		{"descriptors", func(s Sample) float64 { return float64(s.Descriptors) }, 40},
		{"goroutines", func(s Sample) float64 { return float64(s.Goroutines) }, 10},
	} {
		early, late := middle(samples[q:2*q], f.of), middle(samples[3*q:], f.of)
		if late > early*1.1+f.slack {
			t.Errorf("from the second quarter to the last, %s grew from %.0f to %.0f", f.name, early, late)
		}
	}
}

// most is how many descriptors there were at most.
func most(samples []Sample) int {
	n := 0
	for _, s := range samples {
		n = max(n, s.Descriptors)
	}
	return n
}

func middle(samples []Sample, of func(Sample) float64) float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, of(s))
	}
	slices.Sort(v)
	return v[len(v)/2]
}
