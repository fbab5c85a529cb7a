package engine

import (
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/http3"
)

// quicPlace is what a client over QUIC has here: its loop, and the memory that http3 keeps for it, which counts among what
// the loop's connections and requests may take. It implements http3.Place.
type quicPlace struct {
	l *loop
	g *group

	mu    sync.Mutex // of goroutines of http3's, and of the loop when it grants
	kept  int64      // counted in loop.quicKept
	grown int64      // of it, for larger windows
	asked bool       // for more; the loop has it in its mail
	left  bool
}

// Arrive implements http3.Host: the loops take turns.
func (h *quicHost) Arrive() (http3.Place, error) {
	e := h.e
	p := &quicPlace{l: e.loops[int(e.quicTurn.Add(1))%len(e.loops)], g: h.g}
	// What else the loop has spoken for is looked at when the handshake is through.
	if e.memory != 0 && p.l.quicKept.Load()+http3.ConnMemory > p.l.share() {
		p.l.post(func() { p.l.noRoom("connection") })
		return nil, errTurnedAway
	}
	p.Keep(http3.ConnMemory)
	return p, nil
}

// Take implements http3.Place.
func (p *quicPlace) Take(c http3.Client) (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	f := os.NewFile(uintptr(fds[1]), "link")
	defer f.Close()
	socket, err := net.FileConn(f)
	if err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	taken := make(chan bool, 1)
	if p.l.post(func() { taken <- p.l.beginQUIC(p.g, int32(fds[0]), c) }) && <-taken {
		return socket, nil
	}
	unix.Close(fds[0])
	socket.Close()
	return nil, errTurnedAway
}

// Keep implements http3.Place.
func (p *quicPlace) Keep(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(bytes)
}

// keep counts; mu is held.
func (p *quicPlace) keep(bytes int64) {
	if p.left {
		return
	}
	p.kept += bytes
	p.l.quicKept.Add(bytes)
}

// Grow implements http3.Place: the loop is asked, and its answer counts the next time.
func (p *quicPlace) Grow(bytes int64) bool {
	if p.l.e.memory == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes > p.grown && !p.asked && !p.left {
		p.asked = p.l.post(func() { p.grant(bytes) })
	}
	return bytes <= p.grown
}

// grant is the loop's answer.
func (p *quicPlace) grant(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = false
	if more := bytes - p.grown; !p.left && more > 0 && p.l.spoken()+more <= p.l.share() {
		p.grown += more
		p.keep(more)
	}
}

// Leave implements http3.Place.
func (p *quicPlace) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(-p.kept)
	p.left = true
}
