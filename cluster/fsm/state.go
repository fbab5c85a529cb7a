package fsm

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// State is the whole of what is agreed on. It is not safe for concurrent use; only a Snapshot, once taken, may be
// written while commands go on.
type State struct {
	configs configs
	tables  tables
	parts   map[Type]Part
	index   uint64
	stuck   error
}

// New makes an empty State with parts beside the built-in ones.
func New(parts map[Type]Part) *State {
	return &State{tables: tables{m: map[string]*table{}}, parts: parts}
}

// Result is what one command did, the same on every node.
type Result struct {
	Config  ConfigVersion // TypeConfig: the version made
	Changes []Change      // TypeTables
	Value   any           // a part's answer
	Err     error         // why nothing changed
	Type    Type
}

// Apply runs one command. Result.Err tells why a command changed nothing. The error itself is an *UnknownError: nothing
// is applied any more, now or later (see Stuck).
func (s *State) Apply(index uint64, cmd []byte) (Result, error) {
	if s.stuck != nil {
		return Result{Err: s.stuck}, s.stuck
	}
	if len(cmd) < 2 {
		return Result{Err: ErrMalformed}, nil
	}
	t, version, p := Type(cmd[0]), cmd[1], cmd[2:]
	res := Result{Type: t}
	if !s.knows(t, version) {
		s.stuck = &UnknownError{Index: index, Type: t, Version: version}
		res.Err = s.stuck
		return res, s.stuck
	}
	s.index = index
	switch t {
	case TypeConfig:
		res.Config, res.Err = s.configs.apply(p)
	case TypeTables:
		res.Changes, res.Err = s.tables.apply(p)
	default:
		res.Value, res.Err = s.parts[t].Apply(index, p)
	}
	return res, nil
}

func (s *State) knows(t Type, version uint8) bool {
	if version == 0 {
		return false
	}
	switch t {
	case TypeConfig:
		return version <= configVersion
	case TypeTables:
		return version <= tablesVersion
	}
	p := s.parts[t]
	return p != nil && version <= p.Version()
}

// Index is the log index of the newest command that was applied.
func (s *State) Index() uint64 { return s.index }

// Stuck is why commands are no longer applied, or nil.
func (s *State) Stuck() error { return s.stuck }

// Config returns the version in force; false if there is none yet.
func (s *State) Config() (ConfigVersion, bool) {
	n := len(s.configs.history)
	if n == 0 {
		return ConfigVersion{}, false
	}
	return s.configs.history[n-1], true
}

// History returns the versions kept, oldest first.
func (s *State) History() []ConfigVersion { return slices.Clone(s.configs.history) }

// Tables returns each table's name and number of entries, ordered by name.
func (s *State) Tables() []TableInfo {
	var ts []TableInfo
	for name, t := range s.tables.m {
		ts = append(ts, TableInfo{name, len(t.queue)})
	}
	slices.SortFunc(ts, func(a, b TableInfo) int { return strings.Compare(a.Name, b.Name) })
	return ts
}

// TableInfo is one table's head.
type TableInfo struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
}

// Lookup finds one entry.
func (s *State) Lookup(k Key) (Entry, bool) {
	if t := s.tables.m[k.Table]; t != nil {
		if it := t.get(k.Key); it != nil {
			return it.entry(k.Table), true
		}
	}
	return Entry{}, false
}

// Entries goes through the entries of a table, or of all with "". The order is none in particular.
func (s *State) Entries(name string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for n, t := range s.tables.m {
			if name != "" && n != name {
				continue
			}
			for _, it := range t.queue {
				if !yield(it.entry(n)) {
					return
				}
			}
		}
	}
}

// NextExpiry is when the first entry's age is over; false if none has one.
func (s *State) NextExpiry() (time.Time, bool) {
	next := int64(never)
	for _, t := range s.tables.m {
		if len(t.queue) > 0 {
			next = min(next, t.queue[0].expires)
		}
	}
	if next == never {
		return time.Time{}, false
	}
	return stamp(next), true
}

// String is for debugging.
func (s *State) String() string {
	return fmt.Sprintf("config %d, %d tables, %d parts", s.configs.current(), len(s.tables.m), len(s.parts))
}
