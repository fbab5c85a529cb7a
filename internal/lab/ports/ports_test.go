package ports

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var sharing = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}}

// TestFree: different ones each time, refusing until the program that was told the port listens, closed to all others.
func TestFree(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		seen := map[netip.AddrPort]bool{}
		for range 50 {
			at := Free(t, ip)
			if seen[at] {
				t.Fatalf("%s twice", at)
			}
			seen[at] = true
		}
		at := Free(t, ip).String()
		var d net.Dialer
		if _, err := d.DialContext(t.Context(), "tcp", at); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		var other net.ListenConfig
		if _, err := other.Listen(t.Context(), "tcp", at); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("another program got it: %v", err)
		}
		l, err := sharing.Listen(context.Background(), "tcp", at)
		if err != nil {
			t.Fatalf("who was told to listen: %v", err)
		}
		l.Close()
	}
}
