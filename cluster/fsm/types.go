// Package fsm is the state that all nodes agree on: configuration versions, sticky entries and whatever parts are
// registered beside them (leases). It is pure: no clock, no randomness, no I/O. The same commands in the same order give
// the same state, byte for byte; the leader stamps time into the commands.
package fsm

import "time"

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
	Expire time.Duration // from the leader's stamp; 0: never
	Size   int           // entries the table holds at most; the oldest goes first; 0: MaxTable
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

// Part is a piece of state with commands of its own, registered under a Type. Its methods are called by one goroutine at
// a time. Like everything here it must be deterministic.
type Part interface {
	// Version is the newest command version it understands; a command of a newer one stops the FSM.
	Version() uint8
	// Apply runs one command. An error is the command's answer (the same on every node), not a failure of the FSM, unless
	// it is a *CorruptError.
	Apply(index uint64, cmd []byte) (any, error)
	// Snapshot returns the state as bytes; equal states give equal bytes.
	Snapshot() []byte
	// Restore replaces the state.
	Restore(snapshot []byte) error
}
