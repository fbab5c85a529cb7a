package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// serveWord makes this program the web server behind the proxies: `bench serve-for-bench 127.0.0.1:8081`.
const serveWord = "serve-for-bench"

var (
	headEnd = []byte("\r\n\r\n")
	answer  = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n")
)

// bulkWord makes this program the server of long answers: GET /N is answered with N bytes.
const bulkWord = "bulk-for-bench"

// serveBulk serves until it is killed, a goroutine a connection: there are few.
func serveBulk(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			for sendBulk(c) == nil {
			}
		}()
	}
}

var bulkPiece = make([]byte, 1<<20)

func sendBulk(c net.Conn) error {
	var head []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(head, headEnd) {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		head = append(head, buf[:n]...)
	}
	word := bytes.Fields(head)[1]
	size, err := strconv.ParseInt(string(word[1:]), 10, 64)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		return err
	}
	for size > 0 {
		n, err := c.Write(bulkPiece[:min(size, int64(len(bulkPiece)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// serve answers every request head with the same few bytes, as fast as one core can: one loop, two system calls a
// request. It knows no bodies and no pauses within a head; the proxies send neither here.
func serve(addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("reuse: %w", err)
	}
	if err := unix.Bind(listener, lab.Sockaddr(at)); err != nil {
		return fmt.Errorf("bind %v: %w", at, err)
	}
	if err := unix.Listen(listener, 4096); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if err := watch(poll, listener); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 256)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(poll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == listener {
				accept(poll, listener)
			} else if !reply(int(e.Fd), buf) {
				unix.Close(int(e.Fd))
			}
		}
	}
}

func watch(poll, fd int) error {
	return unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func accept(poll, listener int) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // EAGAIN: all are taken
		}
		if unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) != nil || watch(poll, fd) != nil {
			unix.Close(fd)
		}
	}
}

// reply answers each head in what there is to read; false ends the connection.
func reply(fd int, buf []byte) bool {
	n, err := unix.Read(fd, buf)
	if err == unix.EAGAIN || err == unix.EINTR {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	for range bytes.Count(buf[:n], headEnd) {
		if w, err := unix.Write(fd, answer); err != nil || w != len(answer) {
			return false
		}
	}
	return true
}
