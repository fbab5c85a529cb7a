package lease

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// Bounds. What lies beyond is refused.
const (
	maxRecords = 4096 // leases the log keeps
	maxName    = 255  // bytes of a node's or an instance's name
)

// Record is what the log says of one lease.
type Record struct {
	Instance string
	Holder   string // node name; "": nobody, the last holder has let go
	Life     uint64 // which run of the holder's Client it was given to
	Epoch    uint64 // counts the changes of this lease, from 1
	TTL      time.Duration
}

// Move is one wanted change of holder. It is done only if the lease still has the epoch From: of two moves that were both
// under way one wins and the other changes nothing.
type Move struct {
	Instance string
	From     uint64 // 0: was never held
	To       string // "": nobody, the holder has let go
	Life     uint64
	TTL      time.Duration
}

// State is the leases' part of the FSM. The zero State is empty and ready. It reads no clock and is as deterministic as
// the log; it is owned by the goroutine that applies entries.
type State struct {
	records map[string]Record
}

const commandVersion, snapshotVersion = 1, 1

// AppendCommand appends the log entry for the moves to b.
func AppendCommand(b []byte, moves []Move) []byte {
	b = append(b, commandVersion)
	b = binary.AppendUvarint(b, uint64(len(moves)))
	for _, m := range moves {
		b = appendRecord(b, Record{Instance: m.Instance, Epoch: m.From, Holder: m.To, Life: m.Life, TTL: m.TTL})
	}
	return b
}

// Apply does what a log entry says and returns, in the entry's order, how each lease it names stands afterwards. An entry of
// an unknown version, a damaged or an oversized one changes nothing and is an error.
func (s *State) Apply(cmd []byte) ([]Record, error) {
	moves, err := decodeRecords(cmd, commandVersion)
	if err != nil {
		return nil, fmt.Errorf("lease entry: %w", err)
	}
	out := make([]Record, len(moves))
	for i, m := range moves {
		out[i] = s.move(m)
	}
	return out, nil
}

// move applies one Move, spelled as a Record whose Epoch is the one the lease must have.
func (s *State) move(m Record) Record {
	cur, known := s.records[m.Instance]
	if !known {
		cur.Instance = m.Instance
	}
	if cur.Epoch != m.Epoch || (!known && len(s.records) >= maxRecords) || (!known && m.Holder == "") {
		return cur
	}
	if s.records == nil {
		s.records = make(map[string]Record)
	}
	m.Epoch++
	s.records[m.Instance] = m
	return m
}

// Epoch returns the newest epoch of an instance's lease, 0 if there was none.
func (s *State) Epoch(instance string) uint64 { return s.records[instance].Epoch }

// Records returns a copy of all records, by instance.
func (s *State) Records() []Record {
	out := make([]Record, 0, len(s.records))
	for _, r := range s.records {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Record) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

// AppendSnapshot appends all there is to b; equal States give equal bytes.
func (s *State) AppendSnapshot(b []byte) []byte {
	all := s.Records()
	b = append(b, snapshotVersion)
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, r := range all {
		b = appendRecord(b, r)
	}
	return b
}

// Restore replaces the state by what AppendSnapshot wrote; on error it is unchanged.
func (s *State) Restore(snapshot []byte) error {
	all, err := decodeRecords(snapshot, snapshotVersion)
	if err != nil {
		return fmt.Errorf("lease snapshot: %w", err)
	}
	records := make(map[string]Record, len(all))
	for _, r := range all {
		if _, twice := records[r.Instance]; twice || r.Epoch == 0 {
			return fmt.Errorf("lease snapshot: record of %q: %w", r.Instance, ErrProtocol)
		}
		records[r.Instance] = r
	}
	s.records = records
	return nil
}

func appendRecord(b []byte, r Record) []byte {
	b = appendString(b, r.Instance)
	b = appendString(b, r.Holder)
	b = binary.BigEndian.AppendUint64(b, r.Life)
	b = binary.AppendUvarint(b, r.Epoch)
	return binary.AppendUvarint(b, uint64(r.TTL/time.Millisecond))
}

func decodeRecords(b []byte, version byte) ([]Record, error) {
	d := decoder{b: b}
	if v := d.byte(); v != version {
		return nil, fmt.Errorf("version %d, known is %d: %w", v, version, ErrProtocol)
	}
	n := d.count(maxRecords, 12)
	out := make([]Record, 0, n)
	for range n {
		out = append(out, d.record())
	}
	return out, d.end()
}

func (d *decoder) record() Record {
	r := Record{Instance: d.string(), Holder: d.string(), Life: d.uint64(), Epoch: d.uvarint(), TTL: d.millis()}
	if r.Instance == "" {
		d.fail()
	}
	return r
}
