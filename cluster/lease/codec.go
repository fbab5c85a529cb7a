package lease

import (
	"encoding/binary"
	"time"
)

// maxMillis bounds a duration on the wire: a day.
const maxMillis = 24 * 60 * 60 * 1000

// maxMicros bounds how late an answer says it is: ten seconds.
const maxMicros = 10 * 1000 * 1000

// decoder reads the hand-written encoding. After the first fault every read gives a zero; end tells.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

// end returns an error if something was wrong or is left over.
func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return ErrProtocol
	}
	return nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many elements follow, each of at least size bytes: a lie can't make us allocate more than was sent.
func (d *decoder) count(limit, size int) int {
	n := d.uvarint()
	if n > uint64(limit) || n*uint64(size) > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > maxName || n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) millis() time.Duration {
	n := d.uvarint()
	if n > maxMillis {
		d.fail()
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// micros reads a signed duration of at most maxMicros.
func (d *decoder) micros() time.Duration {
	n := d.varint()
	if n > maxMicros || n < -maxMicros {
		d.fail()
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
