package engine

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/compress"
)

func compressing(algos ...string) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Frontends[0].Compression = &proxy.Compression{Algos: algos} }
}

// dripping answers in pieces, each when the test says so.
func dripping(t *testing.T, pieces chan string) proxy.Server {
	return rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for p := range pieces {
			fmt.Fprintf(c, "%x\r\n%s\r\n", len(p), p)
		}
		io.WriteString(c, "0\r\n\r\n")
	})
}

// TestSlowAnswersArriveInTime: each piece of a slow answer is with the client before the server sends the next, whatever
// the coding and the protocol.
func TestSlowAnswersArriveInTime(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		for _, algo := range []string{"gzip", "deflate", "br", "zstd"} {
			t.Run(version+" "+algo, func(t *testing.T) {
				pieces := make(chan string)
				s := start(t, proxy.HTTP, []proxy.Server{dripping(t, pieces)}, compressing(algo))
				client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
				if version == "HTTP/2" {
					client = h2Client(t)
				}
				defer client.CloseIdleConnections()
				req, _ := http.NewRequest("GET", "http://"+s.addr+"/", nil)
				req.Header.Set("Accept-Encoding", algo)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.Header.Get("Content-Encoding") != algo {
					t.Fatalf("%v", resp.Header)
				}
				go func() { pieces <- "first, " }()
				r := decoding(t, algo, resp.Body)
				for _, next := range []string{"second, ", "third", ""} {
					got := make([]byte, len("first, "))
					if next == "third" {
						got = make([]byte, len("second, "))
					}
					if next == "" {
						got = make([]byte, len("third"))
					}
					if _, err := io.ReadFull(r, got); err != nil {
						t.Fatalf("%q: %v", got, err)
					}
					if next != "" {
						pieces <- next
					}
				}
				close(pieces)
				if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
					t.Errorf("%q more: %v", rest, err)
				}
			})
		}
	}
}

// decoding reads what a coding has made.
func decoding(t *testing.T, algo string, r io.Reader) io.Reader {
	t.Helper()
	for _, d := range decoders {
		if d.as == map[string]string{"deflate": "zlib"}[algo] || d.as == algo {
			out, err := d.open(r)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	t.Fatal(algo)
	return nil
}

// TestCurlUnpacks: the real client takes every coding that it knows, of an answer larger than all buffers.
func TestCurlUnpacks(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789 the same again and again\n"), 60000)
	server := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		}
		w.Write(text)
	})
	s := start(t, proxy.HTTP, []proxy.Server{server}, compressing("br", "zstd", "gzip", "deflate"))
	for _, version := range []string{"--http1.1", "--http2-prior-knowledge"} {
		for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
			for _, path := range []string{"/length", "/chunks"} {
				out, err := exec.Command("curl", "-sS", version, "--compressed", "-H", "Accept-Encoding: "+coding, "-w", "%{stderr}%{size_download}", "http://"+s.addr+path).Output()
				if err != nil || sha256.Sum256(out) != sha256.Sum256(text) {
					t.Errorf("curl %s %s %s: %d bytes of %d, %v", version, coding, path, len(out), len(text), err)
				}
			}
		}
	}
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.CompRsp != 16 || row.CompIn != 16*uint64(len(text)) || row.CompOut == 0 || row.CompOut > row.CompIn/10 {
		t.Errorf("%d answers, %d bytes of %d", row.CompRsp, row.CompOut, row.CompIn)
	}
}

// TestCutAnswersAreCut: a server that dies in the middle leaves the client with an answer that has no end.
func TestCutAnswersAreCut(t *testing.T) {
	server := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
	})
	s := start(t, proxy.HTTP, []proxy.Server{server}, compressing("gzip"))
	out := s.raw("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
	if !strings.Contains(out, "content-encoding: gzip") || strings.HasSuffix(out, "0\r\n\r\n") {
		t.Errorf("%q", out)
	}
	s.want(" SD-- ")
	if n := s.encoders(); n != 0 {
		t.Errorf("%d encoders are lost", n)
	}
}

// encoders is how many are lent.
func (s *site) encoders() (n int) {
	for _, l := range s.e.loops {
		done := make(chan struct{})
		l.post(func() { n += l.encoders.Used(); close(done) })
		<-done
	}
	return n
}

// gzipped asks and tells whether the answer was compressed; the body is left open.
func gzipped(t *testing.T, s *site) (bool, *http.Response) {
	t.Helper()
	c := s.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Get("Content-Encoding") == "gzip", resp
}

// TestEncodersAreBounded: when as many answers are being compressed as may be, the next goes out as it is; when one of them
// ends the next is compressed again.
func TestEncodersAreBounded(t *testing.T) {
	release := make(chan struct{})
	server := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		compressing("gzip")(c)
		c.Global.Compression.Memory = 2 * compress.Cost >> 20 // for two
	})
	var open []*http.Response
	for i, want := range []bool{true, true, false, false} {
		is, resp := gzipped(t, s)
		if is != want {
			t.Errorf("answer %d is compressed: %t", i, is)
		}
		open = append(open, resp)
	}
	for range open {
		release <- struct{}{}
	}
	for i, resp := range open {
		body, err := io.ReadAll(resp.Body)
		if i < 2 {
			r, zerr := gzip.NewReader(bytes.NewReader(body))
			if zerr != nil {
				t.Fatal(zerr)
			}
			body, err = io.ReadAll(r)
		}
		if string(body) != "hello" || err != nil {
			t.Errorf("answer %d: %q, %v", i, body, err)
		}
	}
	if is, _ := gzipped(t, s); !is {
		t.Error("nothing is compressed any more")
	}
	close(release)
}

// TestCompressionRate: above maxcomprate answers go out as they are.
func TestCompressionRate(t *testing.T) {
	server := handler(t, "a", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 40000)) })
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		compressing("gzip")(c)
		c.Global.Compression.Rate = 30
	})
	n := 0
	for range 20 {
		is, resp := gzipped(t, s)
		io.Copy(io.Discard, resp.Body)
		if is {
			n++
		}
	}
	if n == 0 || n > 10 {
		t.Errorf("%d of 20 answers of 40 kB are compressed at 30 kB a second", n)
	}
}

// TestCompressedAnswersAllocateNothing holds a kept connection's answers to that.
func TestCompressedAnswersAllocateNothing(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{rawServer(t, "a", pingPong)}, func(c *proxy.Config) {
		compressing("gzip")(c)
		c.Frontends[0].Log = nil
	})
	ask := strings.Replace(benchRequest, "Accept: */*", "Accept-Encoding: gzip", 1)
	if per := allocationsPer(t, s, ask, "0\r\n\r\n"); per > 0.1 {
		t.Errorf("%.3f allocations an answer", per)
	}
}

// allocationsPer is how much is allocated for a request on a kept connection; its answer ends in end.
func allocationsPer(t *testing.T, s *site, ask, end string) float64 {
	t.Helper()
	c := s.dial()
	req, buf := []byte(ask), make([]byte, 4096)
	once := func() {
		if _, err := c.Write(req); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(end) || string(buf[got-len(end):got]) != end; {
			n, err := c.Read(buf[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}
	for range 200 {
		once()
	}
	return float64(mallocs(func() {
		for range 3000 {
			once()
		}
	})) / 3000
}

// TestClientsThatLeaveGiveEncodersBack.
func TestClientsThatLeaveGiveEncodersBack(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 1<<20))
		<-hold
	}))
	defer server.Close()
	defer close(hold)
	s := start(t, proxy.HTTP, []proxy.Server{target("a", server.Listener.Addr().String())}, compressing("gzip"))
	is, _ := gzipped(t, s)
	if !is || s.encoders() != 1 {
		t.Fatalf("compressed %t, %d encoders", is, s.encoders())
	}
	c := s.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
	bufio.NewReader(c).ReadByte()
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	for end := time.Now().Add(5 * time.Second); s.encoders() > 1; time.Sleep(5 * time.Millisecond) { // by the reset, or when it writes
		if time.Now().After(end) {
			t.Fatal("the encoder of a client that left is not given back")
		}
	}
}
