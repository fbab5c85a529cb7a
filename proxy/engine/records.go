package engine

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A tls.Conn keeps the buffer that its largest record needed for as long as it lives: 17 kB where a client once sent
// much. Here connections share such buffers and have none while they idle, as they do in clear. The library has no way
// for that, so that two of its fields are reached by their names and types; a version that has them otherwise goes
// without.

// recordBuffer holds a record, its header and what the library reads ahead.
const (
	recordBuffer = 5 + 16384 + 256 + bytes.MinRead + 27
	keepRecords  = 256
)

var (
	rawInputAt, rawInputThere = fieldOf[bytes.Buffer]("rawInput")
	handAt, handThere         = fieldOf[bytes.Buffer]("hand")
	inputAt, inputThere       = fieldOf[bytes.Reader]("input")
	recordsShared             = rawInputThere && inputThere && handThere
)

// fieldOf is the place of a field of tls.Conn, if it is there and of this type.
func fieldOf[T any](name string) (uintptr, bool) {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[T]() {
		return 0, false
	}
	return f.Offset, true
}

func (w *secure) rawInput() *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(w.tls), rawInputAt))
}

func (w *secure) input() *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(w.tls), inputAt))
}

// lend gives a connection that is about to be read a buffer for its records.
func (l *loop) lend(w *secure) {
	if !recordsShared || w.rawInput().Cap() > 0 {
		return
	}
	var b []byte
	if n := len(l.records); n > 0 {
		b, l.records = l.records[n-1], l.records[:n-1]
	} else {
		b = make([]byte, 0, recordBuffer)
	}
	*w.rawInput() = *bytes.NewBuffer(b)
}

// reclaim takes the buffer back if nothing is in it, and reports whether that is so: then the connection has nothing more
// until its socket has.
func (l *loop) reclaim(w *secure) bool {
	if !recordsShared || w.rawInput().Len() > 0 || w.input().Len() > 0 {
		return false
	}
	raw := w.rawInput()
	raw.Reset()
	if b := raw.AvailableBuffer(); cap(b) >= recordBuffer && len(l.records) < keepRecords {
		l.records = append(l.records, b)
	}
	*raw, *w.input() = bytes.Buffer{}, bytes.Reader{} // the latter still points into the buffer
	return true
}

// forget lets go of what only the handshake needed.
func (w *secure) forget() {
	if !recordsShared {
		return
	}
	if hand := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(w.tls), handAt)); hand.Len() == 0 {
		*hand = bytes.Buffer{}
	}
}
