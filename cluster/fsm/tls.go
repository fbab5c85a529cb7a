package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what is kept for TLS. What lies beyond is refused, on every node alike.
const (
	MaxCertificates  = 1024      // set at once
	MaxCertificate   = 256 << 10 // bytes of one: certificate, chain and key
	MaxTicketKeys    = 3         // as many as HAProxy keeps in use: one seals, the two before it still open
	MaxTicketKey     = 128       // bytes of one
	maxTLSBytes      = 32 << 20  // of all certificates together
	maxTLSName       = 4 << 10
	tlsVersion       = 1
	tlsSnapshotWords = 1 // version of the snapshot's layout
)

var (
	// ErrNotSet: no certificate stands in place of that file.
	ErrNotSet = errors.New("no certificate was set in place of that file")
	// ErrFull: as many certificates are set as are kept.
	ErrFull = errors.New("too many certificates are set: take one back first")
)

// Secret is bytes that nobody shall read in a log: printed with any verb of fmt, or as text, they are left out. JSON, which
// the nodes speak to each other under mutual TLS, carries them.
type Secret []byte

// String implements fmt.Stringer.
func (s Secret) String() string { return fmt.Sprintf("(%d bytes, secret)", len(s)) }

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// Certificate is what all nodes show in place of a file.
type Certificate struct {
	Name string    // the file's path
	PEM  Secret    // certificate, chain and key; shared: read only
	Set  time.Time // the leader's clock, UTC
}

// Format implements fmt.Formatter for every verb: within a structure, too, where fmt would not ask a Secret behind a pointer.
func (c Certificate) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "{%s %v}", c.Name, c.PEM) }

// TicketKey is one of the keys that session tickets are sealed with.
type TicketKey struct {
	Key Secret    // shared: read only
	Set time.Time // the leader's clock, UTC
}

// TLS is all that is agreed on for TLS.
type TLS struct {
	Index        uint64        // log index of the newest change; 0: there was none
	Certificates []Certificate // by name
	TicketKeys   []TicketKey   // newest first; none: each node has its own
}

// TLSChange is a wanted change: of the three only one is there.
type TLSChange struct {
	Put        *Certificate // to be shown in place of the file; Set is the leader's to say
	Remove     string       // the file that counts again
	TicketKeys []Secret     // newest first: they come before those there are, of which so many stay that there are MaxTicketKeys
}

// The first byte of a command.
const (
	tlsPut = iota + 1
	tlsRemove
	tlsTicketKeys
)

// TLSCommand is the log entry of a change. What Fits refuses makes a malformed one.
func TLSCommand(now time.Time, c TLSChange) []byte {
	b := []byte{byte(TypeTLS), tlsVersion}
	switch {
	case c.Put != nil:
		b = appendString(appendTime(append(b, tlsPut), now.UnixNano()), c.Put.Name)
		b = appendString(b, string(c.Put.PEM))
	case c.Remove != "":
		b = appendString(append(b, tlsRemove), c.Remove)
	default:
		b = binary.AppendUvarint(appendTime(append(b, tlsTicketKeys), now.UnixNano()), uint64(len(c.TicketKeys)))
		for _, k := range c.TicketKeys {
			b = appendString(b, string(k))
		}
	}
	return b
}

// Fits says what keeps a change from being an entry, or nil.
func (c TLSChange) Fits() error {
	kinds := 0
	if c.Put != nil {
		kinds++
		switch {
		case c.Put.Name == "" || len(c.Put.Name) > maxTLSName:
			return fmt.Errorf("the name of a file has 1 to %d bytes", maxTLSName)
		case len(c.Put.PEM) == 0 || len(c.Put.PEM) > MaxCertificate:
			return fmt.Errorf("a certificate with its chain and key has 1 byte to %d kB", MaxCertificate>>10)
		}
	}
	if c.Remove != "" {
		if kinds++; len(c.Remove) > maxTLSName {
			return fmt.Errorf("the name of a file has 1 to %d bytes", maxTLSName)
		}
	}
	if len(c.TicketKeys) > 0 {
		if kinds++; len(c.TicketKeys) > MaxTicketKeys {
			return fmt.Errorf("%d ticket keys are kept, and more were given", MaxTicketKeys)
		}
		for _, k := range c.TicketKeys {
			if len(k) == 0 || len(k) > MaxTicketKey {
				return fmt.Errorf("a ticket key has 1 to %d bytes", MaxTicketKey)
			}
		}
	}
	if kinds != 1 {
		return errors.New("a change sets one certificate, takes one back, or sets ticket keys")
	}
	return nil
}

// TLSPart is the Part with certificates and ticket keys. The zero TLSPart is empty and ready.
type TLSPart struct {
	now   TLS
	bytes int // of all certificates
}

// Version implements Part.
func (*TLSPart) Version() uint8 { return tlsVersion }

// Contents is all there is. The slices are the caller's, what is in them is shared.
func (p *TLSPart) Contents() TLS {
	return TLS{Index: p.now.Index, Certificates: slices.Clone(p.now.Certificates), TicketKeys: slices.Clone(p.now.TicketKeys)}
}

// Apply implements Part. It answers with nothing.
func (p *TLSPart) Apply(index uint64, cmd []byte) (any, error) {
	r := reader{b: cmd}
	var err error
	switch kind := r.byte("kind"); kind {
	case tlsPut:
		err = p.put(&r)
	case tlsRemove:
		err = p.remove(&r)
	case tlsTicketKeys:
		err = p.ticketKeys(&r)
	default:
		r.fail("kind")
		err = r.end()
	}
	if err == nil {
		p.now.Index = index
	}
	return nil, err
}

// Change is Apply without a log: what Fits refuses is malformed.
func (p *TLSPart) Change(index uint64, now time.Time, c TLSChange) error {
	_, err := p.Apply(index, TLSCommand(now, c)[2:])
	return err
}

// OldTicketKey reports whether the key that seals was set longer than age ago, and how many bytes it has. One that was set at
// a time to come is old too: the leader that stamped it had a wrong clock. Without keys nothing is old.
func (p *TLSPart) OldTicketKey(now time.Time, age time.Duration) (length int, old bool) {
	if len(p.now.TicketKeys) == 0 {
		return 0, false
	}
	k := p.now.TicketKeys[0]
	return len(k.Key), now.Sub(k.Set).Abs() > age
}

func byName(c Certificate, name string) int { return strings.Compare(c.Name, name) }

func (p *TLSPart) put(r *reader) error {
	set := time.Unix(0, r.time("time")).UTC()
	c := Certificate{Name: r.string("name", maxTLSName), PEM: bytes.Clone(r.bytes("certificate", MaxCertificate)), Set: set}
	if err := r.end(); err != nil {
		return err
	}
	if (TLSChange{Put: &c}).Fits() != nil {
		return ErrMalformed
	}
	i, there := slices.BinarySearchFunc(p.now.Certificates, c.Name, byName)
	before, n := 0, len(p.now.Certificates)
	if there {
		before, n = len(p.now.Certificates[i].PEM), n-1
	}
	if n >= MaxCertificates || p.bytes-before+len(c.PEM) > maxTLSBytes {
		return ErrFull
	}
	p.bytes += len(c.PEM) - before
	if there {
		p.now.Certificates[i] = c
	} else {
		p.now.Certificates = slices.Insert(p.now.Certificates, i, c)
	}
	return nil
}

func (p *TLSPart) remove(r *reader) error {
	name := r.string("name", maxTLSName)
	if err := r.end(); err != nil {
		return err
	}
	i, there := slices.BinarySearchFunc(p.now.Certificates, name, byName)
	if !there {
		return ErrNotSet
	}
	p.bytes -= len(p.now.Certificates[i].PEM)
	p.now.Certificates = slices.Delete(p.now.Certificates, i, i+1)
	return nil
}

func (p *TLSPart) ticketKeys(r *reader) error {
	set := time.Unix(0, r.time("time")).UTC()
	var given []Secret
	for n := r.uvarint("number of keys", MaxTicketKeys); n > 0 && r.err == nil; n-- {
		given = append(given, bytes.Clone(r.bytes("key", MaxTicketKey)))
	}
	if err := r.end(); err != nil {
		return err
	}
	if (TLSChange{TicketKeys: given}).Fits() != nil {
		return ErrMalformed
	}
	var keys []TicketKey
	add := func(k TicketKey) {
		if !slices.ContainsFunc(keys, func(o TicketKey) bool { return bytes.Equal(o.Key, k.Key) }) && len(keys) < MaxTicketKeys {
			keys = append(keys, k)
		}
	}
	for _, k := range given {
		add(TicketKey{k, set})
	}
	for _, k := range p.now.TicketKeys {
		add(k)
	}
	p.now.TicketKeys = keys
	return nil
}

// Snapshot implements Part.
func (p *TLSPart) Snapshot() []byte {
	b := binary.AppendUvarint([]byte{tlsSnapshotWords}, p.now.Index)
	b = binary.AppendUvarint(b, uint64(len(p.now.Certificates)))
	for _, c := range p.now.Certificates {
		b = appendString(appendTime(appendString(b, c.Name), c.Set.UnixNano()), string(c.PEM))
	}
	b = binary.AppendUvarint(b, uint64(len(p.now.TicketKeys)))
	for _, k := range p.now.TicketKeys {
		b = appendString(appendTime(b, k.Set.UnixNano()), string(k.Key))
	}
	return b
}

// Restore implements Part; on error it is unchanged.
func (p *TLSPart) Restore(snapshot []byte) error {
	r := reader{b: snapshot}
	if v := r.byte("layout"); v != tlsSnapshotWords {
		return fmt.Errorf("layout %d of certificates: %w", v, ErrMalformed)
	}
	n := TLSPart{now: TLS{Index: r.uvarint("index", 1<<63)}}
	for k := r.uvarint("number of certificates", MaxCertificates); k > 0 && r.err == nil; k-- {
		c := Certificate{Name: r.string("name", maxTLSName), Set: time.Unix(0, r.time("time")).UTC()}
		c.PEM = bytes.Clone(r.bytes("certificate", MaxCertificate))
		if i := len(n.now.Certificates); i > 0 && n.now.Certificates[i-1].Name >= c.Name {
			r.fail("order of names")
		}
		n.now.Certificates, n.bytes = append(n.now.Certificates, c), n.bytes+len(c.PEM)
	}
	for k := r.uvarint("number of keys", MaxTicketKeys); k > 0 && r.err == nil; k-- {
		set := time.Unix(0, r.time("time")).UTC()
		n.now.TicketKeys = append(n.now.TicketKeys, TicketKey{bytes.Clone(r.bytes("key", MaxTicketKey)), set})
	}
	if err := r.end(); err != nil {
		return err
	}
	*p = n
	return nil
}
