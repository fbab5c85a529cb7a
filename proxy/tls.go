package proxy

import "github.com/reeve-lb/reeve/internal/source"

// TLSVersion is a version of the protocol. The zero TLSVersion leaves the bound open.
type TLSVersion int

// The versions, by the names of `ssl-min-ver`. Nothing speaks SSLv3 any more: as a lower bound it means the oldest there is.
const (
	SSLv3 TLSVersion = iota + 1
	TLSv10
	TLSv11
	TLSv12
	TLSv13
)

// String implements fmt.Stringer.
func (v TLSVersion) String() string {
	if v < SSLv3 || v > TLSv13 {
		return ""
	}
	return [...]string{"SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}[v-SSLv3]
}

// Verify is what is asked of the other side's certificate.
type Verify int

// The words after `verify`.
const (
	VerifyNone     Verify = iota
	VerifyOptional        // of a client: it may come without, but not with a bad one
	VerifyRequired
)

// String implements fmt.Stringer.
func (v Verify) String() string {
	if v < VerifyNone || v > VerifyRequired {
		return "unknown"
	}
	return [...]string{"none", "optional", "required"}[v]
}

// TLSParams are the words that binds and servers share. The global ssl-default-* words stand in them by now. Lists are as
// written: names of OpenSSL, separated by colons.
type TLSParams struct {
	MinVersion, MaxVersion TLSVersion // 0: TLSv1.2, and the newest there is
	Ciphers                string     // up to TLSv1.2; "": the library's
	CipherSuites           string     // of TLSv1.3; "": the library's
	Curves                 string     // "": the library's
	ALPN                   string     // protocols separated by commas, the preferred one first; "": none
	CAFile                 string     // who may have signed the other side's certificate; @system-ca: whom the machine trusts
	CRLFile                string     // what has been revoked
	Verify                 Verify
	NoTickets              bool // no-tls-tickets: nothing of a session is given to the other side to keep
}

// BindTLS is what `ssl` makes of a bind line. Relative names of files begin at Global's CrtBase and CABase.
type BindTLS struct {
	TLSParams
	Crts       []Crt  // the first certificate of all is the default
	StrictSNI  bool   // no default certificate: who names no name of ours is refused
	TicketKeys string // file of the keys that sessions are sealed with; "": own ones, renewed daily
	Pos        source.Pos
}

// Crt is one `crt` or `crt-list`: a file, a directory of files, or a list of files with their names and options.
type Crt struct {
	File string
	List bool
	Pos  source.Pos
}

// ServerTLS is what `ssl` makes of a server line.
type ServerTLS struct {
	TLSParams
	Crt        string // the client certificate that the server is shown; "": none
	SNI        string // str(NAME), req.hdr(host) or ssl_fc_sni; "": no name is sent
	VerifyHost string // name that the certificate must be good for; "": the one sent as SNI
	NoReuse    bool   // no-ssl-reuse: sessions are not resumed
	Pos        source.Pos
}
