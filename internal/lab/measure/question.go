package measure

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"golang.org/x/sys/unix"
)

// bodyMax bounds what is read of an answer, in bytes.
const bodyMax = 1 << 16

// Answer is what came of one question.
type Answer struct {
	Sent   time.Time // before the connection was asked for
	Done   time.Time // when the last byte was there, or the question failed
	Status int       // 0 when no whole answer came
	Body   string    // without surrounding space: the server's name
	Err    error
}

// OK reports whether a 200 came.
func (a Answer) OK() bool { return a.Status == http.StatusOK }

// Ask sends one GET on a new connection of the host, from the given source address (any of the host's when not valid), and
// waits for the answer, at most the timeout in all.
func Ask(h *lab.Host, source netip.Addr, target netip.AddrPort, path string, timeout time.Duration) Answer {
	sent := time.Now()
	fds, err := h.Sockets(1, lab.Family(target.Addr()), source)
	if err != nil {
		return Answer{Sent: sent, Done: time.Now(), Err: err}
	}
	return ask(fds[0], sent, target, path, timeout)
}

// ask uses and closes a socket.
func ask(fd int, sent time.Time, target netip.AddrPort, path string, timeout time.Duration) Answer {
	a := Answer{Sent: sent}
	a.Status, a.Body, a.Err = exchange(fd, sent.Add(timeout), target, path)
	a.Done = time.Now()
	return a
}

func exchange(fd int, deadline time.Time, target netip.AddrPort, path string) (int, string, error) {
	err := unix.Connect(fd, lab.Sockaddr(target))
	f := os.NewFile(uintptr(fd), "tcp") // non-blocking: the runtime's poller waits, not a thread
	defer f.Close()
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return 0, "", fmt.Errorf("connect: %w", err)
	}
	if err := f.SetDeadline(deadline); err != nil {
		return 0, "", err
	}
	if err := connected(f, target); err != nil {
		return 0, "", fmt.Errorf("connect: %w", err)
	}
	if _, err := fmt.Fprintf(f, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, target.Addr()); err != nil {
		return 0, "", fmt.Errorf("ask: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(f, 1024), nil)
	if err != nil {
		return 0, "", fmt.Errorf("answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax))
	if err != nil {
		return 0, "", fmt.Errorf("answer: %w", err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body)), nil
}

// connected waits until the connection is made.
func connected(f *os.File, target netip.AddrPort) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		// Asking again tells how the first call went, and is not fooled by a readiness from before it.
		result = unix.Connect(int(fd), lab.Sockaddr(target))
		if errors.Is(result, unix.EISCONN) {
			result = nil
		}
		return !errors.Is(result, unix.EALREADY) && !errors.Is(result, unix.EINPROGRESS)
	})
	if err != nil { // the deadline: then what the last call said does not matter
		return err
	}
	return result
}
