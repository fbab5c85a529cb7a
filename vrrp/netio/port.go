package netio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

// retryInterval bounds how long a Port that could not open its sockets waits when nobody pokes it.
const retryInterval = time.Second

// ErrNotOpen is a Send while the interface has no sockets.
var ErrNotOpen = errors.New("no socket on the interface yet")

// Options of New.
type Options struct {
	Interface string
	Group     netip.Addr // multicast, IPv4; zero: 224.0.0.18
	// Receive gets each datagram on the goroutine of Run; the payload is valid during the call only. It must not block.
	Receive func(packet.Datagram)
	// Garbage is called for what is no IPv4 packet of protocol 112; may be nil.
	Garbage func()
	// State is told each time the sockets opened (nil) or could not be opened, on the goroutine of Run; may be nil.
	State func(error)
}

// Port is the sockets of one interface. Send and Poke are safe for concurrent use.
type Port struct {
	o     Options
	poked chan struct{}

	mu      sync.Mutex
	send    int // descriptor, -1 for none
	receive *os.File
	index   int
	frame   []byte
	to      unix.SockaddrInet4
}

// New allocates a Port; Run opens its sockets.
func New(o Options) *Port {
	if !o.Group.IsValid() {
		o.Group = packet.Group4
	}
	return &Port{
		o: o, poked: make(chan struct{}, 1), send: -1,
		frame: make([]byte, 0, packet.IPv4HeaderLen+packet.MaxLen),
		to:    unix.SockaddrInet4{Addr: o.Group.As4()},
	}
}

// Poke says that the interface may be another now: the Port tries again, or opens anew if the interface was replaced.
func (p *Port) Poke() {
	select {
	case p.poked <- struct{}{}:
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.receive == nil {
		return
	}
	if index, err := indexOf(p.send, p.o.Interface); err != nil || index != p.index {
		p.shut() // the reader ends and Run opens again
	}
}

// Send sends one payload to the group. It blocks at most as long as the kernel needs to copy it.
func (p *Port) Send(source netip.Addr, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.send < 0 {
		return fmt.Errorf("send advert on %s: %w", p.o.Interface, ErrNotOpen)
	}
	p.frame = packet.AppendIPv4(p.frame[:0], source, p.o.Group, len(payload))
	p.frame = append(p.frame, payload...)
	if err := unix.Sendto(p.send, p.frame, unix.MSG_DONTROUTE|unix.MSG_DONTWAIT, &p.to); err != nil {
		return fmt.Errorf("send advert on %s: %w", p.o.Interface, err)
	}
	return nil
}

// Open opens the sockets before Run does, so that the first advert of an instance finds them. It is optional, and an error
// is not final: Run tries again. A Port that was opened has to Run, which closes it.
func (p *Port) Open() error {
	_, err := p.open(context.Background())
	return err
}

// Run receives until ctx ends, opening the sockets as often as it takes, and returns nil. It can run once.
func (p *Port) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.shut()
	})
	defer stop()
	failed := ""
	for ctx.Err() == nil {
		f, err := p.open(ctx)
		if err == nil {
			failed = ""
			p.tell(nil)
			p.read(f)
			continue
		}
		if text := err.Error(); text != failed && ctx.Err() == nil { // once for each reason
			failed = text
			p.tell(err)
		}
		select {
		case <-ctx.Done():
		case <-p.poked:
		case <-time.After(retryInterval):
		}
	}
	return nil
}

func (p *Port) tell(err error) {
	if p.o.State != nil {
		p.o.State(err)
	}
}

func (p *Port) open(ctx context.Context) (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		p.shut()
		return nil, err
	}
	if p.receive != nil { // by Open
		return p.receive, nil
	}
	fd, index, err := openSend(p.o.Interface)
	if err != nil {
		return nil, err
	}
	r, err := openReceive(p.o.Interface, index, p.o.Group)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	p.send, p.index = fd, index
	p.receive = os.NewFile(uintptr(r), "vrrp "+p.o.Interface)
	return p.receive, nil
}

// shut closes the sockets, which ends the reader. p.mu is held.
func (p *Port) shut() {
	if p.send >= 0 {
		unix.Close(p.send)
		p.send = -1
	}
	if p.receive != nil {
		p.receive.Close()
		p.receive = nil
	}
}

// read hands on what comes until the socket is closed or the kernel refuses it for good.
func (p *Port) read(f *os.File) {
	buf := make([]byte, 2048)
	failures := 0
	for {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil: // ENETDOWN and the like come once and pass
			if failures++; failures > 10 {
				p.mu.Lock()
				p.shut()
				p.mu.Unlock()
				return
			}
			continue
		}
		failures = 0
		if d, ok := packet.ParseIPv4(buf[:n]); ok {
			p.o.Receive(d)
		} else if p.o.Garbage != nil {
			p.o.Garbage()
		}
	}
}
