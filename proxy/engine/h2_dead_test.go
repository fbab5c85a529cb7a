package engine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/proxy"
)

// Connections of HTTP/2 whose other side stops taking or saying anything, in whole or by half.

// framing is a server that speaks HTTP/2 frame by frame: the first connection as first has it, the others answer 200.
func framing(t *testing.T, first func(*http2.Framer)) (_ proxy.Server, conns *atomic.Int32) {
	conns = &atomic.Int32{}
	s := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		if _, err := io.ReadFull(r, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, r)
		if conns.Add(1) == 1 {
			first(f)
			return
		}
		f.WriteSettings()
		answerFrames(f, nil)
	})
	s.Proto = proxy.H2Proto
	return s, conns
}

// endless is a body.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.n.Add(1)
	return len(p), nil
}

// stalls returns when nobody has taken any of it for a while: that something does not go on no event tells.
func (e *endless) stalls(while time.Duration) {
	for last := int64(-1); last != e.n.Load(); time.Sleep(while) {
		last = e.n.Load()
	}
}

// answerFrames answers 200 to each request that no function takes, until the connection ends.
func answerFrames(f *http2.Framer, take func(http2.Frame) bool) {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if take != nil && take(frame) {
			continue
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			f.WriteSettingsAck()
		}
		h := frame.Header()
		if (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true}) // :status 200
		}
	}
}

// TestH2ServerTakesNothing: a server that does not take what is for it is given up after `timeout server`, although no
// request is there any more to whom it could have happened; who comes then is served over another connection.
func TestH2ServerTakesNothing(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	server, conns := framing(t, func(f *http2.Framer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		f.WriteWindowUpdate(0, 1<<30)
		<-end
	})
	const limit = time.Second
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Backends[0].Timeouts.Server = limit })
	ctx, cancel := context.WithCancel(context.Background())
	var body endless
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/", &body)
	done := make(chan struct{})
	client := h2Client(t)
	go func() {
		defer close(done)
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	body.stalls(limit / 5)
	cancel()
	<-done
	s.want("POST", " CH-- ")
	resp, _ := s.get("/")
	if resp.StatusCode != 200 {
		t.Errorf("%d, want 200 by another connection", resp.StatusCode)
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestH2ServerFallsSilent: a connection on which nothing has come while a request waited in vain gets no other request.
func TestH2ServerFallsSilent(t *testing.T) {
	server, conns := framing(t, func(f *http2.Framer) {
		f.WriteSettings()
		answerFrames(f, func(f http2.Frame) bool { return f.Header().StreamID > 1 })
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Backends[0].Timeouts.Server = 500 * time.Millisecond })
	for i, want := range []int{200, 504, 200, 200} {
		if resp, _ := s.get("/"); resp.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i, resp.StatusCode, want)
		}
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestH2ServerGoesAway: requests that wait for a stream on a connection that takes no more are not forgotten.
func TestH2ServerGoesAway(t *testing.T) {
	server, conns := framing(t, func(f *http2.Framer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		answerFrames(f, func(frame http2.Frame) bool {
			if frame.Header().Type == http2.FrameHeaders {
				f.WriteGoAway(0, http2.ErrCodeNo, nil)
				return true
			}
			return false
		})
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	r := s.h2raw()
	for id := uint32(1); id < 10; id += 2 {
		r.get(id, "/")
	}
	for range 5 {
		s.want(" be/a ", " 200 ")
	}
	if n := conns.Load(); n < 2 {
		t.Errorf("%d connections", n)
	}
}

// TestH2AnswerAndEnd: an answer that came in full is passed on in full, although the server closes with it, or will not have
// the rest of what it was sent (RFC 9113 section 8.1).
func TestH2AnswerAndEnd(t *testing.T) {
	whole := request("GET /", "Connection: close")
	half := request("POST /", "Connection: close", "Content-Length: 10") + "half "
	for name, c := range map[string]struct {
		request string
		resets  bool // the stream, and does not close
	}{
		"closes":               {whole, false},
		"closes amid the body": {half, false},
		"resets amid the body": {half, true},
	} {
		t.Run(name, func(t *testing.T) {
			asked, answer := make(chan struct{}), make(chan struct{})
			server := rawServer(t, "a", func(conn net.Conn, r *bufio.Reader) {
				if _, err := io.ReadFull(r, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				var out bytes.Buffer
				f := http2.NewFramer(&out, r)
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if id := frame.Header().StreamID; frame.Header().Type == http2.FrameHeaders {
						asked <- struct{}{}
						<-answer
						f.WriteSettings()
						f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true})
						f.WriteData(id, true, []byte("all of it"))
						if c.resets {
							f.WriteRSTStream(id, http2.ErrCodeNo)
						}
						conn.Write(out.Bytes())
						if !c.resets {
							conn.(*net.TCPConn).CloseWrite()
						}
						answer <- struct{}{}
						io.Copy(io.Discard, r)
						return
					}
				}
			})
			server.Proto = proxy.H2Proto
			s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
			out := make(chan string)
			go func() { out <- s.raw(c.request) }()
			<-asked
			release := s.holdLoops() // so that the answer and the end are seen at once
			answer <- struct{}{}
			<-answer
			release()
			if text := <-out; !strings.HasPrefix(text, "HTTP/1.1 200 ") || !strings.Contains(text, "all of it") || !strings.HasSuffix(text, "\r\n0\r\n\r\n") {
				t.Errorf("%q", text)
			}
			s.want(" 200 ", " ---- ")
		})
	}
}

// TestH2ClientHalfCloses: a client that closes its sending side gets what it has asked for in full; a request that was not
// complete ends.
func TestH2ClientHalfCloses(t *testing.T) {
	server, in, gate := gated(t)
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	r := s.h2raw()
	r.get(1, "/slow")
	<-in
	r.head(3, false, ":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/slow")
	<-in
	r.get(5, "/slow")
	<-in
	r.c.(*net.TCPConn).CloseWrite()
	s.want(`"POST /slow HTTP/2.0"`, " CH-- ")
	close(gate)
	for range 2 {
		s.want(`"GET /slow HTTP/2.0"`, " 200 ", " ---- ")
	}
	status := map[uint32]string{}
	for {
		f, err := r.f.ReadFrame()
		if err != nil {
			break
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			status[h.StreamID] = h.PseudoValue("status")
		}
	}
	if fmt.Sprint(status) != "map[1:200 5:200]" {
		t.Errorf("answers %v", status)
	}
}

// TestH2ClientLeavesAltogether: one that has closed both sides is noticed at once, and its requests end at the server.
func TestH2ClientLeavesAltogether(t *testing.T) {
	in, gone := make(chan struct{}, 2), make(chan struct{}, 2)
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		in <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})}, func(c *proxy.Config) { c.Backends[0].Timeouts.Server = time.Minute })
	r := s.h2raw()
	r.until(func(f http2.Frame) bool { s, ok := f.(*http2.SettingsFrame); return ok && s.IsAck() }) // else closing would reset at once
	r.get(1, "/")
	<-in
	r.c.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the server works on for nobody")
	}
	s.want(" 400 ", " CH-- ")
}

// TestH2AbortOnClose: with the option a client that closes its sending side has given up.
func TestH2AbortOnClose(t *testing.T) {
	server, in, gate := gated(t)
	defer close(gate)
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Backends[0].AbortOnClose = true })
	r := s.h2raw()
	r.get(1, "/slow")
	<-in
	r.c.(*net.TCPConn).CloseWrite()
	if line := s.want(" 400 ", " CH-- "); !strings.Contains(line, "/slow") {
		t.Errorf("%s", line)
	}
}
