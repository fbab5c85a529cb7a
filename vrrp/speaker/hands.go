package speaker

import "sync"

// task says which jobs take each other's place while they wait.
type task int

const (
	once     task = iota // none: it is done, and nothing overtakes it
	extend               // the latest lifetime is the one that counts
	announce             // bursts of the same addresses
	look                 // the latest look sees all that the one before would have seen
)

type job struct {
	task task
	do   func()
}

// hands do what an instance wants of the kernel's configuration, one thing after the other, on a goroutine of their own.
// The lock around that configuration may be somebody else's for seconds, where containers come and go; adverts don't wait
// for it, and backups stay calm. Answers come back by instance.post. queue is safe for concurrent use and never blocks.
type hands struct {
	mu   sync.Mutex
	jobs []job
	wake chan struct{}
	over bool
}

func newHands() *hands { return &hands{wake: make(chan struct{}, 1)} }

// queue leaves a job. One of the same task that waits since the last of once is replaced, so that few ever wait.
func (h *hands) queue(t task, do func()) {
	h.mu.Lock()
	defer poke(h.wake)
	defer h.mu.Unlock()
	for at := len(h.jobs) - 1; at >= 0 && t != once && h.jobs[at].task != once; at-- {
		if h.jobs[at].task == t {
			h.jobs[at].do = do
			return
		}
	}
	h.jobs = append(h.jobs, job{t, do})
}

// end has work return after the job that is under way. What waits is not done any more.
func (h *hands) end() {
	h.mu.Lock()
	defer poke(h.wake)
	defer h.mu.Unlock()
	h.over = true
}

// work does jobs until end.
func (h *hands) work() {
	for range h.wake {
		for {
			do, over := h.next()
			if over {
				return
			}
			if do == nil {
				break
			}
			do()
		}
	}
}

// next is the job to do now; nil: none waits.
func (h *hands) next() (do func(), over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || len(h.jobs) == 0 {
		return nil, h.over
	}
	do = h.jobs[0].do
	h.jobs[0].do = nil
	h.jobs = h.jobs[1:]
	return do, false
}
