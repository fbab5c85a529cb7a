package lease

import (
	"slices"
	"sync"
)

// mailbox keeps verdicts for a reader that may be slow, in order and bounded: per instance a Lost, a Granted, a Yield and an
// Elsewhere at most. A newer Extended takes the place of an older one or raises the Granted before it; a Lost takes away the
// untold rest of the lease that is lost. A Granted can be held back, and what is said of its instance after it; the other
// instances' verdicts go past. Safe for concurrent use.
type mailbox struct {
	mu   sync.Mutex
	all  []Verdict
	held map[string]uint64 // epoch of the Granted that is held back, by instance
	wake chan struct{}     // capacity 1
}

func newMailbox() *mailbox {
	return &mailbox{held: make(map[string]uint64), wake: make(chan struct{}, 1)}
}

// hold holds the Granted of that epoch back, before it is put, until release.
func (m *mailbox) hold(instance string, epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[instance] = epoch
}

// release lets the Granted of that epoch go, if it is still the one that is held back.
func (m *mailbox) release(instance string, epoch uint64) {
	m.mu.Lock()
	if m.held[instance] == epoch {
		delete(m.held, instance)
	}
	m.mu.Unlock()
	m.signal()
}

func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) put(vs []Verdict) {
	if len(vs) == 0 {
		return
	}
	m.mu.Lock()
	for _, v := range vs {
		m.add(v)
	}
	m.mu.Unlock()
	m.signal()
}

func (m *mailbox) add(v Verdict) {
	switch v.Kind {
	case Extended:
		for i := len(m.all) - 1; i >= 0; i-- {
			if p := &m.all[i]; p.Instance == v.Instance && p.Epoch == v.Epoch && (p.Kind == Granted || p.Kind == Extended) {
				p.Expiry = v.Expiry
				return
			}
		}
	case Lost:
		delete(m.held, v.Instance)
		m.drop(v.Instance, Granted, Extended, Yield, Lost)
	case Granted:
		m.drop(v.Instance, Granted, Extended, Yield, Elsewhere)
	case Yield, Elsewhere:
		m.drop(v.Instance, v.Kind)
	case NoQuorum, Quorum:
		m.drop("", NoQuorum, Quorum)
	}
	m.all = append(m.all, v)
}

func (m *mailbox) drop(instance string, kinds ...VerdictKind) {
	m.all = slices.DeleteFunc(m.all, func(v Verdict) bool { return v.Instance == instance && slices.Contains(kinds, v.Kind) })
}

// take returns the oldest verdict that is not held back.
func (m *mailbox) take() (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, v := range m.all {
		if _, held := m.held[v.Instance]; !held {
			m.all = slices.Delete(m.all, i, i+1)
			return v, true
		}
	}
	return Verdict{}, false
}
