package track

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// bell wakes a goroutine that waits for descriptors in the kernel.
type bell struct{ fd int }

func newBell() (bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return bell{-1}, fmt.Errorf("eventfd: %w", err)
	}
	return bell{fd}, nil
}

func (b bell) ring() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(b.fd, one[:]) // it can only be full, and then it rings already
}

func (b bell) hush() {
	var n [8]byte
	_, _ = unix.Read(b.fd, n[:])
}

// follow rings whenever wake or ctx says something, until ctx has. done is closed then.
func (b bell) follow(ctx context.Context, wake <-chan struct{}, to chan<- struct{}) (done <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-ctx.Done():
				b.ring()
				return
			case <-wake:
				select {
				case to <- struct{}{}:
				default:
				}
				b.ring()
			}
		}
	}()
	return gone
}
