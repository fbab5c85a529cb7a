// Package proxy holds the settings of the data plane as plain structs. The rooms that act on them are its subpackages:
// http1 (codec), balance and stick (pure cores), engine (event loops and phases), accesslog and stats.
package proxy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// Config is the whole data plane. Order within a slice is the order of the file, which is also the order of evaluation.
type Config struct {
	Global    Global
	Caches    []Cache
	Frontends []Frontend
	Backends  []Backend
	UserLists []UserList
}

// UserList is a `userlist`: who may be let in by `http_auth` and `http_auth_group`.
type UserList struct {
	Name   string
	Users  []User
	Groups []string // all that there are
	Pos    source.Pos
}

// User is one `user` line.
type User struct {
	Name     string
	Password string // a hash of crypt(3), or the password itself
	Insecure bool   // it is the password itself
	Groups   []string
	Pos      source.Pos
}

// Global is haproxy.cfg's `global`, less what belongs to the process or the node.
type Global struct {
	MaxConn      int           // concurrent client connections of the process; 0: from the descriptor limit
	MaxConnRate  int           // connections that are accepted a second; 0: no bound
	MaxSessRate  int           // sessions that begin a second; 0: no bound
	NbThread     int           // event loops; 0: one per usable CPU
	Log          []LogTarget   // targets that `log global` refers to
	SpreadChecks int           // percent, 0..50
	HardStop     time.Duration // hard-stop-after; 0: none
	CABase       string        // in front of relative names of CA and CRL files
	CrtBase      string        // in front of relative names of certificates and crt-lists
	BufSize      int           // tune.bufsize: bytes of a buffer; 0: 16384
	MaxRewrite   int           // tune.maxrewrite: bytes of a buffer that a head may not take; 0: 1024
	MaxHdr       int           // tune.http.maxhdr: lines of a head, the first among them; 0: 101
	H2           H2
	QUIC         QUIC
	Compression  Tune
	// What only the haproxy personality or a future issue acts on. Kept so that no spelling loses it.
	Daemon              bool
	User, Group         string
	PIDFile             string
	Chroot, StatsSocket string
	Pos                 source.Pos
}

// H2 are the tune.h2.* settings; zero is the default.
type H2 struct {
	HeaderTableSize      int // bytes of a connection's dynamic table, 4096
	InitialWindowSize    int // bytes a stream may send ahead, 65535
	MaxConcurrentStreams int // of a connection, 100
	MaxFrameSize         int // bytes, 16384
}

// QUIC are the tune.quic.* settings and no-quic; zero is the default.
type QUIC struct {
	Disabled       bool          // addresses of QUIC are not listened on
	IdleTimeout    time.Duration // a connection on which nothing comes for so long is over; 30 s
	MaxStreams     int           // requests at a time on a connection; 100
	RetryThreshold int           // half-open connections of an address, beyond which clients have to show that theirs is theirs; 100
}

// Proto is a protocol that a connection speaks from its first byte. The zero Proto is the mode's own, HTTP/1 for HTTP.
type Proto int

// The values of `proto`.
const (
	H1 Proto = iota + 1
	H2Proto
)

// LogTarget is one `log` line: address is host:port (UDP), a Unix datagram socket's path, "stdout" or "stderr".
type LogTarget struct {
	Address  string
	Len      int    // longest line in bytes; default 1024
	Format   string // "rfc3164" (default), "rfc5424", "raw"
	Facility string // syslog's names: local0, daemon, ...
	MaxLevel string // less severe lines are dropped; "" = all
	MinLevel string // more severe lines are lowered to it; "" = none
	Pos      source.Pos
}

// Mode is what a proxy understands of the bytes it carries. The zero Mode is invalid; the readers fill in the default.
type Mode int

// The modes: bytes as they come, requests and responses, or datagrams.
const (
	TCP Mode = iota + 1
	HTTP
	UDP
)

// String implements fmt.Stringer.
func (m Mode) String() string {
	switch m {
	case TCP:
		return "tcp"
	case HTTP:
		return "http"
	case UDP:
		return "udp"
	}
	return "unknown"
}

// ConnMode is how long an HTTP connection lives.
type ConnMode int

const (
	KeepAlive   ConnMode = iota // option http-keep-alive, the default
	ServerClose                 // option http-server-close
	Close                       // option httpclose
)

// LogFormat picks the line written per session.
type LogFormat int

const (
	LogBasic LogFormat = iota // "Connect from ..."
	LogTCP                    // option tcplog
	LogHTTP                   // option httplog
)

// Common is what frontends and backends both have. A `defaults` section is gone by now: its values stand here.
type Common struct {
	Mode        Mode
	ConnMode    ConnMode
	Log         []LogTarget // after `log global` was replaced by Global.Log
	LogFormat   LogFormat
	DontLogNull bool
	ForwardFor  *ForwardFor
	Stats       *Stats
	Timeouts    Timeouts
	Rules
	Compression *Compression // nil: none
	ErrorFiles  []ErrorFile
	// BufferRequest: a request goes on when all of it is here, or as much as there is room for.
	BufferRequest bool
	NoLinger      bool // option nolinger: a close forgets what has not been sent
	// SO_KEEPALIVE towards the client (of a frontend) and the server (of a backend).
	ClientKeepAlive, ServerKeepAlive bool
}

// Timeouts; zero is infinite (HAProxy warns about it, so do the readers). `http-request` zero falls back to Client,
// `http-keep-alive` to HTTPRequest, `queue` and `tarpit` to Connect.
type Timeouts struct {
	Connect, Client, Server                  time.Duration
	HTTPRequest, HTTPKeepAlive, Queue, Check time.Duration
	Tunnel, ClientFin, ServerFin, Tarpit     time.Duration
}

// ForwardFor is `option forwardfor`.
type ForwardFor struct {
	Header string       // default X-Forwarded-For
	Except netip.Prefix // clients inside are not named; the zero Prefix: none
	IfNone bool
}

// Stats is the plain page of the counters: `stats enable|uri|refresh|realm|auth`.
type Stats struct {
	URI     string // prefix; default /haproxy?stats
	Refresh time.Duration
	Realm   string // default "HAProxy Statistics"
	Auth    []UserPassword
	Pos     source.Pos
}

// UserPassword is one `stats auth user:password`.
type UserPassword struct{ User, Password string }

// Frontend is where clients arrive. A `listen` section is a Frontend and a Backend of one name, the Backend its default.
type Frontend struct {
	Name string
	Common
	Binds          []Bind
	MaxConn        int // 0: the process's
	SessionRate    int // rate-limit sessions: that begin a second; 0: no bound
	Monitor        Monitor
	Captures       []Capture // what the log line tells beyond its own
	UseBackend     []UseBackend
	DefaultBackend string      // "": 503 when no rule matches
	StickTable     *StickTable // that its rules count in
	NoH2Upgrade    bool        // option disable-h2-upgrade: a clear connection's preface begins no HTTP/2
	Pos            source.Pos
}

// CaptureOf is what a Capture takes.
type CaptureOf int

// A header of the request or of the answer, a cookie of both, or a place that rules fill.
const (
	CaptureRequest CaptureOf = iota + 1
	CaptureResponse
	CaptureCookie
	DeclareRequest
	DeclareResponse
)

// MaxCapture bounds the length of what is captured, in bytes.
const MaxCapture = 8192

// Capture is one `capture` or `declare capture` line.
type Capture struct {
	Of   CaptureOf
	Name string // of the header or cookie
	Len  int    // bytes that are kept
	Pos  source.Pos
}

// Bind is one listening address: of IP, or a Unix socket. An unspecified Addr listens on all of its family, and [::] on
// IPv4 too unless the machine (net.ipv6.bindv6only) or V6Only has it otherwise.
type Bind struct {
	Addr netip.AddrPort
	Unix string // path of a Unix socket, "@NAME" of an abstract one; Addr is the zero AddrPort then
	Name string
	TLS  *BindTLS // nil: clear

	Proto       Proto
	QUIC        bool   // of UDP, for HTTP/3; TLS is not nil then
	ForceRetry  bool   // of QUIC: every client has to show that its address is its own before anything is kept of it
	AcceptProxy bool   // each connection begins with a header of the PROXY protocol
	V4V6        bool   // [::] takes IPv4 as well
	V6Only      bool   // it does not; wins over V4V6
	Transparent bool   // connections to addresses of others are taken too (IP_TRANSPARENT)
	Interface   string // only what comes in there; "": anywhere
	MaxConn     int    // connections of this address; 0: as many as the frontend
	Backlog     int    // connections that the kernel keeps waiting; 0: the default
	Mode        string // of a Unix socket's file, octal; "": as the umask has it
	User, Group string // of a Unix socket's file, names or numbers; "": as the process

	Pos source.Pos
}

// Place is the address as haproxy.cfg spells it.
func (b Bind) Place() string {
	switch {
	case strings.HasPrefix(b.Unix, "@"):
		return "abns" + b.Unix
	case b.Unix != "":
		return b.Unix
	case b.QUIC && b.Addr.Addr().Is4():
		return "quic4@" + b.Addr.String()
	case b.QUIC:
		return "quic6@" + b.Addr.String()
	}
	return b.Addr.String()
}

// UseSrc is whose address a connection to a server comes from (`usesrc`).
type UseSrc int

// The choices: the proxy's own, the client's with or without its port, or another machine's.
const (
	UseSrcNone UseSrc = iota
	UseSrcClient
	UseSrcClientIP
	UseSrcAddr
)

// SourceAddress is where connections to servers come from: `source ADDR[:PORT[-PORT]] [usesrc X] [interface I]`.
type SourceAddress struct {
	Addr        netip.Addr // unspecified: the kernel's choice
	First, Last uint16     // ports to take turns with, one alone in a backend; 0: the kernel's choice
	UseSrc      UseSrc
	As          netip.AddrPort // with UseSrcAddr; port 0: the kernel's choice
	Interface   string         // go out there; "": as the routes have it
	Pos         source.Pos
}

// Algorithm is the word after `balance`.
type Algorithm int

// The algorithms: in turn by weight, by a hash of what BalanceArgs names, by what a server has to do, or at random.
const (
	RoundRobin Algorithm = iota + 1
	StaticRR             // as RoundRobin, of an order that weights don't change at run time
	LeastConn            // who has the least to do for its weight
	First                // the lowest id that has a free slot
	Random               // the least busy of a few draws
	Source               // hash of the client's address
	URI                  // hash of the request's target
	URLParam             // hash of a parameter of the query
	Hdr                  // hash of a header
	RDPCookie            // hash of the cookie in a Remote Desktop client's first bytes
	HashOf               // hash of a sample
	LeastTime            // nginx's: who answers soonest, times what it has to do
)

var algorithms = [...]string{"unknown", "roundrobin", "static-rr", "leastconn", "first", "random", "source", "uri", "url_param", "hdr",
	"rdp-cookie", "hash", "least_time"}

// String implements fmt.Stringer.
func (a Algorithm) String() string {
	if a < 0 || int(a) >= len(algorithms) {
		a = 0
	}
	return algorithms[a]
}

// Hashes reports whether a key of the request decides.
func (a Algorithm) Hashes() bool { return a >= Source && a <= HashOf }

// BalanceArgs is what follows the algorithm's name. Each has a use for some of them.
type BalanceArgs struct {
	Name       string // url_param, hdr: which one; rdp-cookie: which one, "" is mstshash
	Sample     Word   // hash: the expression
	DomainOnly bool   // hdr: of a host's name the part before the top-level domain
	Len        int    // uri: only so many bytes; 0: all
	Depth      int    // uri: only so many directories; 0: all
	Whole      bool   // uri: with the query
	PathOnly   bool   // uri: without scheme and host
	Draws      int    // random: how many servers are compared; 0 is 2
	LastByte   bool   // least_time: measured to the answer's end, not to its head
}

// HashMethod is how a hash finds its server.
type HashMethod int

// The methods: any change moves most keys; only what must move moves, by points on a circle; the same by a table that is
// filled from the servers' names.
const (
	MapBased HashMethod = iota
	Consistent
	Maglev
)

// HashFunction makes a number of a key.
type HashFunction int

// The functions. NoHash takes the key for the number that it spells.
const (
	SDBM HashFunction = iota
	DJB2
	WT6
	CRC32
	NoHash
)

// HashType is `hash-type METHOD FUNCTION [avalanche]`.
type HashType struct {
	Method    HashMethod
	Function  HashFunction
	Avalanche bool // the hash is stirred once more
}

// Backend is a set of servers and the way one of them is chosen.
type Backend struct {
	Name string
	Common
	UseServer   []UseServer
	Balance     Algorithm
	BalanceArgs BalanceArgs
	HashType    HashType
	HashFactor  int    // hash-balance-factor: percent of the mean load that a server may have, over 100; 0: no bound
	AllBackups  bool   // all backups are used when no active server is left, not only the first
	PreferLast  bool   // option prefer-last-server
	Persist     bool   // option persist: a cookie's server is asked even when it is down
	PersistRDP  string // persist rdp-cookie(NAME): who comes back to a Remote Desktop session goes to the server that its cookie names; "": no
	FullConn    int    // load of the backend at which minconn's limit has grown to maxconn; 0: a tenth of the frontends' maxconn
	Cookie      *Cookie
	Servers     []Server
	Retries     int // default 3; of what RetryOn names
	Redispatch  int // 0: off; -1: on the last retry (option redispatch); n: on every n-th
	StickTable  *StickTable
	Stick       []StickRule
	Source      *SourceAddress // nil: the kernel's choice
	// ProxyResponses is how many answers a datagram of UDP has, after which its session is over. nil: silence ends it.
	ProxyResponses *int
	HTTPReuse      Reuse
	RetryOn        []string // what else is tried again but a failed connect: words of `retry-on`; nil: conn-failure
	// AbortOnClose: a client that closes while its request waits has given up. PretendKeepAlive: a server that is to
	// close is not told so.
	AbortOnClose, PretendKeepAlive bool
	Pos                            source.Pos
}

// CookieMode is who makes the cookie.
type CookieMode int

// The modes: Reeve sets it, the server's own gets another value or the server's name in front, or it is only looked at.
const (
	CookieInsert CookieMode = iota
	CookieRewrite
	CookiePrefix
	CookiePassive
)

// Cookie is `cookie NAME MODE ...`.
type Cookie struct {
	Name     string
	Mode     CookieMode
	Indirect bool // the server never sees the cookie
	NoCache  bool // an answer that carries it is made private to caches
	PostOnly bool // inserted into answers to POST alone
	Preserve bool // what the server sets itself stays
	HTTPOnly bool // attributes of an inserted cookie, these five
	Secure   bool
	Domains  []string
	Attrs    []string
	MaxIdle  time.Duration // a cookie that was not used for so long counts for nothing; 0: no bound
	MaxLife  time.Duration // nor one that was given so long ago
	Pos      source.Pos
}

// Observe is what of the traffic counts as a sign of a server's health.
type Observe int

// The layers: whether connecting works, or whether answers are good HTTP of no server error (501 and 505 are none).
const (
	NoObserve Observe = iota
	Layer4
	Layer7
)

// OnError is what happens when ErrorLimit bad signs have come in a row.
type OnError int

// The reactions: as a failed check; the server is down; as the failed check before the last that counts; the next checks
// come soon.
const (
	FailCheck OnError = iota
	MarkDown
	SuddenDeath
	FastInter
)

// Server is one target. Its check, if any, is named: the agent joins check.Config and Server.
type Server struct {
	Name string
	// Address is HOST:PORT; the host may be a name, resolved when the version is applied. The port that the client
	// addressed is taken without :PORT, one at a distance from it with :+N or :-N. "/PATH" is a Unix socket, "abns@NAME" an
	// abstract one.
	Address   string
	Weight    int // 0..256, default 1; 0: no new sessions but by persistence
	Cookie    string
	ID        int           // number in consistent hashes, statistics and for `first`; 0: the next free one
	MaxConn   int           // concurrent requests (HTTP) or connections (TCP); 0: unlimited, the rest queues
	MinConn   int           // what MaxConn is while the backend has little to do; 0: always MaxConn
	MaxQueue  int           // who may wait for this server alone; 0: no bound
	SlowStart time.Duration // how long weight and MaxConn grow after it came up
	Backup    bool
	Disabled  bool // in maintenance
	Proto     Proto
	WS        Proto      // of WebSockets; 0: Proto, or HTTP/1 where ALPN offers it beside HTTP/2
	Check     string     // name of a check.Config; "": never checked, always up
	TLS       *ServerTLS // nil: clear
	Track     string     // BACKEND/SERVER whose health is this one's; "": its own

	Observe      Observe
	ErrorLimit   int // bad signs in a row; 0 is 10
	OnError      OnError
	OnMarkedDown string // "shutdown-sessions", or ""
	OnMarkedUp   string // "shutdown-backup-sessions", or ""

	MaxFails    int           // nginx's: so many failures within FailTimeout, and it is left alone as long; 0: off
	FailTimeout time.Duration // 0 is 10 s

	// Of idle connections: how many are kept (negative: any number), how long they may go unused, how often one is used
	// again (negative: any number). nil: HAProxy's defaults, -1, 5 s and -1.
	PoolMaxConn    *int
	PoolPurgeDelay *time.Duration
	MaxReuse       *int
	// SendProxy is the version of the PROXY protocol whose header begins each connection; 0: none.
	SendProxy int
	Source    *SourceAddress // nil: the backend's
	Pos       source.Pos
}

// StickTable is a proxy's own table: which server a client stays with, replicated over the cluster, and what Store names,
// which each node counts for itself.
type StickTable struct {
	Type    string // of the keys: ip, ipv6, integer, string, binary
	Len     int    // the longest key of type string or binary, in bytes; 0: 32
	Size    int    // entries; the oldest goes when it is full
	Expire  time.Duration
	NoPurge bool     // no entry goes before its time: a full table takes no more
	Store   []string // what is counted: "gpc0", "http_req_rate(10s)"
	Pos     source.Pos
}

// StickRule is `stick on FETCH`: match and store. Table "" is the backend's own.
type StickRule struct {
	On    string // "src" for now
	Table string
	Pos   source.Pos
}
