package guard

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	sayTimeout = 2 * time.Second
	// sayersMax bounds the calls of Said that run at a time; what comes while all are busy is said by the first free one.
	sayersMax = 4
	// lingerMax bounds how long a guard without an agent lives for the sake of saying.
	lingerMax = 5 * time.Second
)

// sayer does the guard's talking on goroutines of its own, so that the loop never waits for a network or a log.
type sayer struct {
	said    func(context.Context, []Released, []byte)
	timeout time.Duration
	log     hclog.Logger

	mu      sync.Mutex
	blob    []byte
	waiting []Released
	lines   []func()
	busy    int
	told    bool // some Released carried AgentDied
	idle    sync.Cond
}

func newSayer(o ProcessOptions) *sayer {
	s := &sayer{said: o.Said, timeout: o.SayTimeout, log: o.Logger}
	if s.timeout <= 0 {
		s.timeout = sayTimeout
	}
	s.idle.L = &s.mu
	return s
}

func (s *sayer) instruct(blob []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blob = bytes.Clone(blob)
}

// say hands on what was removed.
func (s *sayer) say(released []Released) {
	if len(released) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range released {
		s.told = s.told || r.AgentDied
		// Of one instance only the newest word counts, which also bounds the queue.
		s.waiting = slices.DeleteFunc(s.waiting, func(w Released) bool { return w.Instance == r.Instance })
		s.waiting = append(s.waiting, r)
	}
	s.start()
}

// lastWords tells of the agent's death if no released instance did.
func (s *sayer) lastWords() {
	s.mu.Lock()
	told := s.told
	s.mu.Unlock()
	if !told {
		s.say([]Released{{AgentDied: true}})
	}
}

// linesMax bounds the log lines that wait for a goroutine.
const linesMax = 16

func (s *sayer) line(write func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) < linesMax {
		s.lines = append(s.lines, write)
		s.start()
	}
}

func (s *sayer) fault(instance string, err error) {
	s.line(func() { s.log.Error("guard could not remove addresses", "instance", instance, "error", err) })
}

// malformed logs the first of every power of two.
func (s *sayer) malformed(n uint64, err error) {
	if n&(n-1) == 0 {
		s.line(func() { s.log.Error("guard got a message it does not understand", "error", err, "count", n) })
	}
}

// start runs a worker unless enough of them run. s.mu is held.
func (s *sayer) start() {
	if s.busy >= sayersMax {
		return
	}
	if s.busy == 0 {
		runtime.GOMAXPROCS(2) // a handshake must not keep the loop from its processor
	}
	s.busy++
	go s.work()
}

func (s *sayer) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) > 0 || len(s.lines) > 0 {
		released, lines, blob := s.waiting, s.lines, s.blob
		s.waiting, s.lines = nil, nil
		s.mu.Unlock()
		s.speak(released, lines, blob)
		s.mu.Lock()
	}
	if s.busy--; s.busy == 0 {
		s.idle.Broadcast()
	}
}

func (s *sayer) speak(released []Released, lines []func(), blob []byte) {
	if len(released) > 0 && s.said != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
		s.said(ctx, released, blob)
		cancel()
	}
	for _, r := range released {
		if r.Instance != "" {
			s.log.Warn("guard removed addresses", "instance", r.Instance, "epoch", r.Epoch, "agent_died", r.AgentDied)
		}
	}
	for _, write := range lines {
		write()
	}
}

// wait lets the workers finish, for a bounded time: a hook or a log that hangs does not keep the process.
func (s *sayer) wait() {
	end := time.AfterFunc(max(lingerMax, s.timeout+time.Second), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy = 0
		s.idle.Broadcast()
	})
	defer end.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy > 0 {
		s.idle.Wait()
	}
}
