package vip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

// mendInterval is how often somebody looks after routes and rules that nothing renews: the static ones, and those of
// instances whose addresses live for ever. The others come with each renewal of their addresses.
const mendInterval = time.Second

// installed is what went on with an instance's addresses.
type installed struct {
	policy
	lasting bool // its addresses are not renewed
}

// tracked is what is put back when somebody takes it off: all but no_track.
func (p policy) tracked() policy {
	return policy{
		slices.DeleteFunc(slices.Clone(p.routes), func(r vrrp.Route) bool { return r.NoTrack }),
		slices.DeleteFunc(slices.Clone(p.rules), func(r vrrp.Rule) bool { return r.NoTrack }),
	}
}

// notice has static addresses looked after when one of them went, or when an interface came up.
func (m *Manager) notice(e Event) {
	if e.Kind == AddressGone && e.Instance == "" || e.Kind == LinkChanged && e.Up && e.Carrier {
		select {
		case m.missing <- struct{}{}:
		default:
		}
	}
}

// mends puts back what somebody, or a link that was down, took off, until ctx ends.
func (m *Manager) mends(ctx context.Context) {
	tick := time.NewTicker(mendInterval)
	defer tick.Stop()
	for {
		addresses := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.missing:
			addresses = true
		}
		m.mend(addresses)
	}
}

func (m *Manager) mend(addresses bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := policy{m.setup.Static.Routes, m.setup.Static.Rules}
	for _, i := range m.installed {
		if i.lasting {
			more := i.tracked()
			p = policy{slices.Concat(p.routes, more.routes), slices.Concat(p.rules, more.rules)}
		}
	}
	addresses = addresses && len(m.setup.Static.Addresses) > 0
	if !addresses && p.empty() || m.open() != nil {
		return
	}
	var errs []error
	if addresses {
		errs = append(errs, m.mendAddresses())
	}
	if m.conn != nil && !p.empty() {
		back, more := p.change(m.conn, "add", p.routes, p.rules, m.conn.newRoute, m.conn.newRule, unix.EEXIST)
		for _, what := range back {
			m.log.Warn("it was removed by somebody else and is put back", "what", what)
		}
		m.renew(errors.Join(more...))
		errs = append(errs, more...)
	}
	err := errors.Join(errs...)
	if text := fmt.Sprint(err); text != m.mendFault {
		m.mendFault = text
		if err != nil {
			m.log.Warn("what was removed could not be put back", "error", err)
		}
	}
}

// mendAddresses puts static addresses back that are not there. m.mu is held.
func (m *Manager) mendAddresses() error {
	on := map[indexed]bool{}
	err := m.conn.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), func(msg message) {
		if a, ok := parseAddr(msg.data); ok {
			on[a] = true
		}
	})
	if err != nil { // errInterrupted: the change that was in the way is told, too
		return nil
	}
	m.conn.reset()
	var asked []place
	for _, a := range m.setup.Static.Addresses {
		index, err := m.conn.index(a.Dev)
		if err != nil || on[indexed{index, where(a)}] || m.conn.newAddr(index, a, -1) != nil {
			continue // an interface that comes back is told; an address that can't be was said at the start
		}
		asked = append(asked, place{a.Dev, where(a)})
		m.log.Warn("it was removed by somebody else and is put back", "what", "static address "+a.Prefix.String(), "interface", a.Dev)
	}
	if len(asked) == 0 {
		return nil
	}
	return m.send(asked)
}
