// Package api is the typed client of an agent's HTTP interface and the wire types of /v1. It imports nothing else of the
// project, so that other programs can use it alone. Field names of the JSON are stable.
package api

import "time"

// Self is GET /v1/agent/self.
type Self struct {
	Node          string `json:"node"`
	ID            string `json:"id"`
	Version       string `json:"version"`
	Leader        string `json:"leader"` // node name; "" if none is known
	IsLeader      bool   `json:"is_leader"`
	InCluster     bool   `json:"in_cluster"`     // false: stands alone, its files are the truth
	ConfigVersion uint64 `json:"config_version"` // the version it runs; 0: its own files
	ConfigProblem string `json:"config_problem,omitempty"`
	PID           int    `json:"pid"`
}

// Member is one row of GET /v1/agent/members.
type Member struct {
	Name    string            `json:"name"`
	ID      string            `json:"id"`
	Address string            `json:"address"` // host:port of gossip
	Status  string            `json:"status"`  // alive, leaving, left, failed
	Role    string            `json:"role"`    // node, witness
	Build   string            `json:"build"`
	Leader  bool              `json:"leader"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// JoinRequest is the body of PUT /v1/agent/join.
type JoinRequest struct {
	Addresses []string `json:"addresses"`
}

// JoinResponse says how many of them answered.
type JoinResponse struct {
	Joined int `json:"joined"`
}

// File is one configuration file as the user named it. Node is set for `name=file` arguments.
type File struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	Node    string `json:"node,omitempty"`
	Format  string `json:"format,omitempty"` // hcl, haproxy, keepalived; "": by the name's ending

	Dir      string     `json:"dir,omitempty"`      // that a relative name counts from
	Included []Included `json:"included,omitempty"` // what a keepalived.conf includes
}

// Included is a file that another one includes, read by the client.
type Included struct {
	Name    string `json:"name"`
	Content string `json:"content,omitempty"`
	Error   string `json:"error,omitempty"`   // why it could not be read
	Skipped bool   `json:"skipped,omitempty"` // a directory, or a program
}

// ConfigRequest is the body of PUT /v1/config/plan and /v1/config/apply.
type ConfigRequest struct {
	Files   []File `json:"files"`
	Summary string `json:"summary,omitempty"`
	// Base, when not nil, is the version the change was made against; another one in force refuses it.
	Base *uint64 `json:"base,omitempty"`
	// Ignore are names of the linter's rules that shall be silent.
	Ignore []string `json:"ignore,omitempty"`
}

// Problem is one thing wrong in a file, on a node.
type Problem struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Col      int    `json:"col,omitempty"`
	Severity string `json:"severity"` // error, warning
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
	Node     string `json:"node,omitempty"` // "": the file itself, whatever the node
	Rule     string `json:"rule,omitempty"` // name of the rule of the linter that warns; -ignore silences it
}

// Change is one difference between the version in force and the wanted one.
type Change struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // added, removed, changed
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// PlanResponse is the answer to plan: what apply would do and who could not run it.
type PlanResponse struct {
	Base     uint64    `json:"base"`
	Changes  []Change  `json:"changes"`
	Problems []Problem `json:"problems"`
}

// NodeReport says what one node made of a version.
type NodeReport struct {
	Node    string  `json:"node"`
	Version uint64  `json:"version"`
	Error   string  `json:"error,omitempty"`
	TookMS  float64 `json:"took_ms"`
}

// ApplyResponse is the answer to apply.
type ApplyResponse struct {
	Version  uint64       `json:"version"`
	Changes  []Change     `json:"changes"`
	Problems []Problem    `json:"problems"`
	Nodes    []NodeReport `json:"nodes"`
	TookMS   float64      `json:"took_ms"`
}

// ConfigVersion is one row of GET /v1/config/history and the head of GET /v1/config.
type ConfigVersion struct {
	Version uint64    `json:"version"`
	Time    time.Time `json:"time"`
	Author  string    `json:"author"`
	Summary string    `json:"summary"`
	Running bool      `json:"running"` // by the agent asked
	Digest  string    `json:"digest"`  // of the payload
}

// Config is GET /v1/config: the version in force, as HCL.
type Config struct {
	ConfigVersion
	HCL string `json:"hcl"`
}

// VIP is one row of GET /v1/vips: an instance and who holds it.
type VIP struct {
	Instance  string   `json:"instance"`
	Addresses []string `json:"addresses"`
	Election  string   `json:"election"` // cluster, vrrp
	Holder    string   `json:"holder"`   // node name; under vrrp an address; "" if unknown
	Epoch     uint64   `json:"epoch"`
	State     string   `json:"state"` // of the asked node: MASTER, BACKUP, FAULT, INIT
	Priority  int      `json:"priority"`
	Interface string   `json:"interface"`
}

// Candidate is one node in the running for an instance.
type Candidate struct {
	Node     string `json:"node"`
	Priority int    `json:"priority"`
	Ready    bool   `json:"ready"`
	Holding  bool   `json:"holding"`
	Note     string `json:"note,omitempty"`
}

// Weight is one cause of the effective priority.
type Weight struct {
	Cause  string `json:"cause"` // track_script chk_web
	Weight int    `json:"weight"`
	State  string `json:"state"` // ok, failed, unknown
}

// Advert is the last one heard from one source.
type Advert struct {
	Source   string    `json:"source"`
	Priority int       `json:"priority"`
	Time     time.Time `json:"time"`
	Count    uint64    `json:"count"`
}

// Move is one change of state with its cause.
type Move struct {
	Time  time.Time `json:"time"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	Cause string    `json:"cause"`
	Epoch uint64    `json:"epoch,omitempty"`
}

// Why is GET /v1/vips/NAME: the evidence.
type Why struct {
	VIP
	Node         string            `json:"node"` // the node that tells
	BasePriority int               `json:"base_priority"`
	Weights      []Weight          `json:"weights"`
	Candidates   []Candidate       `json:"candidates"`
	LeaseLeftMS  float64           `json:"lease_left_ms"` // of this node's own lease; 0: it has none
	Since        time.Time         `json:"since"`
	Cause        string            `json:"cause"`
	Adverts      []Advert          `json:"adverts"`
	Counters     map[string]uint64 `json:"counters"`
	Moves        []Move            `json:"moves"`
	Group        string            `json:"group,omitempty"` // sync group: the instances are MASTER together
	Alarms       []Alarm           `json:"alarms"`          // what peers do that they should not, the latest first
	Duplicates   []Duplicate       `json:"duplicates"`      // addresses that other machines of the segment claim
	Incomplete   []string          `json:"incomplete"`      // addresses, routes, rules and filters that could not be put on
}

// Alarm is a mismatch of one peer and cause with how often it was seen.
type Alarm struct {
	Source string `json:"source"` // "" for peers of which there were too many to tell apart
	Cause  string `json:"cause"`
	Detail string `json:"detail"`
	Count  uint64 `json:"count"`
	// AgoMS is how long ago it was seen last.
	AgoMS float64 `json:"ago_ms"`
}

// Duplicate is an address that this node has and another machine says it has.
type Duplicate struct {
	Address   string    `json:"address"`
	Interface string    `json:"interface"`
	OurMAC    string    `json:"our_mac"`
	TheirMAC  string    `json:"their_mac"`
	Time      time.Time `json:"time"`
	Count     uint64    `json:"count"`
}

// Table is one row of GET /v1/tables.
type Table struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Size    int    `json:"size"`
	Entries int    `json:"entries"`
}

// TableEntry is one row of GET /v1/tables/NAME.
type TableEntry struct {
	Key       string `json:"key"`
	Server    string `json:"server"`
	ExpiresMS int64  `json:"expires_ms"`
}

// Certificate is one row of GET /v1/certificates: what binds serve on this node, and what was set. Keys are never told.
type Certificate struct {
	File      string    `json:"file"`
	Names     []string  `json:"names"`
	Key       string    `json:"key"` // "RSA", "ECDSA" or "Ed25519"
	Serial    string    `json:"serial"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	OCSP      bool      `json:"ocsp"`         // an OCSP answer is stapled
	Served    bool      `json:"served"`       // a bind of this node names the file
	Set       time.Time `json:"set,omitzero"` // when it was set in place of the file; zero: it is the file's own
}

// CertificateRequest is the body of PUT /v1/certificates/NAME.
type CertificateRequest struct {
	PEM string `json:"pem"` // certificate, chain and key
}

// CertificateChange answers it, and PUT /v1/tls/ticket-keys: every live node has been asked, and serves so unless its
// report has an error.
type CertificateChange struct {
	File     string          `json:"file,omitempty"` // in whose place the certificate stands, or that counts again
	Nodes    []ServingReport `json:"nodes"`
	Problems []Problem       `json:"problems,omitempty"` // warnings
}

// ServingReport says what a node made of a change.
type ServingReport struct {
	Node   string  `json:"node"`
	Error  string  `json:"error"`   // why it does not serve so (yet), or ""
	TookMS float64 `json:"took_ms"` // from the entry's commit to the report
}

// TicketKeysRequest is the body of PUT /v1/tls/ticket-keys: one to three keys of 32 bytes in base64, newest first. They come
// before those that were set before, of which so many stay that there are three. The newest one seals session tickets,
// all open them.
type TicketKeysRequest struct {
	Keys []string `json:"keys"`
}

// RaftPeer is one row of GET /v1/operator/raft/configuration.
type RaftPeer struct {
	Node        string `json:"node"`
	ID          string `json:"id"`
	Address     string `json:"address"`
	State       string `json:"state"` // leader, follower; unknown while there is no leader
	Voter       bool   `json:"voter"`
	CommitIndex uint64 `json:"commit_index"`
}

// ReloadResponse says what a reload found.
type ReloadResponse struct {
	Problems []Problem `json:"problems"`
	Version  uint64    `json:"version"`
}

// Error is the body of every answer that is no success. Code is a stable word.
type Error struct {
	Status   int       `json:"-"`
	Code     string    `json:"code"`
	Message  string    `json:"message"`
	Problems []Problem `json:"problems,omitempty"`
}

// Error is the message alone; problems are printed by who has a place for lines.
func (e *Error) Error() string { return e.Message }

// Codes of Error that callers branch on.
const (
	CodeInvalid   = "invalid"   // the request or its configuration is wrong
	CodeConflict  = "conflict"  // another version is in force than Base says
	CodeRefused   = "refused"   // a live node can't run it
	CodeNoLeader  = "no_leader" // no majority in reach
	CodeNotFound  = "not_found" // no such instance, table, version
	CodeForbidden = "forbidden" // a token is asked for
	CodeAlone     = "alone"     // the agent stands alone: its files are the truth
	CodeInternal  = "internal"
)
