package vip

import (
	"errors"
	"net/netip"
)

// Remover takes addresses off, and does nothing else: what the guard needs. Its socket is open from the beginning, so
// that a removal needs no memory, file or permission that could be short by then. Owned by one goroutine.
type Remover struct{ c *conn }

// NewRemover opens the socket.
func NewRemover() (*Remover, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	return &Remover{c}, nil
}

// On names an address on an interface.
type On struct {
	Dev    string
	Prefix netip.Prefix
}

// Remove takes the addresses off; one that is not there, or whose interface is gone, counts as off. The error joins an
// *AddressError for each that may still be on.
func (r *Remover) Remove(addresses []On) error {
	places := make([]place, len(addresses))
	for i, a := range addresses {
		places[i] = place{a.Dev, a.Prefix}
	}
	_, err := remove(r.c, places)
	if errors.Is(err, errSocket) {
		if c, derr := dial(); derr == nil {
			r.c.close()
			r.c = c
		}
	}
	return err
}

// Close gives the socket back.
func (r *Remover) Close() error { return r.c.close() }
