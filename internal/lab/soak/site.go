package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// server answers requests, and can be killed and raised again at the same address.
type server struct {
	box  *lab.Host
	addr string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

// bigAnswer is what /big gets: more than sockets hold for a client that does not read.
var bigAnswer = []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 8<<20, strings.Repeat("x", 8<<20)))

var smallAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

func (s *server) raise() error {
	l, err := s.box.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.listener, s.conns = l, map[net.Conn]struct{}{}
	s.mu.Unlock()
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			alive := s.listener == l
			if alive {
				s.conns[c] = struct{}{}
			}
			s.mu.Unlock()
			if !alive {
				c.Close()
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	return nil
}

// kill closes everything at once, as the end of a process does.
func (s *server) kill() {
	s.mu.Lock()
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, 2048)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		for rest := line; rest != "\r\n"; {
			if rest, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		answer := smallAnswer
		if strings.Contains(line, " /big ") {
			answer = bigAnswer
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

const proxyAddr, secondAddr = "127.0.0.1:8080", "127.0.0.1:8090"

// conf is the n-th configuration: weights change with each, servers and an address come and go. At least three of the four
// servers are in it, of which one at a time is dead: there always is one to answer, and a request that met a death is
// asked again elsewhere.
func conf(servers []*server, n int) string {
	var b strings.Builder
	b.WriteString(`global
    maxconn 2000
    nbthread 2
defaults
    mode http
    log ` + logAddr + ` local0
    option httplog
    timeout connect 1s
    timeout client 2s
    timeout server 5s
    timeout http-request 2s
    timeout http-keep-alive 5s
    timeout queue 5s
    timeout check 5s
    retries 3
    option redispatch 1
    retry-on all-retryable-errors
    option forwardfor
frontend web
    bind ` + proxyAddr + `
    default_backend app
backend app
    balance roundrobin
`)
	for i, s := range servers {
		if n%5 == 1 && i == n/5%len(servers) {
			continue
		}
		fmt.Fprintf(&b, "    server s%d %s weight %d maxconn 100 check inter 300 fall 2 rise 1 pool-purge-delay 1s\n", i, s.addr, 1+(n+i)%3)
	}
	if n%4 > 1 {
		fmt.Fprintf(&b, "frontend other%d\n    bind %s\n    default_backend app\n", n%8, secondAddr)
	}
	return b.String()
}

// rude are the clients that nobody wants: each opens a connection and misbehaves once.
var rude = []func(context.Context, net.Conn){
	func(ctx context.Context, c net.Conn) { // a head by drops
		for _, x := range []byte("GET / HTTP/1.1\r\nHost: slow.example\r\nX-Slow: yes\r\n") {
			if _, err := c.Write([]byte{x}); err != nil || !pause(ctx, 100*time.Millisecond) {
				return
			}
		}
	},
	func(ctx context.Context, c net.Conn) { // asks for much and reads nothing
		io.WriteString(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
		pause(ctx, 4*time.Second)
	},
	func(ctx context.Context, c net.Conn) { // resets before the answer
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.(*net.TCPConn).SetLinger(0)
	},
	func(ctx context.Context, c net.Conn) { // resets within an answer
		io.WriteString(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
		io.ReadFull(c, make([]byte, 100_000))
		c.(*net.TCPConn).SetLinger(0)
	},
	func(ctx context.Context, c net.Conn) { // no HTTP
		junk := make([]byte, rand.IntN(30_000))
		for i := range junk {
			junk[i] = byte(rand.Uint32())
		}
		c.Write(junk)
		io.Copy(io.Discard, c)
	},
	func(ctx context.Context, c net.Conn) { // a head without end
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n")
		for range 100 {
			if _, err := io.WriteString(c, "X-Filler: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
				return
			}
		}
		io.Copy(io.Discard, c)
	},
	func(ctx context.Context, c net.Conn) { // a body that is promised and does not come
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab")
		pause(ctx, 3*time.Second)
	},
	func(ctx context.Context, c net.Conn) { pause(ctx, 3*time.Second) }, // says nothing
	func(ctx context.Context, c net.Conn) { // closes its half
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	},
	func(ctx context.Context, c net.Conn) { // many requests at once, and no patience
		io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 50))
	},
}

// pause waits, or less when ctx ends: then it is false.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
