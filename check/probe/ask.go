package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/reeve-lb/reeve/check"
)

// Status is the word for a probe's outcome in statistics, HAProxy's spelling.
type Status string

// The outcomes of TCP and HTTP probes.
const (
	L4OK   Status = "L4OK"   // connected
	L4TOUT Status = "L4TOUT" // no connection in time
	L4CON  Status = "L4CON"  // refused, unreachable, name not resolved
	L6OK   Status = "L6OK"   // connected over TLS
	L6TOUT Status = "L6TOUT" // no end of the handshake in time
	L6RSP  Status = "L6RSP"  // the handshake failed
	L7OK   Status = "L7OK"   // answered as expected
	L7STS  Status = "L7STS"  // answered with another status
	L7RSP  Status = "L7RSP"  // answered what is no HTTP, or closed without an answer
	L7TOUT Status = "L7TOUT" // connected, but no answer in time
	HANA   Status = "HANA"   // no probe: bad signs in the server's traffic
)

// OK reports whether the outcome speaks for the server.
func (s Status) OK() bool { return s == L4OK || s == L6OK || s == L7OK }

// String implements fmt.Stringer.
func (s Status) String() string { return string(s) }

// Outcome is what one probe saw.
type Outcome struct {
	Status   Status
	Code     int    // of HTTP, 0 without one
	Info     string // one line for people; holds nothing that the server sent but its status code
	Duration time.Duration
}

// Dial connects to host:port; net.Dialer.DialContext is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

const (
	maxHead = 16 << 10               // bytes of an answer's head; longer is no answer
	maxTail = 64 << 10               // bytes read after it, so that closing sends FIN and not RST
	goodbye = 200 * time.Millisecond // for the tail
)

// ask does one probe of a check whose defaults are filled in. It takes at most the check's timeouts and goodbye.
func ask(ctx context.Context, dial Dial, config TLS, c check.Config) Outcome {
	start := time.Now()
	conn, out := connect(ctx, dial, c)
	if conn == nil {
		out.Duration = time.Since(start)
		return out
	}
	defer conn.Close()
	socket := conn
	stop := context.AfterFunc(ctx, func() { socket.Close() }) // no deadline set later could undo that
	defer stop()
	deadline := start.Add(c.Inter)
	if c.Timeout > 0 {
		deadline = time.Now().Add(c.Timeout)
	}
	if c.TLS {
		conn, out = secure(ctx, conn, config, c, deadline)
	}
	switch {
	case !out.Status.OK():
	case c.Kind == check.HTTP:
		out = askHTTP(conn, c, deadline)
	case c.Kind == check.UDP:
		out = askUDP(conn, deadline)
	}
	out.Duration = time.Since(start)
	if out.Code > 0 && ctx.Err() == nil {
		leave(conn)
	}
	return out
}

// TLS is the configuration for a check's connections; name is to be sent as SNI.
type TLS func(check, name string) (*tls.Config, error)

// secure is the handshake.
func secure(ctx context.Context, conn net.Conn, config TLS, c check.Config, deadline time.Time) (net.Conn, Outcome) {
	if config == nil {
		return conn, Outcome{Status: L6RSP, Info: "nobody says how TLS is spoken"}
	}
	conf, err := config(c.Name, c.SNI)
	if err != nil {
		return conn, Outcome{Status: L6RSP, Info: err.Error()}
	}
	_ = conn.SetDeadline(deadline)
	over := tls.Client(conn, conf)
	switch err := over.HandshakeContext(ctx); {
	case err == nil:
		return over, Outcome{Status: L6OK, Info: "connected over TLS"}
	case isTimeout(err):
		return over, Outcome{Status: L6TOUT, Info: "no TLS handshake in time"}
	default:
		return over, Outcome{Status: L6RSP, Info: "TLS handshake: " + reason(err)}
	}
}

func connect(ctx context.Context, dial Dial, c check.Config) (net.Conn, Outcome) {
	ctx, cancel := context.WithTimeout(ctx, c.Connect)
	defer cancel()
	network, address, err := target(c)
	if err != nil {
		return nil, Outcome{Status: L4CON, Info: err.Error()}
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, connectFailure(err, c)
	}
	if c.SendProxy > 0 {
		if err := introduce(conn, c); err != nil {
			conn.Close()
			return nil, connectFailure(err, c)
		}
	}
	return conn, Outcome{Status: L4OK, Info: "connected"}
}

// Headers of the PROXY protocol that say: for myself.
const (
	proxyUnknown = "PROXY UNKNOWN\r\n"
	proxyLocal   = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

func introduce(conn net.Conn, c check.Config) error {
	header := proxyUnknown
	if c.SendProxy == 2 {
		header = proxyLocal
	}
	if err := conn.SetWriteDeadline(time.Now().Add(c.Connect)); err != nil {
		return err
	}
	_, err := io.WriteString(conn, header)
	return err
}

// target is where a check asks. A port of its own makes a server on a Unix socket no other.
func target(c check.Config) (network, address string, err error) {
	if strings.HasPrefix(c.Address, "/") {
		return "unix", c.Address, nil
	}
	if name, ok := strings.CutPrefix(c.Address, "abns@"); ok { // HAProxy fills these names up with zeros
		return "unix", "@" + name + strings.Repeat("\x00", max(len(syscall.RawSockaddrUnix{}.Path)-1-len(name), 0)), nil
	}
	host, port := c.Address, ""
	if _, err := netip.ParseAddr(host); err != nil {
		if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
			host, port = host[:i], host[i+1:]
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if c.Port != 0 {
		port = strconv.Itoa(c.Port)
	}
	if port == "" {
		return "", "", fmt.Errorf("address of the check: %q: missing port", c.Address)
	}
	network = "tcp"
	if c.Kind == check.UDP {
		network = "udp"
	}
	return network, net.JoinHostPort(host, port), nil
}

// refusal is how long the machine of a port where nobody listens may take to say so (ICMP).
const refusal = time.Second

// askUDP sends an empty datagram. Few protocols have an answer to that: that nobody refuses it is all there is to know.
func askUDP(conn net.Conn, deadline time.Time) Outcome {
	if soon := time.Now().Add(refusal); soon.Before(deadline) {
		deadline = soon
	}
	_ = conn.SetDeadline(deadline)
	_, err := conn.Write(nil)
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	switch {
	case err == nil:
		return Outcome{Status: L4OK, Info: "answered"}
	case isTimeout(err):
		return Outcome{Status: L4OK, Info: "not refused"}
	}
	return Outcome{Status: L4CON, Info: reason(err)}
}

func connectFailure(err error, c check.Config) Outcome {
	var dns *net.DNSError
	if errors.As(err, &dns) && !dns.IsTimeout {
		return Outcome{Status: L4CON, Info: dns.Error()}
	}
	if isTimeout(err) {
		return Outcome{Status: L4TOUT, Info: fmt.Sprintf("no connection within %v", c.Connect)}
	}
	return Outcome{Status: L4CON, Info: reason(err)}
}

// isTimeout: the kernel's own ETIMEDOUT may come before ours.
func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// reason is the kernel's word for a failure, without the addresses that package net puts in front.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// request is what an HTTP probe sends.
func request(c check.Config) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", c.Method, c.URI, c.Version)
	host := c.Host
	if host == "" && c.Version == "HTTP/1.1" {
		host = c.Address
	}
	if host != "" {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	if c.Version == "HTTP/1.1" {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func askHTTP(conn net.Conn, c check.Config, deadline time.Time) Outcome {
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Write(request(c)); err != nil {
		return noAnswer(err, nil)
	}
	head, err := readHead(conn)
	if err != nil {
		return noAnswer(err, head)
	}
	code, ok := statusCode(head)
	switch {
	case !ok:
		return Outcome{Status: L7RSP, Info: "the answer is not HTTP"}
	case code >= 200 && code < 400:
		return Outcome{Status: L7OK, Code: code, Info: fmt.Sprintf("HTTP status %d", code)}
	}
	return Outcome{Status: L7STS, Code: code, Info: fmt.Sprintf("HTTP status %d", code)}
}

func noAnswer(err error, got []byte) Outcome {
	switch {
	case isTimeout(err):
		return Outcome{Status: L7TOUT, Info: "no answer in time"}
	case errors.Is(err, errLongHead):
		return Outcome{Status: L7RSP, Info: err.Error()}
	case errors.Is(err, io.EOF) && len(got) == 0:
		return Outcome{Status: L7RSP, Info: "closed without an answer"}
	case errors.Is(err, io.EOF):
		return Outcome{Status: L7RSP, Info: "closed within the head of its answer"}
	}
	return Outcome{Status: L7RSP, Info: reason(err)}
}

var errLongHead = fmt.Errorf("the head of the answer is longer than %d bytes", maxHead)

// readHead reads up to and including the empty line after the fields. It gives up as soon as the first bytes can't be
// HTTP, so that a server of another protocol does not cost the timeout.
func readHead(r io.Reader) ([]byte, error) {
	buf := make([]byte, 0, 1<<10)
	for {
		if len(buf) >= maxHead {
			return buf, errLongHead
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), maxHead)])
		buf = buf[:len(buf)+n]
		if bytes.Contains(buf, []byte("\r\n\r\n")) || bytes.Contains(buf, []byte("\n\n")) || !mayBeHTTP(buf) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

func mayBeHTTP(b []byte) bool {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

// statusCode reads "HTTP/1.x NNN" followed by a blank or the line's end.
func statusCode(head []byte) (int, bool) {
	const shortest = len("HTTP/1.1 200\n")
	if len(head) < shortest || !mayBeHTTP(head) || head[7] < '0' || head[7] > '9' || head[8] != ' ' {
		return 0, false
	}
	code := 0
	for _, d := range head[9:12] {
		if d < '0' || d > '9' {
			return 0, false
		}
		code = code*10 + int(d-'0')
	}
	after := head[12]
	return code, code >= 100 && (after == ' ' || after == '\r' || after == '\n')
}

// leave says that nothing more will be asked and reads what is left of the answer for a moment.
func leave(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = conn.SetDeadline(time.Now().Add(goodbye))
	_, _ = io.CopyN(io.Discard, conn, maxTail)
}
