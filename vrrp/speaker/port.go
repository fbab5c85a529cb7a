package speaker

import (
	"context"
	"net/netip"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/vrrp/netio"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

type portKey struct {
	dev   string
	group netip.Addr
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
}

func newPort(key portKey, log hclog.Logger) *port {
	p := &port{key: key, gone: make(chan struct{}), byVRID: map[uint8]*instance{}}
	p.Port = netio.New(netio.Options{
		Interface: key.dev, Group: key.group, Receive: p.receive,
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
	i := p.byVRID[vrid]
	p.mu.RUnlock()
	if i == nil {
		p.counters.Add(packet.UnknownVRID)
		return
	}
	i.receive(d)
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
