package fsm

import (
	"encoding/binary"
	"fmt"
)

// Command frames a payload.
func Command(t Type, version uint8, payload []byte) []byte {
	return append([]byte{byte(t), version}, payload...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, ns int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(ns)) }

// reader takes a payload apart. After the first failure everything reads as zero and err is set.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	r.b = nil
}

func (r *reader) uvarint(what string, max uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > max {
		r.fail(what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte(what string) byte {
	if r.err != nil || len(r.b) == 0 {
		r.fail(what)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) time(what string) int64 {
	if r.err != nil || len(r.b) < 8 {
		r.fail(what)
		return 0
	}
	v := int64(binary.BigEndian.Uint64(r.b))
	r.b = r.b[8:]
	if v < 0 {
		r.fail(what)
		return 0
	}
	return v
}

// bytes returns a part of the payload itself, not a copy.
func (r *reader) bytes(what string, max int) []byte {
	n := r.uvarint(what, uint64(max))
	if r.err != nil || uint64(len(r.b)) < n {
		r.fail(what)
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) string(what string, max int) string { return string(r.bytes(what, max)) }

// end reports the first failure, or that something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("left over")
	}
	return r.err
}
