package accesslog

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

const (
	ringSize = 256 << 10
	// While lines come the writer looks every pollEvery; after idleAfter without any it sleeps until it is nudged.
	pollEvery = 5 * time.Millisecond
	idleAfter = time.Second
)

// Writer owns the rings and the sockets. Make it with New, run it with Run.
type Writer struct {
	tag      string
	pid      int
	host     string
	rings    []*Ring
	shared   sync.Mutex // guards the last ring, which is everybody's
	sinks    atomic.Pointer[[]*Sink]
	register sync.Mutex
	sleeping atomic.Bool
	wake     chan struct{}
}

// Sink is where the lines of one proxy go: its log lines' targets. Compare by pointer; equal targets give the same Sink.
type Sink struct {
	id      uint32
	config  []proxy.LogTarget
	targets []*target // owned by Run
}

// New makes a Writer with one ring for each of producers. tag, pid and host go into syslog's prefix.
func New(producers int, tag string, pid int, host string) *Writer {
	w := &Writer{tag: tag, pid: pid, host: host, wake: make(chan struct{}, 1)}
	for range producers + 1 {
		w.rings = append(w.rings, newRing(w, ringSize))
	}
	w.sinks.Store(&[]*Sink{})
	return w
}

// Ring is the ring of producer i.
func (w *Writer) Ring(i int) *Ring { return w.rings[i] }

// Put is Ring.Put for everybody else, safe for concurrent use.
func (w *Writer) Put(sink *Sink, level Level, line []byte) {
	w.shared.Lock()
	defer w.shared.Unlock()
	w.rings[len(w.rings)-1].Put(sink, level, line)
}

// Sink is the sink for these targets, nil when there are none.
func (w *Writer) Sink(targets []proxy.LogTarget) *Sink {
	if len(targets) == 0 {
		return nil
	}
	w.register.Lock()
	defer w.register.Unlock()
	known := *w.sinks.Load()
	for _, s := range known {
		if slices.EqualFunc(s.config, targets, sameTarget) {
			return s
		}
	}
	s := &Sink{id: uint32(len(known)), config: slices.Clone(targets)}
	for _, t := range s.config {
		s.targets = append(s.targets, newTarget(t))
	}
	more := append(slices.Clone(known), s)
	w.sinks.Store(&more)
	return s
}

func sameTarget(a, b proxy.LogTarget) bool {
	a.Pos, b.Pos = proxy.LogTarget{}.Pos, proxy.LogTarget{}.Pos
	return a == b
}

// Dropped is how many lines found no room or no listener.
func (w *Writer) Dropped() uint64 {
	var n uint64
	for _, r := range w.rings {
		n += r.dropped.Load()
	}
	for _, s := range *w.sinks.Load() {
		for _, t := range s.targets {
			n += t.dropped.Load()
		}
	}
	return n
}

// nudge wakes a sleeping Run; while it is awake this is one load.
func (w *Writer) nudge() {
	if w.sleeping.Load() && w.sleeping.CompareAndSwap(true, false) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Run sends the lines until ctx ends, then what is left.
func (w *Writer) Run(ctx context.Context) {
	defer w.close()
	line, out := make([]byte, MaxLine), make([]byte, 0, MaxLine+256)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		if w.drain(line, out) {
			last = time.Now()
		} else if time.Since(last) > idleAfter {
			w.sleeping.Store(true)
			tick.Stop()
			if !w.pending() {
				select {
				case <-w.wake:
				case <-ctx.Done():
				}
			}
			w.sleeping.Store(false)
			tick.Reset(pollEvery)
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			w.drain(line, out)
			return
		case <-tick.C:
		}
	}
}

func (w *Writer) pending() bool {
	for _, r := range w.rings {
		if r.head.Load() != r.tail.Load() {
			return true
		}
	}
	return false
}

func (w *Writer) drain(line, out []byte) (any bool) {
	now := time.Now()
	for _, r := range w.rings {
		for {
			id, level, text, ok := r.take(line)
			if !ok {
				break
			}
			any = true
			for _, t := range (*w.sinks.Load())[id].targets {
				t.write(w, out[:0], now, level, text)
			}
		}
	}
	return any
}

func (w *Writer) close() {
	for _, s := range *w.sinks.Load() {
		for _, t := range s.targets {
			t.close()
		}
	}
}
