package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// recorder keeps the frames that hosts of a lab send: VRRP, ARP and neighbour advertisements for the virtual addresses,
// joins and leaves of the VRRP groups. It listens at the hosts' own ends of the links and takes what goes out: so it knows
// who sent a frame that has another's address (a virtual router's), hears unicast that a switch would not show it, and both
// sides of a partition. Times are the kernel's. Safe for concurrent use.
type recorder struct {
	virtual []netip.Addr
	files   []*os.File
	readers sync.WaitGroup

	mu      sync.Mutex
	frames  []frame // in the order in which they were read: hosts are mixed, and sorted when asked for
	err     error
	changed chan struct{}
}

// record starts a recorder for these hosts, interface eth0, until the test ends.
func record(t testing.TB, virtual []netip.Addr, hosts ...*lab.Host) *recorder {
	t.Helper()
	r := &recorder{virtual: virtual, changed: make(chan struct{})}
	t.Cleanup(func() {
		r.stop()
		if r.err != nil {
			t.Errorf("recorder: %v", r.err)
		}
	})
	for _, h := range hosts {
		if err := r.tap(h, "eth0"); err != nil {
			t.Fatalf("recorder: %v", err)
		}
	}
	return r
}

// tap adds an interface of a host.
func (r *recorder) tap(h *lab.Host, ifname string) error {
	var f *os.File
	err := h.Do(func() error {
		// Bound to no protocol it catches nothing until it is bound to the interface.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), "tap of "+h.Name())
		ifr, err := unix.NewIfreq(ifname)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<21),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: int(ifr.Uint32())}),
		)
	})
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return fmt.Errorf("%s of %s: %w", ifname, h.Name(), err)
	}
	r.files = append(r.files, f)
	r.readers.Go(func() { r.read(f, h.Name()) })
	return nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// read takes frames from a tap until it is closed.
func (r *recorder) read(f *os.File, host string) {
	raw, err := f.SyscallConn()
	if err != nil {
		r.fail(err)
		return
	}
	b, oob := make([]byte, 2048), make([]byte, 128)
	for {
		var n, on int
		var from unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, on, _, from, rerr = unix.Recvmsg(int(fd), b, oob, 0)
			return rerr != unix.EAGAIN
		})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if rerr == unix.ENETDOWN { // the link went down; what comes after it came up again is caught
			continue
		}
		if err = errors.Join(err, rerr); err != nil {
			r.fail(fmt.Errorf("tap of %s: %w", host, err))
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype != unix.PACKET_OUTGOING {
			continue
		}
		fr, ok := decodeFrame(b[:n])
		if !ok || !fr.about(r.virtual) {
			continue
		}
		fr.host, fr.at = host, stamp(oob[:on])
		r.add(fr)
	}
}

// stamp is the kernel's time of a message, now if it has none.
func stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now()
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(le64(m.Data), le64(m.Data[8:]))
		}
	}
	return time.Now()
}

// le64 is an integer of the kernel's on the machines that the project is built for.
func le64(b []byte) int64 {
	v := int64(0)
	for i := range 8 {
		v |= int64(b[i]) << (8 * i)
	}
	return v
}

func (r *recorder) add(f frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

// stop ends the recording; the frames stay. A second call does nothing.
func (r *recorder) stop() {
	for _, f := range r.files {
		_ = f.SetReadDeadline(time.Now())
	}
	r.readers.Wait()
	for _, f := range r.files {
		_ = f.Close() // gone is as good
	}
	r.files = nil
}

// all lists the frames by their times.
func (r *recorder) all() []frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.frames)
	slices.SortStableFunc(out, func(a, b frame) int { return a.at.Compare(b.at) })
	return out
}

// await waits until n frames have come that match and were sent after a time, and gives the last of them.
func (r *recorder) await(ctx context.Context, n int, after time.Time, match func(frame) bool) (frame, error) {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		found := 0
		for _, f := range r.all() {
			if f.at.After(after) && match(f) {
				if found++; found == n {
					return f, nil
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return frame{}, fmt.Errorf("%d of %d frames: %w", found, n, ctx.Err())
		}
	}
}
