package netio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

// retryInterval bounds how long a Port that could not open its sockets waits when nobody pokes it.
const retryInterval = time.Second

// Group6 is the multicast group of VRRP over IPv6 (RFC 9568 section 5.1.2.2).
var Group6 = netip.MustParseAddr("ff02::12")

var (
	// ErrNotOpen is a Send while the interface has no sockets.
	ErrNotOpen = errors.New("no socket on the interface yet")
	// ErrFamily is a Send of one address family by a Port of the other.
	ErrFamily = errors.New("address of another family than the socket's")
)

// Options of New.
type Options struct {
	Interface string     // "" with Unicast: whatever the routes say
	Group     netip.Addr // multicast; its family is the Port's. Zero: 224.0.0.18
	// Unicast makes a Port that joins no group. It receives what is sent to Source, which also gives the family and does
	// not have to be on the machine yet.
	Unicast bool
	Source  netip.Addr
	// AH makes a Port of IP protocol 51 instead of 112, IPv4 only: what is sent begins with an authentication header, and
	// what is received has one in front of it.
	AH bool
	// Receive gets each datagram on the goroutine of Run; the payload is valid during the call only. It must not block.
	Receive func(packet.Datagram)
	// Garbage is called for what is no whole packet of the protocol; may be nil.
	Garbage func()
	// State is told each time the sockets opened (nil) or could not be opened, on the goroutine of Run; may be nil.
	State func(error)
}

func (o Options) protocol() uint8 {
	if o.AH {
		return packet.ProtocolAH
	}
	return packet.Protocol
}

// Envelope says how one payload travels.
type Envelope struct {
	Source      netip.Addr
	Destination netip.Addr
	TTL         int    // or hop limit; 0: 255
	ID          uint16 // identification of IPv4, which an authentication header covers; 0: the kernel chooses
}

// Stats counts what happened on a Port since New.
type Stats struct {
	Received   uint64 // whole datagrams handed on
	Garbage    uint64 // what was none
	Dropped    uint64 // packets that the kernel threw away because the receive buffer was full
	Sent       uint64
	SendErrors uint64
	Opened     uint64 // times the sockets were opened
}

// Port is the sockets of one interface. Send, SendTo, Poke, Open and Stats are safe for concurrent use.
type Port struct {
	o     Options
	v6    bool
	poked chan struct{}

	mu      sync.Mutex
	out     sender // out.fd is -1 for none
	receive *os.File
	index   int
	lost    uint64 // drops of the sockets that are closed

	received, garbage, sent, failed, opened atomic.Uint64
}

// New allocates a Port; Run opens its sockets.
func New(o Options) *Port {
	if !o.Group.IsValid() {
		o.Group = packet.Group4
	}
	family := o.Group
	if o.Unicast {
		family = o.Source
	}
	return &Port{o: o, v6: family.Is6(), poked: make(chan struct{}, 1), out: newSender(o.protocol())}
}

// Poke says that the interface may be another now: the Port tries again, or opens anew if the interface was replaced.
func (p *Port) Poke() {
	select {
	case p.poked <- struct{}{}:
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.receive == nil || p.o.Interface == "" {
		return
	}
	if index, err := indexOf(p.out.fd, p.o.Interface); err != nil || index != p.index {
		p.shut() // the reader ends and Run opens again
	}
}

// Send sends one payload to the group. It blocks at most as long as the kernel needs to copy it.
func (p *Port) Send(source netip.Addr, payload []byte) error {
	return p.SendTo(Envelope{Source: source, Destination: p.o.Group}, payload)
}

// SendTo sends one payload to a peer, or to a group of the interface. It allocates nothing and blocks at most as long as
// the kernel needs to copy it. The error wraps ErrNotOpen while there are no sockets.
func (p *Port) SendTo(e Envelope, payload []byte) error {
	err := p.sendTo(e, payload)
	if err != nil {
		p.failed.Add(1)
		return fmt.Errorf("send advert on %s: %w", p.o.Interface, err)
	}
	p.sent.Add(1)
	return nil
}

func (p *Port) sendTo(e Envelope, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.out.fd < 0:
		return ErrNotOpen
	case e.Source.Is6() != p.v6 || e.Destination.Is6() != p.v6 || !e.Source.IsValid() || !e.Destination.IsValid():
		return ErrFamily
	case p.v6:
		return p.out.send6(e, p.index, payload)
	}
	return p.out.send4(e, payload)
}

// Open opens the sockets before Run does, so that the first advert of an instance finds them. It is optional, and an error
// is not final: Run tries again. A Port that was opened has to Run, which closes it.
func (p *Port) Open() error {
	_, err := p.open(context.Background())
	return err
}

// Stats returns the counters.
func (p *Port) Stats() Stats {
	p.mu.Lock()
	dropped := p.lost + p.drops()
	p.mu.Unlock()
	return Stats{
		Received: p.received.Load(), Garbage: p.garbage.Load(), Dropped: dropped,
		Sent: p.sent.Load(), SendErrors: p.failed.Load(), Opened: p.opened.Load(),
	}
}

// Run receives until ctx ends, opening the sockets as often as it takes, and returns nil. It can run once.
func (p *Port) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.shut()
	})
	defer stop()
	r := newReader(p)
	failed := ""
	for ctx.Err() == nil {
		f, err := p.open(ctx)
		if err == nil {
			failed = ""
			p.tell(nil)
			p.read(r, f)
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
	out, index, err := openSend(p.o, p.v6)
	if err != nil {
		return nil, err
	}
	in, err := openReceive(p.o, p.v6, index)
	if err != nil {
		unix.Close(out)
		return nil, err
	}
	p.out.fd, p.index = out, index
	p.receive = os.NewFile(uintptr(in), "vrrp "+p.o.Interface)
	p.opened.Add(1)
	return p.receive, nil
}

// shut closes the sockets, which ends the reader. p.mu is held.
func (p *Port) shut() {
	if p.out.fd >= 0 {
		unix.Close(p.out.fd)
		p.out.fd = -1
	}
	if p.receive != nil {
		p.lost += p.drops()
		p.receive.Close()
		p.receive = nil
	}
}

// drops asks the kernel how many packets did not fit into the receive buffer. p.mu is held.
func (p *Port) drops() (n uint64) {
	if p.receive == nil {
		return 0
	}
	raw, err := p.receive.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n = uint64(socketDrops(int(fd))) })
	}
	if err != nil {
		return 0
	}
	return n
}
