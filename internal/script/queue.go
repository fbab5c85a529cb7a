package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of a Queue.
const (
	MaxKeys    = 4096 // keys with a job at one time
	MaxPending = 8    // jobs waiting for one key
	MaxRunning = 64   // scripts at one time, see slotTime
)

// slotTime is how long a script counts as one of MaxRunning: a node that takes over hundreds of instances does not fork
// hundreds at once, and scripts that run for long do not keep others from being started.
const slotTime = time.Second

// ErrFull is a Submit beyond MaxKeys or MaxPending.
var ErrFull = errors.New("too many scripts waiting")

// ErrEnded is a Submit after Run has returned.
var ErrEnded = errors.New("script queue has ended")

// Job is a script to run when those of its Key before it are through.
type Job struct {
	Key  string // at most one job of a key runs at a time, for instance a VRRP instance's name
	Kind string // a later job replaces one of the same key and kind that still waits: only the latest state counts
	Spec Spec
	Then []Spec // run after Spec, in order, whatever it said: what is begun is completed
	// Replaces has a job take the place of all that wait for its key, of whatever kind.
	Replaces bool
	// Patience is how long a job waits for the one of its key that runs; then that is told to end. 0: as long as it takes.
	Patience time.Duration
	// Done, if set, gets each script's result on the goroutine that ran it, and must not block for long. A job that was
	// replaced, or that waited when the queue ended, is not told.
	Done func(Spec, Result)
}

// Queue runs jobs of different keys at the same time and those of one key one after the other. Submit and Idle are safe
// for concurrent use, and all goroutines end before Run returns.
type Queue struct {
	mu    sync.Mutex
	lanes map[string]*lane
	ended bool
	wake  chan struct{}
	idle  chan struct{} // closed and replaced whenever the last lane ends
	slots chan struct{} // of MaxRunning
	slot  time.Duration // slotTime
	wg    sync.WaitGroup
}

type lane struct {
	running bool
	pending []Job
	end     context.CancelCauseFunc // of the job that runs
	patient *time.Timer             // until end is called; nil: nobody waits who says how long
	until   time.Time               // when that is
}

// ErrSuperseded is why a script was told to end for one that waited for it.
var ErrSuperseded = errors.New("superseded by a later script")

// NewQueue makes a queue; Run works on it.
func NewQueue() *Queue {
	return &Queue{
		lanes: map[string]*lane{}, wake: make(chan struct{}, 1), idle: make(chan struct{}), slots: make(chan struct{}, MaxRunning),
		slot: slotTime,
	}
}

// Submit queues a job and never blocks. What is submitted before Run waits for it.
func (q *Queue) Submit(j Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return ErrEnded
	}
	l := q.lanes[j.Key]
	if l == nil {
		if len(q.lanes) >= MaxKeys {
			return fmt.Errorf("%s: %w", j.Key, ErrFull)
		}
		l = &lane{}
		q.lanes[j.Key] = l
	}
	l.pending = slices.DeleteFunc(l.pending, func(old Job) bool { return j.Replaces || old.Kind == j.Kind })
	if len(l.pending) >= MaxPending {
		return fmt.Errorf("%s: %w", j.Key, ErrFull)
	}
	l.pending = append(l.pending, j)
	l.hurry(j.Patience)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// Forget drops the jobs of a key that wait: what they would tell is no longer so. The one that runs goes on.
func (q *Queue) Forget(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[key]; l != nil {
		l.pending = nil // its worker, or the start to come, takes the empty lane away
	}
}

// hurry ends the job that runs when the patience of one that waits is over. Whoever is least patient counts. mu is held.
func (l *lane) hurry(patience time.Duration) {
	if patience <= 0 || l.end == nil {
		return
	}
	end, until := l.end, time.Now().Add(patience)
	if l.patient != nil {
		if !until.Before(l.until) {
			return
		}
		l.patient.Stop()
	}
	l.until = until
	l.patient = time.AfterFunc(patience, func() { end(ErrSuperseded) })
}

// Run starts scripts until ctx ends; then it ends those that run, forgets those that wait and returns nil.
func (q *Queue) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			q.end()
			q.wg.Wait()
			return nil
		case <-q.wake:
			q.start(ctx)
		}
	}
}

func (q *Queue) start(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, l := range q.lanes {
		if !l.running {
			l.running = true
			q.wg.Go(func() { q.work(ctx, key, l) })
		}
	}
}

func (q *Queue) work(ctx context.Context, key string, l *lane) {
	for {
		j, life, ok := q.next(ctx, key, l)
		if !ok {
			return
		}
		for _, spec := range append([]Spec{j.Spec}, j.Then...) {
			q.run(life, j, spec)
		}
	}
}

// run runs one script of a job when there is a slot for it.
func (q *Queue) run(life context.Context, j Job, spec Spec) {
	select {
	case q.slots <- struct{}{}:
	case <-life.Done():
		return
	}
	free := sync.OnceFunc(func() { <-q.slots })
	early := time.AfterFunc(q.slot, free)
	r := Run(life, spec)
	early.Stop()
	free()
	if j.Done != nil {
		j.Done(spec, r)
	}
}

// next takes the lane's next job; without one the lane is gone. life is the job's.
func (q *Queue) next(ctx context.Context, key string, l *lane) (j Job, life context.Context, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.end != nil {
		l.end(nil)
		l.end = nil
	}
	if l.patient != nil {
		l.patient.Stop()
		l.patient = nil
	}
	if len(l.pending) == 0 || ctx.Err() != nil {
		q.remove(key)
		return Job{}, nil, false
	}
	j = l.pending[0]
	l.pending = slices.Delete(l.pending, 0, 1)
	life, l.end = context.WithCancelCause(ctx)
	for _, waiting := range l.pending {
		l.hurry(waiting.Patience)
	}
	return j, life, true
}

func (q *Queue) remove(key string) {
	delete(q.lanes, key)
	if len(q.lanes) == 0 {
		close(q.idle)
		q.idle = make(chan struct{})
	}
}

func (q *Queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	for key, l := range q.lanes {
		if !l.running {
			q.remove(key)
		}
	}
}

// Idle waits until nothing runs or waits, or ctx ends, whose error it then returns: a daemon that stops gives its last
// notify scripts a moment before it ends Run.
func (q *Queue) Idle(ctx context.Context) error {
	for {
		q.mu.Lock()
		n, idle := len(q.lanes), q.idle
		q.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("%d scripts not through: %w", n, ctx.Err())
		}
	}
}
