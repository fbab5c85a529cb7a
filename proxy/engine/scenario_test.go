package engine

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

func TestRoundRobinOrder(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	_, c := named(t, "c")
	for _, tc := range []struct {
		name    string
		weights []int
		want    string
	}{
		{"equal", []int{1, 1}, "ababab"},
		{"three to one", []int{3, 1}, "aaabaaab"},
		{"5:3:2", []int{5, 3, 2}, "abacababac"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			servers := []proxy.Server{a, b, c}[:len(tc.weights)]
			for i, w := range tc.weights {
				servers[i].Weight = w
			}
			s := start(t, proxy.HTTP, servers, nil)
			got := ""
			for range tc.want {
				_, body := s.get("/")
				got += body
			}
			if got != tc.want {
				t.Errorf("order %s, want %s", got, tc.want)
			}
		})
	}
}

func TestKeepAliveAndPool(t *testing.T) {
	conns := make(chan net.Conn, 100)
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })
	_ = conns
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	c := keepAliveClient()
	defer c.CloseIdleConnections()
	for range 50 {
		resp, err := c.Get("http://" + s.addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	row, _ := s.e.Stats().Find("be", "a")
	if row.Connect != 1 || row.Reuse != 49 {
		t.Errorf("%d connections and %d reuses, want 1 and 49", row.Connect, row.Reuse)
	}
	front, _ := s.e.Stats().Find("fe", "FRONTEND")
	if front.ConnTot != 1 || front.ReqTot != 50 || front.Hrsp2xx != 50 {
		t.Errorf("frontend: %+v", front)
	}
}

func TestFailures(t *testing.T) {
	dead := ports.Free(t, "127.0.0.1").String()
	for _, tc := range []struct {
		name   string
		server func(t *testing.T) proxy.Server
		status int
		log    []string
	}{
		{"silent", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) { readHead(r); io.Copy(io.Discard, r) })
		}, 504, []string{"be/s", " sH-- ", " 504 "}},
		{"closes", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) { readHead(r) })
		}, 502, []string{"be/s", " SH-- "}},
		{"resets", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) { readHead(r); c.(*net.TCPConn).SetLinger(0) })
		}, 502, []string{"be/s", " SH-- "}},
		{"garbage", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) { readHead(r); io.WriteString(c, "what is this\n\n") })
		}, 502, []string{"be/s", " PH-- "}},
		{"bad chunk", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
			})
		}, 502, []string{"be/s", " PH-- "}},
		{"truncates", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
			})
		}, 200, []string{"be/s", " SD-- "}},
		{"stalls", func(t *testing.T) proxy.Server {
			return rawServer(t, "s", func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
				io.Copy(io.Discard, r)
			})
		}, 200, []string{"be/s", " sD-- "}},
		{"refuses", func(t *testing.T) proxy.Server { return target("s", dead) }, 503, []string{"be/s", " SC-- ", "/1 0/0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, proxy.HTTP, []proxy.Server{tc.server(t)}, func(c *proxy.Config) {
				c.Backends[0].Timeouts.Server = 300 * time.Millisecond
				c.Backends[0].Retries = 1
			})
			resp, _ := s.get("/x")
			if resp.StatusCode != tc.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
			}
			s.want(append(tc.log, `"GET /x HTTP/1.1"`)...)
		})
	}
}

func TestRedispatch(t *testing.T) {
	_, a := named(t, "a")
	b := target("b", ports.Free(t, "127.0.0.1").String())
	s := start(t, proxy.HTTP, []proxy.Server{b, a}, func(c *proxy.Config) {
		c.Backends[0].Retries, c.Backends[0].Redispatch = 1, -1
	})
	begin := time.Now()
	resp, body := s.get("/")
	if resp.StatusCode != 200 || body != "a" || time.Since(begin) > 300*time.Millisecond {
		t.Errorf("%d %q after %v", resp.StatusCode, body, time.Since(begin))
	}
	s.want("be/a", "/+1 0/0")
	row, _ := s.e.Stats().Find("be", "BACKEND")
	if row.WRedis != 1 {
		t.Errorf("wredis %d", row.WRedis)
	}
}

func TestPipelining(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path+"\n") })
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	out := s.raw("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	i, j, k := strings.Index(out, "/1\n"), strings.Index(out, "/2\n"), strings.Index(out, "/3\n")
	if i < 0 || j < i || k < j {
		t.Fatalf("answers out of order: %q", out)
	}
	for _, p := range []string{"/1", "/2", "/3"} {
		s.want(`"GET ` + p)
	}
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.ConnTot != 1 {
		t.Errorf("%d connections", row.ConnTot)
	}
}
