// Package fsm is the state that all nodes agree on: configuration versions, sticky entries and whatever parts are
// registered beside them (leases, certificates). It is pure: no clock, no randomness, no I/O. The same commands in the same order give
// the same state, byte for byte; the leader stamps time into the commands.
//
// A command is one byte of type, one of version, and the type's own payload. A node that meets a type or a version it
// does not know stops applying for good rather than guess: it would no longer agree with the others. A malformed command
// of a known version changes nothing, on every node alike.
package fsm

import (
	"errors"
	"fmt"
	"time"
)

// Type is the first byte of a command and the name of a section in a snapshot.
type Type uint8

const (
	// TypeConfig proposes a configuration version.
	TypeConfig Type = 1
	// TypeTables binds and deletes sticky entries.
	TypeTables Type = 2
	// TypeLease moves leases; its part is registered by the lease package's owner.
	TypeLease Type = 3
	// TypeTLS sets certificates and ticket keys; its part is TLSPart.
	TypeTLS Type = 4
)

// String implements fmt.Stringer.
func (t Type) String() string {
	switch t {
	case TypeConfig:
		return "config"
	case TypeTables:
		return "tables"
	case TypeLease:
		return "lease"
	case TypeTLS:
		return "tls"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Part is a piece of state with commands of its own, registered under a Type. Its methods are called by one goroutine at
// a time. Like everything here it must be deterministic.
type Part interface {
	// Version is the newest command version it understands; a command of a newer one stops the FSM.
	Version() uint8
	// Apply runs one command's payload. Its results are the command's answer, the same on every node. An error means that
	// nothing changed.
	Apply(index uint64, cmd []byte) (any, error)
	// Snapshot returns the state as bytes that nobody changes afterwards; equal states give equal bytes.
	Snapshot() []byte
	// Restore replaces the state.
	Restore(snapshot []byte) error
}

// ErrMalformed: a command of a known type that can't be read. It changed nothing.
var ErrMalformed = errors.New("malformed command")

// UnknownError stops a FSM: the command is of a newer program.
type UnknownError struct {
	Index   uint64
	Type    Type
	Version uint8
}

// Error implements error.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("log entry %d is a command (%v, version %d) of a newer program: upgrade this node", e.Index, e.Type, e.Version)
}

// ConflictError refuses a change that was made against another version than the one in force.
type ConflictError struct {
	Base    uint64 // what the change was made against
	Current uint64 // what is in force
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("made against version %d, but version %d is in force", e.Base, e.Current)
}

// ConfigVersion is one agreed configuration. Payload is shared: read only.
type ConfigVersion struct {
	Version uint64    `json:"version"` // from 1, without gaps
	Time    time.Time `json:"time"`    // the leader's clock, UTC
	Author  string    `json:"author"`
	Summary string    `json:"summary"`
	Payload []byte    `json:"payload"`
}

// Key names a sticky entry.
type Key struct {
	Table string
	Key   string // raw bytes
}

// Binding is a wish: Key sticks to Server. Limits travel with it, since the cluster knows no table's settings.
type Binding struct {
	Key
	Server string
	Was    string        // the server to be replaced (redispatch); "": first writer wins
	Expire time.Duration // from the leader's stamp, in ms steps; 0: never
	Size   int           // entries the table holds at most, what expires first goes first; 0: MaxEntries
}

// Entry is an agreed binding.
type Entry struct {
	Key
	Server  string
	Bound   time.Time // leader's stamp of the binding
	Renewed time.Time // leader's stamp of the last renewal
	Expires time.Time // zero: never
}

// ChangeKind says what became of an entry. The zero kind is invalid.
type ChangeKind uint8

const (
	// Bound: a new entry, or one whose server was replaced.
	Bound ChangeKind = iota + 1
	// Renewed: same server, new age.
	Renewed
	// Kept: another server was wished for, but Entry was first and stays.
	Kept
	// Deleted by will.
	Deleted
	// Expired by age.
	Expired
	// Evicted because the table was full.
	Evicted
	// Reset: forget everything known before; the contents follow as Bound. Entry is empty.
	Reset
)

// String implements fmt.Stringer.
func (k ChangeKind) String() string {
	if k < Bound || k > Reset {
		return "unknown"
	}
	return [...]string{"bound", "renewed", "kept", "deleted", "expired", "evicted", "reset"}[k-1]
}

// Change is what became of an entry.
type Change struct {
	Kind ChangeKind
	Entry
}
