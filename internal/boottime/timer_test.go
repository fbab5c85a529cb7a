package boottime

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fires(t *testing.T, timer *Timer) Time {
	t.Helper()
	select {
	case <-timer.C:
		return Now()
	case <-time.After(10 * time.Second):
		t.Fatal("the timer never fired")
		return 0
	}
}

// TestTimer: it fires at its moment and never before, the newest moment counts, and one that has passed is now.
func TestTimer(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	at := Now().Add(30 * time.Millisecond)
	timer.Set(at)
	if got := fires(t, timer); got.Before(at) {
		t.Errorf("fired %v before its moment", at.Sub(got))
	}
	timer.Set(Now().Add(time.Hour))
	at = Now().Add(20 * time.Millisecond)
	timer.Set(at)
	if got := fires(t, timer); got.Before(at) {
		t.Errorf("after it was set anew it fired %v before its moment", at.Sub(got))
	}
	for _, past := range []Time{0, -5, 1, Now().Add(-time.Second)} {
		timer.Set(past)
		fires(t, timer)
	}
	timer.Set(Now().Add(20 * time.Millisecond))
	timer.Set(Now().Add(time.Hour))
	select {
	case <-timer.C:
		t.Error("a moment that was put off fired")
	case <-time.After(60 * time.Millisecond):
	}
}

// TestTimerClosed: a timer that is closed while it is set neither fires nor leaves its goroutine, and Set is harmless.
func TestTimerClosed(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	timer.Set(Now().Add(10 * time.Millisecond))
	timer.Close()
	timer.Set(Now())
	select {
	case <-timer.C:
		t.Error("it fired after it was closed")
	case <-time.After(30 * time.Millisecond):
	}
}

func BenchmarkTimerSet(b *testing.B) {
	timer, err := NewTimer()
	if err != nil {
		b.Fatal(err)
	}
	defer timer.Close()
	b.ReportAllocs()
	for b.Loop() {
		timer.Set(Now().Add(time.Hour))
	}
}
