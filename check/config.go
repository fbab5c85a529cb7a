// Package check asks whether a server is alive. It probes, counts rise and fall, and reports; it does not act.
package check

import (
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// Kind is the way a probe asks.
type Kind int

const (
	// TCP: alive when the connection is established; it is closed at once.
	TCP Kind = iota + 1
	// HTTP: alive when the answer's status is expected (200-399 unless ExpectStatus says otherwise).
	HTTP
	// UDP: an empty datagram is sent; dead when the machine refuses it (ICMP), alive when an answer comes or nothing does.
	UDP
)

// Config is one check of one server. Durations are exact; zero means the default named at the field.
type Config struct {
	Name    string // unique in a Document; "backend/server" when written inside a server line
	Kind    Kind
	Address string // host:port that is asked; the agent fills in the server's own address where the file names none
	Port    int    // overrides the port of Address; 0: as is

	Inter     time.Duration // between two probes; default 2 s
	FastInter time.Duration // while a verdict is changing; default Inter
	DownInter time.Duration // while fully down; default Inter
	Timeout   time.Duration // for the answer once connected; 0: Inter bounds connect and answer together
	Connect   time.Duration // bound on connecting; min(Connect, Inter) applies; 0: Inter
	Rise      int           // successes in a row that bring it up; default 2
	Fall      int           // failures in a row that take it down; default 3
	Jitter    int           // spread-checks, percent of Inter, 0..50

	// SendProxy is the version of the PROXY protocol whose header goes first; it names nobody. 0: none.
	SendProxy int

	// TLS goes beneath the question, in the way that the server's own connections have; SNI is the name that is asked for,
	// "" none.
	TLS bool
	SNI string

	// HTTP only.
	Method  string // default OPTIONS
	URI     string // default /
	Version string // "HTTP/1.0" (default) or "HTTP/1.1"
	Host    string // sent with HTTP/1.1, and with 1.0 when set

	Pos source.Pos
}
