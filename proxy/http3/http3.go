// Package http3 takes HTTP/3 in (RFC 9114) and is the only one that knows the QUIC library. Each connection of a client
// becomes one of HTTP/2 in clear over a pair of sockets, whose other end is an event loop's: a request there is a stream of
// it, and the two protocols mean the same by their streams, trailers, interim answers, resets and farewells.
package http3

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// Client is what is known of a client when its handshake is over.
type Client struct {
	Remote, Local netip.AddrPort
	ServerName    string // that it asked for, "" for none
	Resumed       bool   // without a full handshake
}

// Settings are those of an address, asked for with every connection.
type Settings struct {
	MaxStreams     int           // requests at a time on a connection
	IdleTimeout    time.Duration // a connection on which nothing comes for so long is over
	RequestTimeout time.Duration // how long it may take until it shows whether a request without a length has content; 0: the connection's time
}

// Host is whom a Listener serves for. Its methods are called from many goroutines.
type Host interface {
	// Handshake is the configuration for a client that begins.
	Handshake(*tls.ClientHelloInfo) (*tls.Config, error)
	Settings() Settings
	// Retry reports whether a client has to show first that its address is its own, with so many whose handshake goes on.
	Retry(halfOpen int) bool
	// Arrive makes room for a client that begins. With an error it is refused at once.
	Arrive() (Place, error)
	// Failed is the news of a handshake that came to nothing.
	Failed()
}

// Place is what a client has at its Host, from its first packet to its last. Its methods are called from many goroutines, and
// none of them waits but Take.
type Place interface {
	// Take hands the client over when its handshake is through; the far side of what it returns speaks HTTP/2 in clear
	// (RFC 9113), as a server. With an error the client is turned away.
	Take(Client) (net.Conn, error)
	// Keep takes note of so many bytes more, or less, that are kept for requests, beyond ConnMemory.
	Keep(bytes int64)
	// Grow asks for so many bytes in all for larger windows, beyond ConnMemory. What is not granted now may be the next time.
	Grow(bytes int64) bool
	// Leave gives all of it back.
	Leave()
}

// What is kept for a client at most, in bytes, beside what its loop and the kernel keep.
const (
	// ConnMemory is of a connection: its state, what has been received and was not taken, and what is on its way as long as
	// the congestion window has not grown.
	ConnMemory = connState + connWindow + firstFlight
	// RequestMemory is of a request: its head, its content and that of its answer on their way to and from the loop.
	RequestMemory = MaxHead + 2*answerWindow + 2*piece + 2*maxOut

	connState   = 1 << 17
	firstFlight = 3 << 14
)

// Limits of every connection. What is received is kept until the loop takes it: at most window bytes.
const (
	// MaxHead is the most a head may take (RFC 9114 section 4.2.2); the loop's limit is lower and answers with a page.
	MaxHead = 1 << 16

	streamWindow  = 1 << 16
	streamWindows = 1 << 18 // up to which a stream's window grows when it pays
	connWindow    = 1 << 17
	connWindows   = 1 << 19
	uniStreams    = 16 // control, two of header compression, and room for what is not understood (section 6.2)

	// maxHeads is how many heads of an answer, most of them interim ones, wait for a client that does not read.
	maxHeads = 64

	// maxHalfOpen bounds the handshakes that go on at a time.
	maxHalfOpen      = 4096
	handshakeTimeout = 5 * time.Second
)

// When its connection ends a client has deliverFor to read the rest of its answers, and lingerFor until the last bytes of
// them have arrived.
const (
	deliverFor = 10 * time.Second
	lingerFor  = time.Second
)

// How long an answer pauses before a piece when memory is short: a round trip, within these.
const (
	leastPause = time.Millisecond
	mostPause  = time.Second
)
