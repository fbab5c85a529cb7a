package tlsconf

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// TicketKey seals session tickets. The first of several seals, all open.
type TicketKey = [32]byte

const (
	// ticketsFor is how long a key of our own seals; ticketKeysKept are the keys that still open afterwards: with three
	// kept a ticket lives for a day and a half at most.
	ticketsFor     = 12 * time.Hour
	ticketKeysKept = 3
	maxTicketKeys  = 16
)

func (s *Store) ticketKeys() []TicketKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// SetTicketKeys sets the keys from outside, as a cluster does so that every node opens every node's tickets; from then on
// none is made here. Binds take them at Reseal.
func (s *Store) SetTicketKeys(keys []TicketKey) error {
	if len(keys) == 0 || len(keys) > maxTicketKeys {
		return fmt.Errorf("there must be 1 to %d ticket keys", maxTicketKeys)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.renewed = append([]TicketKey(nil), keys...), time.Time{}
	return nil
}

// Renew makes a new key of our own when the last one is old, and reports whether it did.
func (s *Store) Renew(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renewed.IsZero() || now.Sub(s.renewed) < ticketsFor {
		return false
	}
	s.renew(now)
	return true
}

// renew makes a key; mu is held, or nobody else has the Store yet.
func (s *Store) renew(now time.Time) {
	var k TicketKey
	rand.Read(k[:])
	keys := append([]TicketKey{k}, s.keys...)
	s.keys, s.renewed = keys[:min(len(keys), ticketKeysKept)], now
}

// Reseal takes the Store's ticket keys over.
func (b *Bind) Reseal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seal()
}

// derive gives connections that ask for certificates keys of their own.
func derive(keys []TicketKey, p *proxy.TLSParams) []TicketKey {
	if p.Verify == proxy.VerifyNone {
		return keys
	}
	out := make([]TicketKey, len(keys))
	for i, k := range keys {
		m := hmac.New(sha256.New, k[:])
		fmt.Fprintf(m, "%d\x00%s\x00%s", p.Verify, p.CAFile, p.CRLFile)
		copy(out[i][:], m.Sum(nil))
	}
	return out
}

// ticketFile reads `tls-ticket-keys`: a key a line in base64, 48 or 80 bytes each, three at least. The last but one seals.
func (r *reading) ticketFile(name string) ([]TicketKey, error) {
	content, err := r.file(name)
	if err != nil {
		return nil, err
	}
	var keys []TicketKey
	n := 0
	for line := range bytes.Lines(content) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(b) != 48 && len(b) != 80 {
			return nil, fmt.Errorf("%s:%d is no key: 48 or 80 bytes in base64", name, n)
		}
		keys = append(keys, sha256.Sum256(b))
	}
	if len(keys) < 3 || len(keys) > maxTicketKeys {
		return nil, fmt.Errorf("%s has %d keys, there must be 3 to %d", name, len(keys), maxTicketKeys)
	}
	i := len(keys) - 2
	keys[0], keys[i] = keys[i], keys[0]
	return keys, nil
}
