package rule

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Maps are the map files of a configuration by name. They outlive it: a map whose file says the same as before keeps what
// was changed at run time. Safe for concurrent use.
type Maps struct {
	mu  sync.Mutex
	all map[string]*Map
}

// Map is one file's keys and values, with an index for each way in which rules look keys up.
type Map struct {
	mu      sync.Mutex
	text    string // of the file it was read from
	entries []Entry
	views   []*mapView
}

// Entry is one line of a map.
type Entry struct{ Key, Value string }

// mapView is a map as one kind of converter sees it. The index is swapped as a whole.
type mapView struct {
	kind matchKind
	out  Type
	cur  atomic.Pointer[mapIndex]
}

type mapIndex struct {
	find   finder
	values []Value
}

// get is the map of that name; nil if no configuration has used one.
func (m *Maps) get(name string) *Map {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[name]
}

// take finds or makes the map of a file; its lines are taken if they are others than the last time.
func (m *Maps) take(name, text string) *Map {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*Map{}
	}
	mp := m.all[name]
	if mp == nil {
		mp = &Map{text: text, entries: readMap(text)}
		m.all[name] = mp
	} else if mp.text != text {
		mp.mu.Lock()
		mp.text = text
		mp.mu.Unlock()
		mp.Swap(readMap(text))
	}
	return mp
}

// readMap reads lines of a key, blanks and a value.
func readMap(text string) []Entry {
	var out []Entry
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value := line, ""
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			key, value = line[:i], strings.TrimSpace(line[i:])
		}
		out = append(out, Entry{key, value})
	}
	return out
}

// readPatterns reads a file of one pattern a line.
func readPatterns(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

// view is the index for one kind of look-up, made when first asked for.
func (mp *Map) view(kind matchKind, out Type) (*mapView, error) {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	for _, v := range mp.views {
		if v.kind == kind && v.out == out {
			return v, nil
		}
	}
	v := &mapView{kind: kind, out: out}
	x, err := v.index(mp.entries)
	v.cur.Store(x)
	if err == nil {
		mp.views = append(mp.views, v)
	}
	return v, err
}

func (v *mapView) index(entries []Entry) (*mapIndex, error) {
	ps := make([]pattern, len(entries))
	x := &mapIndex{values: make([]Value, len(entries))}
	var bad error
	for i, e := range entries {
		ps[i] = pattern{text: e.Key}
		val := Value{Type: Str, Bytes: []byte(e.Value)}
		ok := true
		switch v.out {
		case Int:
			var n int64
			n, ok = val.number()
			val = Value{Type: Int, Int: n}
		case Addr:
			a, is := val.address()
			ok = is
			val = Value{Type: Addr, Addr: a}
		}
		if !ok && bad == nil {
			bad = fmt.Errorf("the value '%s' of the key '%s' is no %s", short(e.Value), short(e.Key), v.out)
		}
		x.values[i] = val
	}
	x.find = newFinder(v.kind, ps, func(i int, err error) {
		if bad == nil {
			bad = fmt.Errorf("the key %w", err)
		}
	})
	return x, bad
}

// Swap replaces all entries at once.
func (mp *Map) Swap(entries []Entry) error {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	fresh := make([]*mapIndex, len(mp.views))
	for i, v := range mp.views {
		x, err := v.index(entries)
		if err != nil {
			return err
		}
		fresh[i] = x
	}
	mp.entries = entries
	for i, v := range mp.views {
		v.cur.Store(fresh[i])
	}
	return nil
}

// Entries lists the map.
func (mp *Map) Entries() []Entry {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	return slices.Clone(mp.entries)
}

// change applies f to a copy of a map's entries.
func (m *Maps) change(name string, f func([]Entry) ([]Entry, error)) error {
	mp := m.get(name)
	if mp == nil {
		return fmt.Errorf("there is no map '%s'", name)
	}
	entries, err := f(mp.Entries())
	if err != nil {
		return err
	}
	return mp.Swap(entries)
}

// Set changes the value of a key that is there.
func (m *Maps) Set(name, key, value string) error {
	return m.change(name, func(es []Entry) ([]Entry, error) {
		found := false
		for i := range es {
			if es[i].Key == key {
				es[i].Value, found = value, true
			}
		}
		if !found {
			return nil, fmt.Errorf("the map '%s' has no key '%s'", name, short(key))
		}
		return es, nil
	})
}

// Add adds a key.
func (m *Maps) Add(name, key, value string) error {
	return m.change(name, func(es []Entry) ([]Entry, error) { return append(es, Entry{key, value}), nil })
}

// Del deletes a key.
func (m *Maps) Del(name, key string) error {
	return m.change(name, func(es []Entry) ([]Entry, error) {
		n := len(es)
		if es = slices.DeleteFunc(es, func(e Entry) bool { return e.Key == key }); len(es) == n {
			return nil, fmt.Errorf("the map '%s' has no key '%s'", name, short(key))
		}
		return es, nil
	})
}

// Swap replaces a map's entries at once.
func (m *Maps) Swap(name string, entries []Entry) error {
	return m.change(name, func([]Entry) ([]Entry, error) { return slices.Clone(entries), nil })
}

// List lists a map's entries; ok is false when there is no such map.
func (m *Maps) List(name string) (entries []Entry, ok bool) {
	mp := m.get(name)
	if mp == nil {
		return nil, false
	}
	return mp.Entries(), true
}

func init() {
	outs := map[string]Type{"": Str, "_str": Str, "_int": Int, "_ip": Addr}
	for suffix, out := range outs {
		for name, kind := range map[string]matchKind{"str": matchStr, "beg": matchBeg, "end": matchEnd, "sub": matchSub, "dir": matchDir,
			"dom": matchDom, "reg": matchReg, "ip": matchIP, "int": matchInt} {
			in := Str
			switch kind {
			case matchIP:
				in = Addr
			case matchInt:
				in = Int
			}
			def := &convDef{in: in, least: 1, most: 2, make: makeMap(kind, out)}
			converters["map_"+name+suffix] = def
			if kind == matchStr && suffix == "" {
				converters["map"] = def
			}
		}
	}
}

// makeMap makes map*(file[,default]).
func makeMap(kind matchKind, out Type) func(*program, *expr, []string) (convFunc, Type, error) {
	return func(p *program, e *expr, args []string) (convFunc, Type, error) {
		e.costly = true
		var otherwise *Value
		if len(args) == 2 {
			v := Value{Type: Str, Bytes: []byte(args[1])}
			ok := true
			switch out {
			case Int:
				n, is := v.number()
				v, ok = Value{Type: Int, Int: n}, is
			case Addr:
				a, is := v.address()
				v, ok = Value{Type: Addr, Addr: a}, is
			}
			if !ok {
				return nil, 0, fmt.Errorf("the default '%s' is no %s", short(args[1]), out)
			}
			otherwise = &v
		}
		if p.o.File == nil { // only the words are looked at
			return func(*Ctx, *Value) bool { return false }, out, nil
		}
		text, err := p.o.File(args[0])
		if err != nil {
			return nil, 0, err
		}
		view, err := p.o.Maps.take(args[0], string(text)).view(kind, out)
		if err != nil {
			return nil, 0, fmt.Errorf("map '%s': %w", args[0], err)
		}
		return view.lookup(otherwise), out, nil
	}
}

func (v *mapView) lookup(otherwise *Value) convFunc {
	return func(c *Ctx, val *Value) bool {
		x := v.cur.Load()
		i := x.find.find(c, val)
		switch {
		case i >= 0:
			*val = x.values[i]
		case otherwise != nil:
			*val = *otherwise
		default:
			return false
		}
		return true
	}
}
