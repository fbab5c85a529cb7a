package lab

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Web is an HTTP server on a host. It answers every request with its name and a newline, status 200. Safe for concurrent
// use.
type Web struct {
	// Addr is where it listens, with the port it got when it asked for port 0.
	Addr string

	name  string
	down  atomic.Bool
	hits  atomic.Int64
	serve http.Server
	done  chan struct{}
	once  sync.Once
}

// Web starts an HTTP server on the host that answers with the host's name; addr is "ip:port" or ":port". It ends with the
// host, or by Close.
func (h *Host) Web(addr string) (*Web, error) {
	l, err := h.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &Web{Addr: l.Addr().String(), name: h.name, done: make(chan struct{})}
	w.serve.Handler = w
	w.serve.ReadHeaderTimeout, w.serve.IdleTimeout = 10*time.Second, time.Minute
	go func() {
		defer close(w.done)
		_ = w.serve.Serve(l) // ends by Close
	}()
	h.atClose(w.Close)
	return w, nil
}

// ServeHTTP answers with the name, or 503 while the server is set down.
func (w *Web) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	w.hits.Add(1)
	rw.Header().Set("Content-Type", "text/plain")
	if w.down.Load() {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(rw, w.name)
}

// Hits counts the requests it got.
func (w *Web) Hits() int64 { return w.hits.Load() }

// SetDown makes it answer 503, or 200 again.
func (w *Web) SetDown(down bool) { w.down.Store(down) }

// Close ends the server and its connections and waits for it. A second call does nothing.
func (w *Web) Close() {
	w.once.Do(func() {
		_ = w.serve.Close() // the listener is gone either way
		<-w.done
	})
}

// Echo starts a UDP server on the host that answers every datagram with the host's name, from the address it was asked
// at, so that a client sees which host a virtual address led it to. It ends with the host.
func (h *Host) Echo(port int) error {
	c, err := h.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return err
	}
	conn := c.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	var optErr error
	err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1) })
	if err = errors.Join(err, optErr); err != nil {
		return errors.Join(fmt.Errorf("host %s: echo: %w", h.name, err), conn.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.echo(conn)
	}()
	h.atClose(func() {
		_ = conn.Close()
		<-done
	})
	return nil
}

func (h *Host) echo(conn *net.UDPConn) {
	buf, oob := make([]byte, 2048), make([]byte, 128)
	for {
		_, n, _, from, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		answerFrom := oob[:0]
		// The kernel takes back the very message it gave: struct in_pktinfo names the interface and the local address.
		if msgs, err := unix.ParseSocketControlMessage(oob[:n]); err == nil && len(msgs) == 1 {
			answerFrom = oob[:n]
		}
		_, _, _ = conn.WriteMsgUDPAddrPort([]byte(h.name), answerFrom, from) // the client's timeout tells a loss
	}
}
