package alert

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

type post struct {
	header http.Header
	body   []byte
	at     time.Time
}

// httpSink answers its nth request with answer(n).
type httpSink struct {
	url     string
	arrived chan struct{}
	mu      sync.Mutex
	posts   []post
}

func newHTTPSink(t *testing.T, answer func(n int) int) *httpSink {
	t.Helper()
	s := &httpSink{arrived: make(chan struct{}, 1000)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		n := len(s.posts)
		s.posts = append(s.posts, post{r.Header.Clone(), b, time.Now()})
		s.mu.Unlock()
		if code := answer(n); code > 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		} else {
			select { // never
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}
		s.arrived <- struct{}{}
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/hook?token=secret-token"
	return s
}

func (s *httpSink) all() []post {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]post(nil), s.posts...)
}

// TestWebhook: what is posted, and that the signature is that of the body.
func TestWebhook(t *testing.T) {
	sink := newHTTPSink(t, func(int) int { return 204 })
	a := running(t, Settings{Webhooks: []vrrp.Webhook{{Name: "ops", URL: sink.url, Secret: "s3cret"}}})
	at := time.Date(2026, 11, 21, 12, 0, 0, 5000, time.UTC)
	a.Transition(Event{Name: "VI_1", From: "BACKUP", To: "MASTER", Priority: 100, Epoch: 7, Cause: "the other is gone", Time: at})
	a.Transition(Event{Group: true, Name: "VG_1", From: "BACKUP", To: "MASTER", Priority: 100, Time: at})
	idle(t, a)
	posts := sink.all()
	if len(posts) != 2 {
		t.Fatalf("%d posts", len(posts))
	}
	var got, group Payload
	if err := json.Unmarshal(posts[0].body, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(posts[1].body, &group); err != nil {
		t.Fatal(err)
	}
	id := got.ID
	got.ID = ""
	if want := (Payload{Node: "lb1", Instance: "VI_1", From: "BACKUP", To: "MASTER", Priority: 100, Epoch: 7, Cause: "the other is gone", Time: at}); got != want {
		t.Errorf("posted %+v, want %+v", got, want)
	}
	if group.Group != "VG_1" || group.Instance != "" || group.Priority != 0 || group.ID == id {
		t.Errorf("posted %+v", group)
	}
	if s := posts[0].header.Get(SignatureHeader); s != Sign("s3cret", posts[0].body) || s == Sign("other", posts[0].body) || len(s) != 71 {
		t.Errorf("signature %q", s)
	}
	if n := a.Counts()["webhook ops"]; n.Sent != 2 || n.Failed != 0 {
		t.Errorf("%+v", n)
	}
}

// TestWebhookTriesAgain: after what may pass, with the same id, and not after a refusal; one that is deaf keeps no other.
func TestWebhookTriesAgain(t *testing.T) {
	flaky := newHTTPSink(t, func(n int) int { return []int{503, 429, 200}[min(n, 2)] })
	refusing := newHTTPSink(t, func(int) int { return 404 })
	moved := newHTTPSink(t, func(int) int { return 302 })
	deaf := newHTTPSink(t, func(int) int { return 0 })
	down := newHTTPSink(t, func(int) int { return 500 })
	a := running(t, Settings{Webhooks: []vrrp.Webhook{
		{Name: "flaky", URL: flaky.url, Retries: 3}, {Name: "refusing", URL: refusing.url, Retries: 3}, {Name: "moved", URL: moved.url, Retries: 3},
		{Name: "deaf", URL: deaf.url, Timeout: 100 * time.Millisecond}, {Name: "down", URL: down.url, Retries: 1},
		{Name: "closed", URL: "http://127.0.0.1:1/?token=secret-token"}, {Name: "bad", URL: "http://[secret-token", Retries: 3},
	}})
	a.Transition(Event{Name: "VI_1", To: "MASTER"})
	idle(t, a)
	for name, want := range map[string]struct {
		sink         *httpSink
		posts        int
		sent, failed uint64
	}{
		"flaky": {flaky, 3, 1, 0}, "refusing": {refusing, 1, 0, 1}, "moved": {moved, 1, 0, 1}, "deaf": {deaf, 1, 0, 1}, "down": {down, 2, 0, 1},
		"closed": {nil, 0, 0, 1}, "bad": {nil, 0, 0, 1},
	} {
		n := a.Counts()["webhook "+name]
		if n.Sent != want.sent || n.Failed != want.failed {
			t.Errorf("%s: %+v", name, n)
		}
		if want.sink != nil && len(want.sink.all()) != want.posts {
			t.Errorf("%s: %d posts", name, len(want.sink.all()))
		}
		if strings.Contains(n.Error, "secret-token") {
			t.Errorf("%s: the error tells a secret: %s", name, n.Error)
		}
	}
	posts := flaky.all()
	if string(posts[0].body) != string(posts[2].body) {
		t.Error("another body in another try")
	}
	if pause := posts[2].at.Sub(posts[1].at); pause < backoffFirst {
		t.Errorf("tried again after %v", pause)
	}
}
