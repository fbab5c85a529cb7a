package alert

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

// TestMain: the sink of one test is a program in a network of its own.
func TestMain(m *testing.M) { lab.MustEnter(); goleak.VerifyTestMain(m) }

// running starts an alerter that ends with the test.
func running(t *testing.T, s Settings) *Alerter {
	t.Helper()
	a := New(Options{Node: "lb1", Logger: hclog.NewNullLogger()})
	a.Apply(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

func idle(t *testing.T, a *Alerter) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if err := a.Idle(ctx); err != nil {
		t.Fatalf("%v: %+v", err, a.Counts())
	}
}

// slow is a sender that holds its first message until it may go on.
type slow struct {
	gate  chan struct{}
	began chan struct{}
	mu    sync.Mutex
	got   []string
}

func (s *slow) tries() int { return 1 }

func (s *slow) send(ctx context.Context, m message) error {
	s.mu.Lock()
	s.got = append(s.got, m.Name)
	first := len(s.got) == 1
	s.mu.Unlock()
	if first {
		close(s.began)
		select {
		case <-s.gate:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// TestQueue: it never blocks, the oldest give way and are counted, the newest arrive, in order.
func TestQueue(t *testing.T) {
	s := &slow{gate: make(chan struct{}), began: make(chan struct{})}
	c := newCourier("x", s, hclog.NewNullLogger())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.run(ctx) }()
	c.put(message{Event: Event{Name: "0"}})
	<-s.began
	for i := range queueBound + 10 {
		c.put(message{Event: Event{Name: fmt.Sprint(i + 1)}})
	}
	if n := c.count(); n.Dropped != 10 || n.Waiting != queueBound+1 {
		t.Errorf("%+v", n)
	}
	short, stop := context.WithTimeout(ctx, 10*time.Millisecond)
	if err := c.idle(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("idle with messages: %v", err)
	}
	stop()
	close(s.gate)
	if err := c.idle(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	if len(s.got) != queueBound+1 || s.got[1] != "11" || s.got[queueBound] != fmt.Sprint(queueBound+10) {
		t.Errorf("%d arrived: %v ...", len(s.got), s.got[:3])
	}
	if n := c.count(); n.Sent != queueBound+1 || n.Waiting != 0 {
		t.Errorf("%+v", n)
	}
}

func TestMails(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		own, alert, vrrp *bool
		want             bool
	}{
		{nil, nil, nil, false}, {nil, &yes, nil, true}, {nil, &yes, &no, false}, {nil, &no, &yes, true}, {&no, &yes, &yes, false}, {&yes, nil, nil, true},
	} {
		if got := Mails(tc.own, vrrp.Mail{Alert: tc.alert, AlertVRRP: tc.vrrp}); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// TestWhatGoesIsForgotten: an addressee that is no longer configured ends, also while it can't be reached; Idle and Run don't
// wait for it.
func TestWhatGoesIsForgotten(t *testing.T) {
	sink := newHTTPSink(t, func(int) int { return 503 })
	a := running(t, Settings{Webhooks: []vrrp.Webhook{{Name: "gone", URL: sink.url, Retries: 1000}}})
	a.Transition(Event{Name: "VI_1", To: "MASTER"})
	<-sink.arrived
	a.Apply(Settings{})
	idle(t, a)
	if n := a.Counts(); len(n) != 0 {
		t.Errorf("%+v", n)
	}
}
