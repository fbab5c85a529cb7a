package speaker

import (
	"context"
	"net/netip"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/vrrp/netio"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

// portKey is what instances that share sockets have in common: the interface, and the multicast group or, in unicast, the
// address that adverts come to.
type portKey struct {
	dev    string
	group  netip.Addr // zero in unicast
	source netip.Addr // unicast; unspecified: any address of the interface
	ah     bool       // adverts have an authentication header in front, and a protocol number of their own
}

// other is the key of those who differ in the protocol alone.
func (k portKey) other() portKey {
	k.ah = !k.ah
	return k
}

// port is an interface's sockets with the instances there, by VRID.
type port struct {
	*netio.Port
	key  portKey
	end  context.CancelFunc
	gone chan struct{}

	mu       sync.RWMutex
	byVRID   map[uint8]*instance
	counters packet.Counters
	stranger func(vrid uint8, source netip.Addr) // nobody here is of that virtual router; nil: nobody cares
	other    *port                               // of the same key with the other protocol; nil: none
}

func newPort(key portKey, log hclog.Logger) *port {
	p := &port{key: key, gone: make(chan struct{}), byVRID: map[uint8]*instance{}}
	p.Port = netio.New(netio.Options{
		Interface: key.dev, Group: key.group, Unicast: key.source.IsValid(), Source: key.source, AH: key.ah, Receive: p.receive,
		Garbage: func() { p.counters.Add(packet.TooShort) },
		State: func(err error) {
			if err != nil {
				log.Warn("no VRRP socket on the interface yet", "interface", key.dev, "error", err)
			}
		},
	})
	return p
}

func (p *port) start() {
	_ = p.Open() // Run tells, and tries again
	ctx, end := context.WithCancel(context.Background())
	p.end = end
	go func() {
		defer close(p.gone)
		_ = p.Run(ctx) // always nil
	}()
}

func (p *port) stop() {
	p.end()
	<-p.gone
}

func (p *port) receive(d packet.Datagram) {
	vrid, ok := packet.VRID(d.Payload)
	if !ok {
		p.counters.Add(packet.TooShort)
		return
	}
	p.mu.RLock()
	i, stranger, other := p.byVRID[vrid], p.stranger, p.other
	p.mu.RUnlock()
	if i == nil && other != nil {
		i = other.of(vrid) // which says that it wants an authentication header, or none
	}
	if i == nil {
		p.counters.Add(packet.UnknownVRID)
		if stranger != nil {
			stranger(vrid, d.Source)
		}
		return
	}
	i.receive(d)
}

func (p *port) of(vrid uint8) *instance {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byVRID[vrid]
}

// tell says whom to tell of unknown virtual routers (log_unknown_vrids), and which port may know them.
func (p *port) tell(stranger func(vrid uint8, source netip.Addr), other *port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stranger, p.other = stranger, other
}

func (p *port) join(vrid int, i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byVRID[uint8(vrid)] = i
}

// leave reports whether nobody is left.
func (p *port) leave(vrid int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byVRID, uint8(vrid))
	return len(p.byVRID) == 0
}
