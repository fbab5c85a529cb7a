package http2

import "github.com/reeve-lb/reeve/proxy/http1"

// Field is one header field of a List.
type Field struct{ name, value, end uint32 }

// List is a decoded header block. It keeps its memory from one block to the next.
type List struct {
	bytes  []byte
	Fields []Field
	// TooBig: the fields are more than the limit; the rest was decoded, as the table depends on it, and dropped.
	TooBig bool
	Limits http1.Limits // of a head that is made of them
	size   int
}

// Name is the name of a field.
func (l *List) Name(f Field) []byte { return l.bytes[f.name:f.value] }

// Value is the value of a field.
func (l *List) Value(f Field) []byte { return l.bytes[f.value:f.end] }

func (l *List) reset() { l.bytes, l.Fields, l.TooBig, l.size = l.bytes[:0], l.Fields[:0], false, 0 }

// Decoder decompresses the header blocks of one connection (RFC 7541).
type Decoder struct {
	table   table
	allowed int // the table's largest size: what we announced
	scratch []byte
}

// SetTableSize sets the largest table that the other side may use, once before the first block.
func (d *Decoder) SetTableSize(n uint32) { d.allowed, d.table.max = int(n), int(n) }

// maxString bounds one name or value. Longer ones are an error: nobody could use them here.
const maxString = 65536

// Decode reads a whole header block into l, whose fields may take limit bytes together, counted as SETTINGS_MAX_HEADER_LIST_SIZE
// is. false is a compression error, after which the connection can't go on.
func (d *Decoder) Decode(block []byte, l *List, limit int) bool {
	l.reset()
	fields := false
	for len(block) > 0 {
		c := block[0]
		var ok bool
		switch {
		case c&0x80 != 0:
			block, ok = d.indexed(block, l, limit)
		case c&0xc0 == 0x40:
			block, ok = d.literal(block, 6, true, l, limit)
		case c&0xe0 == 0x20:
			var n int
			if n, block, ok = integer(block, 5); ok && !fields && n <= d.allowed {
				d.table.max = n
				d.table.evict(n)
				continue
			}
			return false
		default: // without indexing, never indexed
			block, ok = d.literal(block, 4, false, l, limit)
		}
		if !ok {
			return false
		}
		fields = true
	}
	return true
}

// integer reads a prefixed integer (RFC 7541 section 5.1). More than four bytes of it are no number anybody means.
func integer(b []byte, prefix int) (n int, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, b, false
	}
	most := 1<<prefix - 1
	n = int(b[0]) & most
	b = b[1:]
	if n < most {
		return n, b, true
	}
	for shift := 0; len(b) > 0 && shift <= 21; shift += 7 {
		c := b[0]
		b = b[1:]
		n += int(c&0x7f) << shift
		if c&0x80 == 0 {
			return n, b, true
		}
	}
	return 0, b, false
}

func (d *Decoder) indexed(b []byte, l *List, limit int) ([]byte, bool) {
	i, rest, ok := integer(b, 7)
	if !ok || i == 0 || i > len(static)+d.table.n {
		return rest, false
	}
	if i <= len(static) {
		e := &static[i-1]
		if l.room(len(e.name)+len(e.value), limit) {
			at := len(l.bytes)
			l.bytes = append(append(l.bytes, e.name...), e.value...)
			l.enter(at, len(e.name))
		}
		return rest, true
	}
	name, value := d.table.at(i - len(static) - 1)
	l.add(name, value, limit)
	return rest, true
}

func (d *Decoder) literal(b []byte, prefix int, index bool, l *List, limit int) ([]byte, bool) {
	i, rest, ok := integer(b, prefix)
	if !ok || i > len(static)+d.table.n {
		return rest, false
	}
	d.scratch = d.scratch[:0]
	switch {
	case i == 0:
		if rest, ok = d.text(rest); !ok {
			return rest, false
		}
	case i <= len(static):
		d.scratch = append(d.scratch, static[i-1].name...)
	default:
		name, _ := d.table.at(i - len(static) - 1)
		d.scratch = append(d.scratch, name...)
	}
	n := len(d.scratch)
	if rest, ok = d.text(rest); !ok {
		return rest, false
	}
	name, value := d.scratch[:n], d.scratch[n:]
	if index {
		d.table.add(name, value)
	}
	l.add(name, value, limit)
	return rest, true
}

// text appends a string literal to scratch (RFC 7541 section 5.2).
func (d *Decoder) text(b []byte) ([]byte, bool) {
	if len(b) == 0 {
		return b, false
	}
	coded := b[0]&0x80 != 0
	n, rest, ok := integer(b, 7)
	if !ok || n > len(rest) || n > maxString {
		return rest, false
	}
	if coded {
		d.scratch, ok = decodeHuffman(d.scratch, rest[:n], maxString)
	} else {
		d.scratch = append(d.scratch, rest[:n]...)
	}
	return rest[n:], ok
}

func (l *List) room(n, limit int) bool {
	if l.size += n + entryOverhead; l.size > limit {
		l.TooBig = true
	}
	return !l.TooBig
}

func (l *List) enter(at, name int) {
	l.Fields = append(l.Fields, Field{uint32(at), uint32(at + name), uint32(len(l.bytes))})
}

func (l *List) add(name, value []byte, limit int) {
	if l.room(len(name)+len(value), limit) {
		at := len(l.bytes)
		l.bytes = append(append(l.bytes, name...), value...)
		l.enter(at, len(name))
	}
}
