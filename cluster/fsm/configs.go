package fsm

import (
	"bytes"
	"encoding/binary"
	"time"
)

const (
	// MaxHistory is how many configuration versions are kept.
	MaxHistory = 100
	// maxHistoryBytes bounds their payloads together; the one in force is always kept.
	maxHistoryBytes = 64 << 20
	// maxConfig bounds one payload as it is read back.
	maxConfig     = 16 << 20
	maxName       = 4 << 10
	configVersion = 1
)

// ConfigCommand is the command that puts payload in force. A base refuses it unless that is the version in force.
func ConfigCommand(now time.Time, base *uint64, author, summary string, payload []byte) []byte {
	b := make([]byte, 0, 40+len(author)+len(summary)+len(payload))
	b = append(b, byte(TypeConfig), configVersion)
	b = appendTime(b, now.UnixNano())
	if base == nil {
		b = append(b, 0)
	} else {
		b = binary.AppendUvarint(append(b, 1), *base)
	}
	b = appendString(b, author[:min(len(author), maxName)])
	b = appendString(b, summary[:min(len(summary), maxName)])
	b = binary.AppendUvarint(b, uint64(len(payload)))
	return append(b, payload...)
}

// configs is the history of configuration versions, oldest first.
type configs struct {
	history []ConfigVersion
	bytes   int
}

func (c *configs) current() uint64 {
	if n := len(c.history); n > 0 {
		return c.history[n-1].Version
	}
	return 0
}

func (c *configs) apply(p []byte) (ConfigVersion, error) {
	r := reader{b: p}
	at := r.time("time")
	hasBase := r.byte("base")
	var base uint64
	if hasBase == 1 {
		base = r.uvarint("base", 1<<63)
	} else if hasBase != 0 {
		r.fail("base")
	}
	v := ConfigVersion{Author: r.string("author", maxName), Summary: r.string("summary", maxName)}
	payload := r.bytes("payload", maxConfig)
	if err := r.end(); err != nil {
		return ConfigVersion{}, err
	}
	if cur := c.current(); hasBase == 1 && base != cur {
		return ConfigVersion{}, &ConflictError{Base: base, Current: cur}
	}
	v.Version, v.Time, v.Payload = c.current()+1, time.Unix(0, at).UTC(), bytes.Clone(payload)
	c.push(v)
	return v, nil
}

func (c *configs) push(v ConfigVersion) {
	c.history = append(c.history, v)
	c.bytes += len(v.Payload)
	drop := 0
	for len(c.history)-drop > MaxHistory || (c.bytes > maxHistoryBytes && len(c.history)-drop > 1) {
		c.bytes -= len(c.history[drop].Payload)
		drop++
	}
	if drop > 0 {
		// A new array, so that a snapshot being written keeps the old one unchanged and dropped payloads are freed.
		c.history = append([]ConfigVersion(nil), c.history[drop:]...)
	}
}
