// Package accesslog writes the lines that tell what became of a session: HAProxy's httplog, tcplog and basic formats,
// appended without allocating, put into bounded rings without blocking, and sent to syslog, a Unix datagram socket or
// stdout by one goroutine.
package accesslog

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

// maxRequest is how much of a request line is told (tune.http.logurilen less the terminating zero).
const maxRequest = 1023

// Stamp prints the time of day and remembers the text of its second. One per loop; not safe for concurrent use.
type Stamp struct {
	sec  int64
	text []byte
}

// Append adds [21/Nov/2026:03:51:25.769] in local time.
func (s *Stamp) Append(dst []byte, unixNano int64) []byte {
	sec := unixNano / int64(time.Second)
	if sec != s.sec || s.text == nil {
		s.sec, s.text = sec, time.Unix(sec, 0).AppendFormat(s.text[:0], "[02/Jan/2006:15:04:05.")
	}
	ms := unixNano / int64(time.Millisecond) % 1000
	dst = append(dst, s.text...)
	return append(dst, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), ']')
}

// Counts are the connections left when the session has given its own back (%ac/%fc/%bc/%sc).
type Counts struct{ Process, Frontend, Backend, Server int64 }

// Entry is what a line tells. Durations are milliseconds, -1 for a phase that was not reached.
type Entry struct {
	Client                    netip.AddrPort
	Start                     int64 // Unix nanoseconds: of the request's first byte, or of the accept in TCP mode
	Frontend, Backend, Server string
	TLS                       bool // of the client: a ~ behind the frontend's name
	TR, Tw, Tc, Tr, Ta        int64
	Status                    int // -1: none
	Bytes                     uint64
	Flags                     [4]byte
	Counts                    Counts
	Retries                   int
	Redispatched              bool
	ServerQueue, BackendQueue int    // requests that were before it
	Request                   []byte // the request line; nil: <BADREQ>
	CookieReq, CookieRes      []byte // of `capture cookie`; nil: none
	CapturedReq, CapturedRes  Captured
}

// Captured is what was noted of headers. Nothing is told of nil, and of one without places.
type Captured interface {
	Len() int
	Get(i int) (text []byte, ok bool)
}

// AppendHTTP adds a line of option httplog.
func AppendHTTP(dst []byte, s *Stamp, e *Entry) []byte {
	dst = appendWho(dst, s, e)
	for i, t := range [...]int64{e.TR, e.Tw, e.Tc, e.Tr, e.Ta} {
		dst = append(dst, " /"[min(i, 1)])
		dst = strconv.AppendInt(dst, t, 10)
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, e.Bytes, 10)
	dst = appendCookie(dst, e.CookieReq)
	dst = appendCookie(dst, e.CookieRes)
	dst = append(dst, ' ')
	dst = append(dst, e.Flags[:]...)
	dst = appendLoad(dst, e)
	dst = appendCaptured(dst, e.CapturedReq)
	dst = appendCaptured(dst, e.CapturedRes)
	dst = append(dst, ' ', '"')
	if e.Request == nil {
		dst = append(dst, "<BADREQ>"...)
	} else {
		dst = appendEscaped(dst, e.Request[:min(len(e.Request), maxRequest)])
	}
	return append(dst, '"')
}

// AppendTCP adds a line of option tcplog; Ta is its Tt.
func AppendTCP(dst []byte, s *Stamp, e *Entry) []byte {
	dst = appendWho(dst, s, e)
	for i, t := range [...]int64{e.Tw, e.Tc, e.Ta} {
		dst = append(dst, " /"[min(i, 1)])
		dst = strconv.AppendInt(dst, t, 10)
	}
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, e.Bytes, 10)
	dst = append(dst, ' ')
	dst = append(dst, e.Flags[:2]...)
	return appendLoad(dst, e)
}

// AppendBasic adds the line of a proxy without a log format, written when a connection comes.
func AppendBasic(dst []byte, client, local netip.AddrPort, frontend, mode string) []byte {
	dst = append(dst, "Connect from "...)
	dst = appendAddr(dst, client)
	dst = append(dst, " to "...)
	dst = appendAddr(dst, local)
	dst = append(dst, " ("...)
	dst = append(dst, frontend...)
	dst = append(dst, '/')
	dst = append(dst, mode...)
	return append(dst, ')')
}

// AppendError adds the line of a connection that came to nothing before it was a session: a handshake that failed, a PROXY
// header that is none.
func AppendError(dst []byte, s *Stamp, client netip.AddrPort, start int64, frontend, bind, what string) []byte {
	dst = appendAddr(dst, client)
	dst = append(dst, ' ')
	dst = s.Append(dst, start)
	dst = append(dst, ' ')
	dst = append(dst, frontend...)
	dst = append(dst, '/')
	dst = append(dst, bind...)
	dst = append(dst, ": "...)
	return append(dst, what...)
}

// appendAddr adds ip:port, IPv6 without brackets as HAProxy does. Without an address it was a Unix socket, and the port is
// the number of its bind.
func appendAddr(dst []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		dst = append(dst, "unix"...)
	} else {
		dst = a.Addr().AppendTo(dst)
	}
	dst = append(dst, ':')
	return strconv.AppendUint(dst, uint64(a.Port()), 10)
}

func appendWho(dst []byte, s *Stamp, e *Entry) []byte {
	dst = appendAddr(dst, e.Client)
	dst = append(dst, ' ')
	dst = s.Append(dst, e.Start)
	dst = append(dst, ' ')
	dst = append(dst, e.Frontend...)
	if e.TLS {
		dst = append(dst, '~')
	}
	dst = append(dst, ' ')
	dst = append(dst, e.Backend...)
	dst = append(dst, '/')
	if e.Server == "" {
		return append(dst, "<NOSRV>"...)
	}
	return append(dst, e.Server...)
}

func appendLoad(dst []byte, e *Entry) []byte {
	for i, n := range [...]int64{e.Counts.Process, e.Counts.Frontend, e.Counts.Backend, e.Counts.Server} {
		dst = append(dst, " /"[min(i, 1)])
		dst = strconv.AppendInt(dst, n, 10)
	}
	dst = append(dst, '/')
	if e.Redispatched {
		dst = append(dst, '+')
	}
	dst = strconv.AppendInt(dst, int64(e.Retries), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(e.ServerQueue), 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, int64(e.BackendQueue), 10)
}

const digits = "0123456789ABCDEF"

func appendCookie(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, " -"...)
	}
	return appendEscaped(append(dst, ' '), text)
}

func appendCaptured(dst []byte, c Captured) []byte {
	if c == nil || c.Len() == 0 {
		return dst
	}
	dst = append(dst, " {"...)
	for i := range c.Len() {
		if i > 0 {
			dst = append(dst, '|')
		}
		text, _ := c.Get(i)
		dst = appendFenced(dst, text)
	}
	return append(dst, '}')
}

// appendFenced escapes what would look like the end of a captured text, too.
func appendFenced(dst, b []byte) []byte {
	for len(b) > 0 {
		n := bytes.IndexAny(b, "{|}")
		if n < 0 {
			return appendEscaped(dst, b)
		}
		dst = append(appendEscaped(dst, b[:n]), '#', digits[b[n]>>4], digits[b[n]&15])
		b = b[n+1:]
	}
	return dst
}

// appendEscaped keeps a line one line and its quotes pairs: what is not printable, " and # become #XX.
func appendEscaped(dst, b []byte) []byte {
	for _, c := range b {
		if c < 0x20 || c > 0x7e || c == '"' || c == '#' {
			dst = append(dst, '#', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
