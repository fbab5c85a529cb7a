package drill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

// volley is how many frames one system call sends.
const volley = 64

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	Len uint32
}

// barrage sends prepared frames from a host, over and over.
type barrage struct {
	fd   int
	iovs []unix.Iovec
	msgs []mmsghdr
}

// newBarrage opens a packet socket on the host's eth0. The frames begin with the IP header; who sends them is the host's
// address on the wire, whatever they say.
func newBarrage(t *testing.T, h *lab.Host, packets [][]byte) *barrage {
	t.Helper()
	b := &barrage{fd: -1}
	var link *net.Interface
	if err := h.Do(func() (err error) {
		if link, err = net.InterfaceByName("eth0"); err != nil {
			return err
		}
		b.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it receives nothing
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(b.fd) })
	if err := errors.Join(
		unix.Bind(b.fd, &unix.SockaddrLinklayer{Ifindex: link.Index}),
		unix.SetsockoptInt(b.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
	); err != nil {
		t.Fatal(err)
	}
	head := append([]byte{0x01, 0x00, 0x5e, 0, 0, 18}, link.HardwareAddr...)
	head = binary.BigEndian.AppendUint16(head, unix.ETH_P_IP)
	b.iovs, b.msgs = make([]unix.Iovec, len(packets)), make([]mmsghdr, len(packets))
	for i, p := range packets {
		frame := append(append([]byte(nil), head...), p...)
		b.iovs[i].Base = &frame[0]
		b.iovs[i].SetLen(len(frame))
		b.msgs[i].Iov = &b.iovs[i]
		b.msgs[i].SetIovlen(1)
	}
	return b
}

// fire sends for that long, at most perSecond frames a second, from as many threads as it takes to keep two processors
// busy, and tells how many frames left.
func (b *barrage) fire(length time.Duration, perSecond int) (sent int, took time.Duration, err error) {
	const threads = 2
	var all sync.WaitGroup
	var counts [threads]int
	var errs [threads]error
	start := time.Now()
	for i := range threads {
		all.Go(func() { counts[i], errs[i] = b.part(start, length, perSecond/threads, i*len(b.msgs)/threads) })
	}
	all.Wait()
	return counts[0] + counts[1], time.Since(start), errors.Join(errs[:]...)
}

// part is one thread of fire; at is the frame that it begins with.
func (b *barrage) part(start time.Time, length time.Duration, perSecond, at int) (sent int, err error) {
	// The daemons go before it, or it would be the test that starves them. The thread ends with the goroutine.
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0); err != nil {
		return 0, err
	}
	for {
		took := time.Since(start)
		if took >= length {
			return sent, nil
		}
		if ahead := time.Duration(sent)*time.Second/time.Duration(perSecond) - took; ahead > 0 {
			time.Sleep(ahead)
			continue
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.msgs[at])),
			uintptr(min(volley, len(b.msgs)-at)), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
			at = (at + int(n)) % len(b.msgs)
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
			runtime.Gosched()
		default:
			return sent, fmt.Errorf("sendmmsg: %w", errno)
		}
	}
}

// once sends every frame once.
func (b *barrage) once(t *testing.T) {
	t.Helper()
	for at := 0; at < len(b.msgs); {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.msgs[at])), uintptr(len(b.msgs)-at), 0, 0, 0)
		switch errno {
		case 0:
			at += int(n)
		case unix.EINTR:
		default:
			t.Fatal(errno)
		}
	}
}

// ipv4 puts an IP header in front of a payload of VRRP.
func ipv4(source netip.Addr, ttl byte, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[1], b[8], b[9] = 0x45, 0xc0, ttl, packet.Protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	src, dst := source.As4(), packet.Group4.As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	return append(b, payload...)
}

// hostile are packets of every kind that must disturb nobody, from many made-up sources: what is no advert, the wrong
// password, virtual routers that nobody has, and adverts that are right and say a priority below all others. VRID, password
// and address are those of the routers under attack.
func hostile(t *testing.T, vrid int, pass string, vip netip.Addr) [][]byte {
	t.Helper()
	advert := func(vrid int, priority uint8, pass string, seconds int) []byte {
		a, err := packet.New(vrid, priority, time.Duration(seconds)*time.Second, pass, []netip.Addr{vip})
		if err != nil {
			t.Fatal(err)
		}
		b, err := a.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// with changes a good advert of the highest priority, and leaves its checksum good unless the change is the checksum.
	with := func(change func(b []byte)) []byte {
		b := advert(vrid, 254, pass, 1)
		change(b)
		return b
	}
	right := advert(vrid, 254, pass, 1)
	var out [][]byte
	for host := range 64 {
		from := netip.AddrFrom4([4]byte{10, 91, 0, byte(host + 129)})
		out = append(out,
			ipv4(from, 254, right), ipv4(from, 1, right), // was routed
			ipv4(from, 255, nil), ipv4(from, 255, right[:1]), ipv4(from, 255, right[:7]), ipv4(from, 255, right[:len(right)-1]),
			ipv4(from, 255, append(right[:len(right):len(right)], 0, 0, 0, 0)),
			ipv4(from, 255, with(func(b []byte) { b[6] ^= 0xff })),                         // checksum
			ipv4(from, 255, with(func(b []byte) { b[3] = 255; mend(b) })),                  // 255 addresses, of which one is there
			ipv4(from, 255, with(func(b []byte) { b[0] = 0x01; mend(b) })),                 // version 0
			ipv4(from, 255, with(func(b []byte) { b[0] = 0xf1; mend(b) })),                 // version 15
			ipv4(from, 255, with(func(b []byte) { b[0] = 0x22; mend(b) })),                 // type 2
			ipv4(from, 255, with(func(b []byte) { b[4] = 9; mend(b) })),                    // authentication of no known type
			ipv4(from, 255, advert(vrid, 254, "", 1)),                                      // none
			ipv4(from, 255, advert(vrid, 254, fmt.Sprintf("guess%d", host), 1)),            // another password
			ipv4(from, 255, advert(vrid, 0, "wrong", 1)),                                   // a farewell in the master's name
			ipv4(from, 255, advert(vrid, 254, pass, 2+host)),                               // another interval
			ipv4(from, 255, advert(1+(vrid+host)%255, 254, pass, 1)),                       // a router of nobody's
			ipv4(from, 255, advert(255, 255, "", 1)),                                       // another
			ipv4(from, 255, advert(vrid, 1+uint8(host%40), pass, 1)),                       // right, and lower
			ipv4(from, 255, advert(vrid, 1, pass, 1)), ipv4(from, 255, make([]byte, 1400)), // lower; a long one
		)
	}
	return out
}

// mend writes the checksum that the advert ought to have.
func mend(b []byte) {
	b[6], b[7] = 0, 0
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[6:], ^uint16(sum))
}
