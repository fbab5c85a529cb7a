package engine

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// TestQUICClientGivesUp: a client that cancels, or breaks its request off, has ended it at the server too; the connection
// goes on.
func TestQUICClientGivesUp(t *testing.T) {
	arrived, gone := make(chan bool, 1), make(chan bool, 1)
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		arrived <- true
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		gone <- true
	})}, nil)
	client, _ := s.h3Client(nil)
	t.Run("cancels", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := client.RoundTrip(s.request("GET", "/wait", nil).WithContext(ctx))
			done <- err
		}()
		<-arrived
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		<-gone
		s.want(" be/a ", " CH-- ", `"GET /wait HTTP/3.0"`)
	})
	t.Run("breaks off", func(t *testing.T) {
		body, content := io.Pipe()
		done := make(chan error, 1)
		go func() {
			resp, err := client.RoundTrip(s.request("POST", "/wait", body))
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		io.WriteString(content, "half of it")
		<-arrived
		content.CloseWithError(errors.New("broken off"))
		<-gone
		if err := <-done; err == nil {
			t.Error("the request went through")
		}
		s.want(" be/a ", " C", `"POST /wait HTTP/3.0"`)
	})
	if resp, _ := s.do(client, s.request("GET", "/", nil)); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
	s.want(" 200 ", " ---- ")
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.CliAbrt != 2 || row.ConnTot != 1 {
		t.Errorf("%+v", row)
	}
}

// TestQUICServerFails: what a server does wrong is an answer with the status that says so, or a reset where it has begun, as
// one of a request that was given up (RFC 9114 section 4.1.1).
func TestQUICServerFails(t *testing.T) {
	mute := rawServer(t, "mute", func(c net.Conn, r *bufio.Reader) { readHead(r) })
	junk := rawServer(t, "junk", func(c net.Conn, r *bufio.Reader) { readHead(r); io.WriteString(c, "junk\r\n\r\n") })
	slow := rawServer(t, "slow", func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	half := rawServer(t, "half", func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
	})
	dead := target("dead", ports.Free(t, "127.0.0.1").String())
	for _, c := range []struct {
		server proxy.Server
		status int
		flags  string
	}{{mute, 502, " SH-- "}, {junk, 502, " PH-- "}, {slow, 504, " sH-- "}, {dead, 503, " SC-- "}, {half, 200, " SD-- "}} {
		t.Run(c.server.Name, func(t *testing.T) {
			s := startQUIC(t, []proxy.Server{c.server}, func(cfg *proxy.Config) {
				cfg.Backends[0].Retries, cfg.Backends[0].Timeouts.Server = 0, 300*time.Millisecond
			})
			client, _ := s.h3Client(nil)
			resp, err := client.RoundTrip(s.request("GET", "/", nil))
			if err == nil { // else the reset has overtaken what came before
				defer resp.Body.Close()
				var b []byte
				if b, err = io.ReadAll(resp.Body); resp.StatusCode != c.status {
					t.Errorf("%d %q", resp.StatusCode, b)
				}
			}
			var reset *http3.Error
			if cut := errors.As(err, &reset) && reset.Remote && reset.ErrorCode == http3.ErrCodeRequestCanceled; cut != (c.status == 200) {
				t.Errorf("the answer ended with %v", err)
			}
			s.want(" be/"+c.server.Name+" ", c.flags)
		})
	}
}

// TestQUICTimeouts: a connection that idles is closed in the loop's time, a client that does not read is cut off.
func TestQUICTimeouts(t *testing.T) {
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			w.Write(make([]byte, 32<<20))
		}
	})}, func(c *proxy.Config) {
		c.Frontends[0].Timeouts.HTTPKeepAlive, c.Frontends[0].Timeouts.Client = 300*time.Millisecond, 600*time.Millisecond
	})
	client, conn := s.h3Client(nil)
	resp, err := client.RoundTrip(s.request("GET", "/big", nil))
	if err != nil {
		t.Fatal(err)
	}
	s.want(" be/a ", " cD-- ", ` "GET /big HTTP/3.0"`)
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.Body.Close(); err == nil {
		t.Error("the whole answer came")
	}
	begin := time.Now()
	if resp, _ := s.do(client, s.request("GET", "/", nil)); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
	select {
	case <-conn.Context().Done():
		if d := time.Since(begin); d < 300*time.Millisecond {
			t.Errorf("closed after %v", d)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the connection idles for ever")
	}
	var end *quic.ApplicationError
	if err := context.Cause(conn.Context()); !errors.As(err, &end) || end.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
		t.Errorf("closed with %v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		row, _ := s.e.Stats().Find("fe", "FRONTEND")
		if row.SCur == 0 && row.ConnTot == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", row)
		}
	}
}

// TestQUICDrain: a node that stops refuses who comes, at once; it tells its clients, and lets requests under way end.
func TestQUICDrain(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			io.WriteString(w, "begin ")
			http.NewResponseController(w).Flush()
			arrived <- true
			<-release
		}
		io.WriteString(w, strings.Repeat("x", 100000))
	})}, nil)
	idle, idleConn := s.h3Client(nil)
	s.do(idle, s.request("GET", "/", nil))
	client, conn := s.h3Client(nil)
	slow := make(chan string, 1)
	go func() {
		_, body := s.do(client, s.request("GET", "/slow", nil))
		slow <- body
	}()
	<-arrived
	drained := s.drain()
	<-idleConn.Context().Done()
	if !s.refuses() {
		t.Error("a new connection is not refused")
	}
	if conn.Context().Err() != nil {
		t.Error("a request under way was cut")
	}
	if _, err := client.RoundTrip(s.request("GET", "/", nil)); err == nil {
		t.Error("a new request is taken")
	}
	release <- true
	if body := <-slow; body != "begin "+strings.Repeat("x", 100000) {
		t.Errorf("%d bytes of the answer", len(body))
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestQUICApply: an address that is taken away lets its requests end and can be given back; one that stays goes on with its
// connections.
func TestQUICApply(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- true
			<-release
		}
		io.WriteString(w, "a")
	})}, nil)
	apply := func(c proxy.Config) {
		t.Helper()
		if ps := s.e.CanRun(c); len(ps) > 0 {
			t.Errorf("can't run: %v", ps)
		}
		if ps := s.e.Apply(c); len(ps) > 0 {
			t.Fatal(ps)
		}
	}
	client, conn := s.h3Client(nil)
	s.do(client, s.request("GET", "/", nil))
	apply(s.cfg)
	s.do(client, s.request("GET", "/", nil))
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.ConnTot != 1 || conn.Context().Err() != nil {
		t.Errorf("an apply that changes nothing: %+v", row)
	}
	slow := make(chan string, 1)
	go func() {
		_, body := s.do(client, s.request("GET", "/slow", nil))
		slow <- body
	}()
	<-arrived
	off := s.cfg
	off.Global.QUIC.Disabled = true
	apply(off)
	if !s.refuses() {
		t.Error("no-quic: a new connection is not refused")
	}
	release <- true
	if body := <-slow; body != "a" {
		t.Errorf("the request under way: %q", body)
	}
	apply(s.cfg)
	again, _ := s.h3Client(nil)
	if _, body := s.do(again, s.request("GET", "/", nil)); body != "a" {
		t.Errorf("given back: %q", body)
	}
}
