package lease

import (
	"slices"
	"sync"
)

// mailbox keeps verdicts for a reader that may be slow, in order and bounded: per instance a Lost, a Granted, a Yield and an
// Elsewhere at most. A newer Extended takes the place of an older one or raises the Granted before it; a Lost takes away the
// untold rest of the lease that is lost. Safe for concurrent use.
type mailbox struct {
	mu   sync.Mutex
	all  []Verdict
	wake chan struct{} // capacity 1
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) put(vs []Verdict) {
	if len(vs) == 0 {
		return
	}
	m.mu.Lock()
	for _, v := range vs {
		m.add(v)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
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

// take returns the oldest verdict.
func (m *mailbox) take() (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.all) == 0 {
		return Verdict{}, false
	}
	v := m.all[0]
	m.all = slices.Delete(m.all, 0, 1)
	return v, true
}
