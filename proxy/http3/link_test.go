package http3

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// linked joins a link to a server of HTTP/2 that is not ours.
func linked(t *testing.T, h http.HandlerFunc) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	l := newLink(near, func() {})
	var work sync.WaitGroup
	work.Go(func() { srv.Serve(listener) })
	work.Go(l.write)
	work.Go(l.read)
	t.Cleanup(func() {
		l.close()
		srv.Close()
		work.Wait()
	})
	return l
}

// reader is a client that keeps what it gets.
type reader struct {
	status           int
	fields, trailers http.Header
	body             bytes.Buffer
}

func (r *reader) head(h *head) error {
	to := http.Header{}
	for _, f := range h.fields {
		to.Add(f.Name, f.Value)
	}
	if h.status == 0 {
		r.trailers = to
	} else {
		r.status, r.fields = h.status, to
	}
	return nil
}

func (r *reader) content(p []byte) error {
	r.body.Write(p)
	return nil
}

func (r *reader) SetReadDeadline(time.Time) error  { return nil }
func (r *reader) SetWriteDeadline(time.Time) error { return nil }

// ask takes a request through a link as the library's handler does.
func ask(l *link, r *http.Request) (*reader, error) {
	w := &reader{}
	c := &connection{link: l}
	x, err := c.request(w, r)
	if err != nil {
		return nil, err
	}
	defer c.work.Wait()
	defer x.finish()
	return w, x.answer(w)
}

// TestLink: messages go through to a server of HTTP/2 and back, larger than all windows and heads longer than a frame.
func TestLink(t *testing.T) {
	l := linked(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.Host+r.RequestURI+" "+r.Header.Get("X-Long")+" "+strings.Join(r.Header["X-Twice"], "+")+" "+r.Trailer.Get("X-More"))
		w.Header().Set("Trailer", "X-Sum")
		w.Write(b)
		w.Header().Set("X-Sum", "42")
	})
	long := strings.Repeat("a", 40000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			body := bytes.Repeat([]byte("0123456789"), 100_000)
			r := httptest.NewRequest("POST", "https://a.example/path?q", bytes.NewReader(body))
			r.Proto = "HTTP/3.0"
			r.Header = http.Header{"X-Long": {long}, "X-Twice": {"1", "2"}}
			r.Trailer = http.Header{"X-More": {"yes"}}
			r.RequestURI = "/path?q"
			w, err := ask(l, r)
			if err != nil {
				t.Error(err)
				return
			}
			if w.status != 200 || w.fields.Get("X-Seen") != "POST a.example/path?q "+long+" 1+2 yes" || !bytes.Equal(w.body.Bytes(), body) ||
				w.trailers.Get("X-Sum") != "42" {
				t.Errorf("%d, %d bytes, %.100v, %v", w.status, w.body.Len(), w.fields, w.trailers)
			}
		})
	}
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) != 0 || l.handlers != 0 {
		t.Errorf("%d streams and %d handlers are left", len(l.open), l.handlers)
	}
}

// slowReader is a client that takes no content until it is let.
type slowReader struct {
	reader
	let chan bool
}

func (r *slowReader) content(p []byte) error {
	<-r.let
	return r.reader.content(p)
}

// TestLinkHoldsBack: of an answer that nobody reads no more is kept than the window.
func TestLinkHoldsBack(t *testing.T) {
	wrote := make(chan int, 1000)
	l := linked(t, func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			w.Write(make([]byte, 10000))
			http.NewResponseController(w).Flush()
			wrote <- 10000
		}
	})
	w := &slowReader{let: make(chan bool)}
	r := httptest.NewRequest("GET", "https://a.example/", nil)
	r.Proto, r.RequestURI, r.ContentLength = "HTTP/3.0", "/", 0
	c := &connection{link: l}
	x, err := c.request(w, r)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		defer x.finish()
		done <- x.answer(w)
	}()
	sum := 0
	for quiet := false; !quiet; {
		select {
		case n := <-wrote:
			sum += n
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	if most := 2*answerWindow + 20000; sum > most { // the window, and what the writer holds
		t.Errorf("%d bytes of an answer went ahead, want at most %d", sum, most)
	}
	close(w.let)
	if err := <-done; err != nil || w.body.Len() != 1_000_000 {
		t.Errorf("%d bytes, %v", w.body.Len(), err)
	}
}

// TestLinkEnds: with the link end the requests on it, and those that come later are known to have been seen by nobody.
func TestLinkEnds(t *testing.T) {
	arrived := make(chan bool)
	l := linked(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-r.Context().Done()
	})
	request := func() *http.Request {
		r := httptest.NewRequest("GET", "https://a.example/", nil)
		r.Proto, r.RequestURI, r.ContentLength = "HTTP/3.0", "/", 0
		return r
	}
	done := make(chan error, 1)
	go func() {
		_, err := ask(l, request())
		done <- err
	}()
	<-arrived
	l.close()
	if err := <-done; !errors.Is(err, errEnded) {
		t.Errorf("under way: %v", err)
	}
	<-l.idle
	if _, err := ask(l, request()); !errors.Is(err, errRejected) {
		t.Errorf("too late: %v", err)
	}
}
