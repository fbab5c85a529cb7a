package vip

import (
	"errors"
	"fmt"
)

var (
	// ErrNoInterface: there is no interface of that name (any more).
	ErrNoInterface = errors.New("no such interface")
	// ErrDown: the interface is administratively down.
	ErrDown = errors.New("interface is down")
	// ErrNoCarrier: the interface is up but nothing answers at the other end of its cable.
	ErrNoCarrier = errors.New("interface has no carrier")
	// ErrExpired: the lease ran out before the address could go on.
	ErrExpired = errors.New("lease expired")
)

// LinkError says what is wrong with an interface; Err is one of this package's sentinels or a system error.
type LinkError struct {
	Dev string
	Err error
}

// Error implements error.
func (e *LinkError) Error() string { return fmt.Sprintf("interface %q: %v", e.Dev, e.Err) }

// Unwrap returns the cause.
func (e *LinkError) Unwrap() error { return e.Err }

// AddressError says which address could not be added or removed, and where.
type AddressError struct {
	Op      string // "add", "remove", "announce"
	Address string // with prefix length
	Dev     string
	Err     error
}

// Error implements error.
func (e *AddressError) Error() string {
	return fmt.Sprintf("%s %s on %s: %v", e.Op, e.Address, e.Dev, e.Err)
}

// Unwrap returns the cause.
func (e *AddressError) Unwrap() error { return e.Err }
