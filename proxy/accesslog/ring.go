package accesslog

import (
	"encoding/binary"
	"sync/atomic"
)

// Level is a syslog severity.
type Level uint8

const (
	// Emerg to Debug are RFC 5424's severities.
	Emerg Level = iota
	Alert
	Crit
	Err
	Warning
	Notice
	Info
	Debug
)

// LevelOf is the severity of that name in the configuration; Info for others.
func LevelOf(name string) Level {
	for i, l := range levels {
		if l == name {
			return Level(i)
		}
	}
	return Info
}

// headerLen is the bytes before a line in a Ring: length, sink, level.
const headerLen = 8

// MaxLine is the longest line a Ring takes; longer ones are cut.
const MaxLine = 8192

// Ring carries lines from one goroutine to the Writer. Put never blocks and never allocates: when the ring is full the
// line is dropped and counted.
type Ring struct {
	buf     []byte // a power of two
	_       [64]byte
	head    atomic.Uint64 // written by the producer
	_       [64]byte
	tail    atomic.Uint64 // written by the consumer
	dropped atomic.Uint64
	writer  *Writer
}

func newRing(w *Writer, size int) *Ring { return &Ring{buf: make([]byte, size), writer: w} }

// Put adds a line for sink. Only one goroutine may put at a time. It reports whether there was room.
func (r *Ring) Put(sink *Sink, level Level, line []byte) bool {
	line = line[:min(len(line), MaxLine)]
	need := uint64(headerLen + len(line))
	head := r.head.Load()
	if need > uint64(len(r.buf))-(head-r.tail.Load()) {
		r.dropped.Add(1)
		return false
	}
	var h [headerLen]byte
	binary.LittleEndian.PutUint16(h[0:], uint16(len(line)))
	binary.LittleEndian.PutUint32(h[2:], sink.id)
	h[6] = byte(level)
	r.copyIn(head, h[:])
	r.copyIn(head+headerLen, line)
	r.head.Store(head + need)
	r.writer.nudge()
	return true
}

func (r *Ring) copyIn(at uint64, b []byte) {
	at &= uint64(len(r.buf) - 1)
	n := copy(r.buf[at:], b)
	copy(r.buf, b[n:])
}

func (r *Ring) copyOut(at uint64, b []byte) {
	at &= uint64(len(r.buf) - 1)
	n := copy(b, r.buf[at:])
	copy(b[n:], r.buf)
}

// take moves the oldest line into line (of MaxLine bytes) and returns its part in use.
func (r *Ring) take(line []byte) (sink uint32, level Level, text []byte, ok bool) {
	tail := r.tail.Load()
	if tail == r.head.Load() {
		return 0, 0, nil, false
	}
	var h [headerLen]byte
	r.copyOut(tail, h[:])
	n := int(binary.LittleEndian.Uint16(h[0:]))
	text = line[:n]
	r.copyOut(tail+headerLen, text)
	r.tail.Store(tail + headerLen + uint64(n))
	return binary.LittleEndian.Uint32(h[2:]), Level(h[6]), text, true
}
