package engine

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The crowd of TestDescriptorLimit: processes of clients that begin a request each and end it when they are told.

// guests is a process of n clients.
type guests struct {
	*child
	n int
}

// newGuests has so many clients come, in processes that have at most so many descriptors each. When it returns all have
// knocked; the clients of the first process had the time to be let in before the others.
func newGuests(t *testing.T, addr string, n, limit int) []guests {
	t.Helper()
	each := min(n/4, limit-64)
	var all []guests
	for n > 0 {
		g := guests{n: min(n, each)}
		g.child = newChild(t, "crowd", "REEVE_TEST_CROWD="+strconv.Itoa(g.n), "REEVE_TEST_TO="+addr, fmt.Sprintf("REEVE_TEST_FROM=127.0.1.%d", 1+len(all)))
		if said := g.hear(t); said != "knocked" {
			t.Fatal(said)
		}
		all = append(all, g)
		n -= g.n
	}
	return all
}

const (
	halfRequest  = "GET / HT" // one that said nothing would not be accepted yet
	otherHalf    = "TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	wholeRequest = halfRequest + otherHalf
)

// guest is one connection of the crowd.
type guest struct {
	fd      int
	manners manners
	got     []byte
}

type manners uint8

const (
	knocking manners = iota // is being connected
	begun                   // has sent the first half
	asked                   // has sent all
)

// hall is where a process's guests are.
type hall struct {
	ep        int
	guests    map[int32]*guest
	finishing bool
	served    int
	failed    map[string]int
	buf       []byte
}

// crowding is the process: one thread, so that thousands of clients cost no more than their sockets.
func crowding(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("REEVE_TEST_CROWD"))
	if err != nil {
		t.Fatal(err)
	}
	to, from := netip.MustParseAddrPort(os.Getenv("REEVE_TEST_TO")), netip.MustParseAddr(os.Getenv("REEVE_TEST_FROM"))
	limit := ownLimit(t)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	h := &hall{guests: map[int32]*guest{}, failed: map[string]int{}, buf: make([]byte, 4096)}
	if h.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := h.watch(unix.EPOLL_CTL_ADD, 0, unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := h.knock(to, from); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("knocked")
	evs := make([]unix.EpollEvent, 256)
	for told := false; ; {
		k, err := unix.EpollWait(h.ep, evs, -1)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		for _, ev := range evs[:max(k, 0)] {
			if ev.Fd == 0 {
				if !h.hear() {
					return
				}
				continue
			}
			h.event(h.guests[ev.Fd])
		}
		if h.finishing && len(h.guests) == 0 && !told {
			told = true
			fmt.Println(h.report())
		}
	}
}

func (h *hall) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(h.ep, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: events})
}

// knock begins to connect, from an address that this process has for itself: there are not as many ports on one.
func (h *hall) knock(to netip.AddrPort, from netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil && err != unix.EINPROGRESS {
		return err
	}
	h.guests[int32(fd)] = &guest{fd: fd}
	return h.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLOUT)
}

// hear takes an order: everybody is to finish, or to leave. false: there are no more.
func (h *hall) hear() bool {
	n, err := unix.Read(0, h.buf)
	if n <= 0 || err != nil {
		return false
	}
	switch word := strings.TrimSpace(string(h.buf[:n])); word {
	case "leave":
		for fd, g := range h.guests {
			unix.Close(g.fd)
			delete(h.guests, fd)
		}
	case "finish":
		h.finishing = true
		for _, g := range h.guests {
			if g.manners == begun {
				h.say(g, otherHalf, asked)
			}
		}
	}
	return true
}

func (h *hall) event(g *guest) {
	if g == nil {
		return // left within this batch
	}
	if g.manners != knocking {
		h.read(g)
		return
	}
	if e, err := unix.GetsockoptInt(g.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e != 0 {
		h.leave(g, "connect: "+unix.Errno(e).Error())
		return
	}
	if err := h.watch(unix.EPOLL_CTL_MOD, g.fd, unix.EPOLLIN); err != nil {
		h.leave(g, "epoll: "+err.Error())
		return
	}
	if h.finishing {
		h.say(g, wholeRequest, asked)
	} else {
		h.say(g, halfRequest, begun)
	}
}

func (h *hall) say(g *guest, text string, next manners) {
	g.manners = next
	if _, err := unix.Write(g.fd, []byte(text)); err != nil {
		h.leave(g, "write: "+err.Error())
	}
}

// read takes in an answer, up to the connection's end.
func (h *hall) read(g *guest) {
	n, err := unix.Read(g.fd, h.buf)
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		h.leave(g, "read: "+err.Error())
	case n > 0:
		g.got = append(g.got, h.buf[:n]...)
	case bytes.HasPrefix(g.got, []byte("HTTP/1.1 200 ")) && bytes.HasSuffix(g.got, []byte("hello")):
		h.served++
		h.leave(g, "")
	default:
		status, _, _ := strings.Cut(string(g.got), "\r\n")
		h.leave(g, strconv.Quote(status))
	}
}

func (h *hall) leave(g *guest, failure string) {
	unix.Close(g.fd)
	delete(h.guests, int32(g.fd))
	if failure != "" {
		h.failed[failure]++
	}
}

func (h *hall) report() string {
	text := fmt.Sprintf("served %d", h.served)
	for failure, n := range h.failed {
		text += fmt.Sprintf(", %d x %s", n, failure)
	}
	return text
}
