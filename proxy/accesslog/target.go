package accesslog

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

const (
	redialAfter = 5 * time.Second
	dialTimeout = time.Second
	sendTimeout = 10 * time.Millisecond
)

// target is one log line's destination. Owned by Writer.Run but for dropped.
type target struct {
	cfg      proxy.LogTarget
	facility int
	max, min Level
	std      *os.File
	network  string
	address  string
	conn     net.Conn
	redial   time.Time
	dropped  atomic.Uint64
}

// facilities are syslog's, at their numbers.
var facilities = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp", "audit", "alert", "cron2",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

var levels = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

func newTarget(c proxy.LogTarget) *target {
	t := &target{cfg: c, facility: 16, max: Debug, min: Emerg}
	if c.Len <= 0 {
		t.cfg.Len = 1024
	}
	for i, f := range facilities {
		if f == c.Facility {
			t.facility = i
		}
	}
	for i, l := range levels {
		if l == c.MaxLevel {
			t.max = Level(i)
		}
		if l == c.MinLevel {
			t.min = Level(i)
		}
	}
	t.where(strings.TrimPrefix(c.Address, "udp@"))
	return t
}

func (t *target) where(a string) {
	switch {
	case a == "stdout":
		t.std = os.Stdout
	case a == "stderr":
		t.std = os.Stderr
	case strings.HasPrefix(a, "/") || strings.HasPrefix(a, "unix@"):
		t.network, t.address = "unixgram", strings.TrimPrefix(a, "unix@")
	default:
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), "514")
		}
		t.network, t.address = "udp", a
	}
}

// write sends one line, or counts it as dropped: a log that nobody takes holds nobody up.
func (t *target) write(w *Writer, out []byte, now time.Time, level Level, text []byte) {
	if level > t.max {
		return
	}
	out = t.prefix(w, out, now, max(level, t.min))
	out = append(out, text...)
	out = append(out[:min(len(out), t.cfg.Len-1)], '\n')
	if !t.send(out, now) {
		t.dropped.Add(1)
	}
}

func (t *target) prefix(w *Writer, out []byte, now time.Time, level Level) []byte {
	if t.cfg.Format == "raw" {
		return out
	}
	out = append(out, '<')
	out = strconv.AppendInt(out, int64(t.facility*8)+int64(level), 10)
	out = append(out, '>')
	if t.cfg.Format == "rfc5424" {
		out = append(out, "1 "...)
		out = now.AppendFormat(out, "2006-01-02T15:04:05.000000-07:00")
		out = append(out, ' ')
		out = append(out, w.host...)
		out = append(out, ' ')
		out = append(out, w.tag...)
		out = append(out, ' ')
		out = strconv.AppendInt(out, int64(w.pid), 10)
		return append(out, " - - "...)
	}
	out = now.AppendFormat(out, "Jan _2 15:04:05 ")
	out = append(out, w.tag...)
	out = append(out, '[')
	out = strconv.AppendInt(out, int64(w.pid), 10)
	return append(out, "]: "...)
}

func (t *target) send(b []byte, now time.Time) bool {
	if t.std != nil {
		return sendStd(t.std, b)
	}
	if t.conn == nil {
		if now.Before(t.redial) {
			return false
		}
		c, err := (&net.Dialer{Timeout: dialTimeout}).Dial(t.network, t.address)
		if err != nil {
			t.redial = now.Add(redialAfter)
			return false
		}
		t.conn = c
	}
	var err error
	for range 2 { // on a busy machine the time may be over before the attempt
		t.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		if _, err = t.conn.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if err != nil {
		// A refused datagram is told by the next write; the socket stays good for UDP, not for a Unix one.
		if t.network == "unixgram" {
			t.close()
			t.redial = now
		}
		return false
	}
	return true
}

// sendStd writes only when poll says that a pipe has room, so that a reader that stopped reading stops nobody.
func sendStd(f *os.File, b []byte) bool {
	for len(b) > 0 {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLOUT}}
		if n, err := unix.Poll(fds, int(sendTimeout.Milliseconds())); err != nil || n == 0 || fds[0].Revents&unix.POLLOUT == 0 {
			return false
		}
		n, err := f.Write(b[:min(len(b), 4096)])
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

func (t *target) close() {
	if t.conn != nil {
		t.conn.Close()
		t.conn = nil
	}
}
