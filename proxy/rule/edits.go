package rule

// maxAdded and editRoom bound what the rules may do to one head.
const (
	maxAdded   = 64
	maxChanged = 32
	editRoom   = 8192
)

// Edits is what rules want changed in a head. The head itself stays as it was parsed; who writes it on asks the Edits line
// by line. It has a fixed size and is used again for another message after Reset.
type Edits struct {
	gone    []uint64
	changed []change
	added   []field
	method  []byte
	target  []byte
	status  int
	reason  []byte
	room    []byte // what the slices above lie in; never grows beyond its capacity
}

type change struct {
	at    int
	value []byte
}

type field struct{ name, value []byte }

// NewEdits allocates an Edits.
func NewEdits() *Edits {
	return &Edits{gone: make([]uint64, 0, 2), room: make([]byte, 0, editRoom), changed: make([]change, 0, maxChanged), added: make([]field, 0, maxAdded)}
}

// Reset makes it ready for another message.
func (e *Edits) Reset() {
	e.gone = e.gone[:0]
	e.changed, e.added, e.room = e.changed[:0], e.added[:0], e.room[:0]
	e.method, e.target, e.status, e.reason = nil, nil, 0, nil
}

func (e *Edits) isGone(i int) bool { return i/64 < len(e.gone) && e.gone[i/64]&(1<<(i%64)) != 0 }

func (e *Edits) remove(m *Message, i int) {
	if i >= m.Head.N {
		e.added[i-m.Head.N] = field{}
		return
	}
	for i/64 >= len(e.gone) {
		e.gone = append(e.gone, 0)
	}
	e.gone[i/64] |= 1 << (i % 64)
}

func (e *Edits) value(i int) ([]byte, bool) {
	for k := len(e.changed) - 1; k >= 0; k-- {
		if e.changed[k].at == i {
			return e.changed[k].value, true
		}
	}
	return nil, false
}

// copy takes b into the room.
func (e *Edits) copy(b []byte) ([]byte, bool) {
	if len(b) > cap(e.room)-len(e.room) {
		return nil, false
	}
	start := len(e.room)
	e.room = append(e.room, b...)
	return e.room[start:len(e.room):len(e.room)], true
}

func (e *Edits) add(name, value []byte) bool {
	if len(e.added) == cap(e.added) {
		return false
	}
	v, ok := e.copy(value)
	if ok {
		e.added = append(e.added, field{name, v})
	}
	return ok
}

func (e *Edits) replace(m *Message, i int, value []byte) bool {
	v, ok := e.copy(value)
	switch {
	case !ok:
		return false
	case i >= m.Head.N:
		e.added[i-m.Head.N].value = v
		return true
	case len(e.changed) == cap(e.changed):
		return false
	}
	e.changed = append(e.changed, change{i, v})
	return true
}

// Keeps reports whether the i-th parsed header line is still wanted, and its value if that is another than the parsed
// one (else nil). It may be asked on a nil Edits.
func (e *Edits) Keeps(i int) (value []byte, keep bool) {
	if e == nil {
		return nil, true
	}
	if e.isGone(i) {
		return nil, false
	}
	v, is := e.value(i)
	if is && v == nil {
		v = []byte{}
	}
	return v, true
}

// Added is the n-th header line that rules put in; ok is false after the last. Lines taken out again have no name.
func (e *Edits) Added(n int) (name, value []byte, ok bool) {
	if e == nil || n >= len(e.added) {
		return nil, nil, false
	}
	return e.added[n].name, e.added[n].value, true
}

// Method is the method that rules set; nil: the one that came.
func (e *Edits) Method() []byte {
	if e == nil {
		return nil
	}
	return e.method
}

// Target is the request target that rules set; nil: the one that came.
func (e *Edits) Target() []byte {
	if e == nil {
		return nil
	}
	return e.target
}

// Status is the status and reason that rules set; 0: those that came.
func (e *Edits) Status() (int, []byte) {
	if e == nil {
		return 0, nil
	}
	return e.status, e.reason
}

// Vars are variables of one scope's life. They are used again after Reset.
type Vars struct {
	values []Value
	set    []bool
	room   []byte
}

// varRoom bounds the text of the variables of one transaction or connection, in bytes.
const varRoom = 16384

// Reset forgets all.
func (v *Vars) Reset() {
	clear(v.set)
	v.room = v.room[:0]
}

func (v *Vars) get(i int, out *Value) bool {
	if v == nil || i >= len(v.set) || !v.set[i] {
		return false
	}
	*out = v.values[i]
	return true
}

func (v *Vars) unset(i int) {
	if v != nil && i < len(v.set) {
		v.set[i] = false
	}
}

// store keeps a copy of a value. Room that a variable's former text took is not won back before Reset, unless the new
// text fits in it.
func (v *Vars) store(i int, val *Value) bool {
	for i >= len(v.set) {
		v.set, v.values = append(v.set, false), append(v.values, Value{})
	}
	n := *val
	if val.Type == Str || val.Type == Bin {
		old := v.values[i].Bytes
		if v.set[i] && len(val.Bytes) <= cap(old) {
			n.Bytes = old[:copy(old[:len(val.Bytes)], val.Bytes)]
		} else {
			if v.room == nil {
				v.room = make([]byte, 0, varRoom)
			}
			if len(val.Bytes) > cap(v.room)-len(v.room) {
				return false
			}
			start := len(v.room)
			v.room = append(v.room, val.Bytes...)
			n.Bytes = v.room[start:len(v.room):len(v.room)]
		}
	} else {
		n.Bytes = nil // it may be another's
	}
	v.values[i], v.set[i] = n, true
	return true
}

// The proxy's own changes of a head go the way of the rules', so that they meet what rules have put in.

// SetStatus gives an answer another status.
func (e *Edits) SetStatus(status int, reason []byte) { e.status, e.reason = status, reason }

// Put adds a header line to the message. name has to stay as it is. false: there is no room.
func (m *Message) Put(e *Edits, name, value []byte) bool {
	m.Edits = e
	return e.add(name, value)
}

// Set gives the i-th line another value. false: there is no room.
func (m *Message) Set(e *Edits, i int, value []byte) bool {
	m.Edits = e
	return e.replace(m, i, value)
}

// Drop takes the i-th line out.
func (m *Message) Drop(e *Edits, i int) {
	m.Edits = e
	e.remove(m, i)
}
