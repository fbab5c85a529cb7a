package engine

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// long is a body that counts as long, and its checksum.
func long(n int) ([]byte, string) {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(b)
	return b, fmt.Sprintf("%x", sha256.Sum256(b))
}

// pipes are those that the loops have made, and those of them that are free.
func (s *site) pipes() (made, free int) {
	for _, l := range s.e.loops {
		done := make(chan struct{})
		l.post(func() { made += l.pipesMade; free += len(l.pipes); close(done) })
		<-done
	}
	return made, free
}

// TestLongStreams: bytes both ways, in order and counted to the last, and they did go through a pipe.
func TestLongStreams(t *testing.T) {
	body, sum := long(8<<20 + 12345)
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		h := sha256.New()
		io.Copy(h, r)
		fmt.Fprintf(c, "%x", h.Sum(nil))
		c.Write(body)
	})
	s := start(t, proxy.TCP, []proxy.Server{h}, nil)
	c := s.dial()
	if _, err := c.Write(body); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || len(got) != 64+len(body) || string(got[:64]) != sum || !bytes.Equal(got[64:], body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	s.want(fmt.Sprintf(" %d -- ", 64+len(body)))
	row, _ := s.e.Stats().Find("be", "a")
	if row.BIn != uint64(len(body)) || row.BOut != uint64(64+len(body)) {
		t.Errorf("bin %d bout %d", row.BIn, row.BOut)
	}
	if made, free := s.pipes(); made == 0 || free != made {
		t.Errorf("%d pipes made, %d of them free", made, free)
	}
}

// TestLongBodies: requests and answers of a known length, several on one connection.
func TestLongBodies(t *testing.T) {
	body, sum := long(4 << 20)
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		io.Copy(h, r.Body)
		w.Header().Set("Sum", fmt.Sprintf("%x", h.Sum(nil)))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	k := keepAliveClient()
	defer k.CloseIdleConnections()
	for range 3 {
		resp, err := k.Post("http://"+s.addr+"/", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.Header.Get("Sum") != sum || !bytes.Equal(got, body) {
			t.Fatalf("sum %s, %d bytes, %v", resp.Header.Get("Sum"), len(got), err)
		}
		s.want(" 200 ", " ---- ")
	}
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.ConnTot != 1 {
		t.Errorf("%d connections for one client", row.ConnTot)
	}
	if made, free := s.pipes(); made == 0 || free != made {
		t.Errorf("%d pipes made, %d of them free", made, free)
	}
}

// TestMorePipesThanThereAre: streams that find no pipe are copied.
func TestMorePipesThanThereAre(t *testing.T) {
	body, _ := long(1 << 20)
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) { c.Write(body) })
	s := startLoops(t, 1, proxy.TCP, []proxy.Server{h}, nil)
	done := make(chan struct{})
	l := s.e.loops[0]
	l.post(func() { l.pipesMade += maxPipes; close(done) })
	<-done
	if got := s.raw(""); got != string(body) {
		t.Errorf("%d bytes", len(got))
	}
	l.post(func() { l.pipesMade -= maxPipes })
}

// TestBrokenLongStreams: a client that reads no more, or leaves, costs its own pipe and nothing else.
func TestBrokenLongStreams(t *testing.T) {
	body, _ := long(1 << 20)
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := c.Write(body); err != nil {
				return
			}
		}
	})
	patient := ports.Free(t, "127.0.0.1")
	s := start(t, proxy.TCP, []proxy.Server{h}, func(c *proxy.Config) {
		c.Frontends = append(c.Frontends, c.Frontends[0])
		c.Frontends[0].Timeouts.Client = 300 * time.Millisecond
		c.Frontends[1].Name, c.Frontends[1].Binds = "patient", []proxy.Bind{{Addr: patient}}
		c.Frontends[1].Timeouts.Client = time.Minute // whoever reads may be slow at it
	})
	before := descriptors(t)
	s.dial() // reads nothing
	s.addr = patient.String()
	c := s.dial()
	c.SetDeadline(time.Now().Add(time.Minute))
	if n, err := io.CopyN(io.Discard, c, 20<<20); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	c.Close()
	lines := s.logs.next(t) + s.logs.next(t)
	for _, what := range []string{` fe be/a .* cD `, ` patient be/a .* CD `} {
		if !regexp.MustCompile(what).MatchString(lines) {
			t.Errorf("no %q in %q", what, lines)
		}
	}
	if made, free := s.pipes(); free != made {
		t.Errorf("%d pipes made, %d of them free", made, free)
	}
	for end := time.Now().Add(5 * time.Second); descriptors(t) > before+2+2*maxPipes; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors, %d before", descriptors(t), before)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
