package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// openWord makes this program a client that asks at a fixed rate, whatever it gets: `bench open-for-bench ADDR CONNS RATE
// MILLISECONDS`. A request that finds no idle connection waits for one, and its time counts from when it should have been
// sent: an answer that holds others up is told as often as it did so (no coordinated omission).
const openWord = "open-for-bench"

// openResult is what it prints; times are milliseconds.
type openResult struct {
	Due      int     `json:"due"`      // requests that should have been sent
	Answered int     `json:"answered"` // with 200
	Bad      int     `json:"bad"`      // answered otherwise, or cut
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	P999     float64 `json:"p999"`
}

// openPatience is how long the client waits for the last answers.
const openPatience = 2 * time.Second

// opener is the client: one loop, like what it measures.
type opener struct {
	poll    int
	request []byte
	conns   []openConn
	byFD    map[int32]int
	idle    []int   // connections, the longest idle in front
	waiting []int64 // when requests without a connection were due
	began   time.Time
	took    []int64 // nanoseconds
	bad     int
}

type openConn struct {
	fd   int
	due  int64 // of the request under way, 0: none
	got  []byte
	dead bool
}

func openLoad(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%s: want ADDR CONNS RATE MILLISECONDS", openWord)
	}
	at, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	var n [3]int
	for i := range n {
		if n[i], err = strconv.Atoi(args[i+1]); err != nil || n[i] < 1 {
			return fmt.Errorf("%s: %q is no number of use", openWord, args[i+1])
		}
	}
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // requests are some microseconds apart
	o := &opener{request: []byte(request()), byFD: map[int32]int{}}
	if err := o.connect(at, n[0]); err != nil {
		return err
	}
	o.run(n[1], time.Duration(n[2])*time.Millisecond)
	return json.NewEncoder(os.Stdout).Encode(o.result(n[1] * n[2] / 1000))
}

// connect opens the connections before the clock starts: it is requests that are measured.
func (o *opener) connect(at netip.AddrPort, n int) error {
	var err error
	if o.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		if err := unix.Connect(fd, lab.Sockaddr(at)); err != nil {
			return fmt.Errorf("connect %v: %w", at, err)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		if err := watch(o.poll, fd); err != nil {
			return err
		}
		o.conns = append(o.conns, openConn{fd: fd})
		o.byFD[int32(fd)] = i
		o.idle = append(o.idle, i)
	}
	return nil
}

func (o *opener) now() int64 { return int64(time.Since(o.began)) }

// run sends to the end of the schedule, then waits for what is under way.
func (o *opener) run(rate int, length time.Duration) {
	o.began = time.Now()
	every := float64(time.Second) / float64(rate)
	total := int(float64(length) / every)
	o.took = make([]int64, 0, total)
	events := make([]unix.EpollEvent, 256)
	for next := 0; ; {
		now := o.now()
		for next < total && int64(float64(next)*every) <= now {
			o.waiting = append(o.waiting, int64(float64(next)*every))
			next++
		}
		o.send()
		wait := int64(time.Millisecond)
		if next < total {
			wait = int64(float64(next)*every) - o.now()
		} else if len(o.took)+o.bad >= total || now > int64(length+openPatience) {
			break
		}
		for _, e := range events[:epollWait(o.poll, events, max(wait, 0))] {
			o.read(&o.conns[o.byFD[e.Fd]], o.byFD[e.Fd])
		}
	}
	for _, c := range o.conns { // what never came was at least this slow
		if c.due != 0 {
			o.took = append(o.took, o.now()-c.due)
		}
	}
	for _, due := range o.waiting {
		o.took = append(o.took, o.now()-due)
	}
}

// epollWait waits for some nanoseconds, which epoll_wait can't.
func epollWait(poll int, events []unix.EpollEvent, ns int64) int {
	ts := unix.NsecToTimespec(ns)
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(poll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// send gives the requests that are due to idle connections.
func (o *opener) send() {
	for len(o.waiting) > 0 && len(o.idle) > 0 {
		i := o.idle[0]
		o.idle = o.idle[1:]
		c := &o.conns[i]
		c.due, c.got = o.waiting[0]+1, c.got[:0] // never 0
		o.waiting = o.waiting[1:]
		if n, err := unix.Write(c.fd, o.request); err != nil || n != len(o.request) {
			o.lost(c)
		}
	}
}

var openEnd = []byte("Hello, world\n")

func (o *opener) read(c *openConn, i int) {
	var buf [4096]byte
	n, err := unix.Read(c.fd, buf[:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR || c.dead:
		return
	case err != nil || n == 0:
		o.lost(c)
		return
	}
	c.got = append(c.got, buf[:n]...)
	if !bytes.HasSuffix(c.got, openEnd) {
		return
	}
	if !bytes.HasPrefix(c.got, []byte("HTTP/1.1 200 ")) {
		o.bad++
	} else {
		o.took = append(o.took, o.now()-c.due)
	}
	c.due = 0
	o.idle = append(o.idle, i)
}

// lost takes a connection out that broke. A request on it was not answered.
func (o *opener) lost(c *openConn) {
	unix.Close(c.fd)
	c.dead = true
	if c.due != 0 {
		o.bad++
		c.due = 0
	}
}

func (o *opener) result(due int) openResult {
	slices.Sort(o.took)
	at := func(part float64) float64 {
		if len(o.took) == 0 {
			return 0
		}
		return float64(o.took[int(part*float64(len(o.took)-1))]) / 1e6
	}
	return openResult{Due: due, Answered: len(o.took), Bad: o.bad, P50: at(.50), P99: at(.99), P999: at(.999)}
}
