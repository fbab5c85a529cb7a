package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Bounds of a Queue.
const (
	MaxKeys    = 1024 // keys with a job at one time
	MaxPending = 8    // jobs waiting for one key
)

// ErrFull is a Submit beyond MaxKeys or MaxPending.
var ErrFull = errors.New("too many scripts waiting")

// ErrEnded is a Submit after Run has returned.
var ErrEnded = errors.New("script queue has ended")

// Job is a script to run when those of its Key before it are through.
type Job struct {
	Key  string // at most one job of a key runs at a time, for instance a VRRP instance's name
	Kind string // a later job replaces one of the same key and kind that still waits: only the latest state counts
	Spec Spec
	// Done, if set, gets the result on the goroutine that ran the script, and must not block for long. A job that was
	// replaced, or that waited when the queue ended, is not told.
	Done func(Result)
}

// Queue runs jobs of different keys at the same time and those of one key one after the other. Submit and Idle are safe
// for concurrent use, and all goroutines end before Run returns.
type Queue struct {
	mu    sync.Mutex
	lanes map[string]*lane
	ended bool
	wake  chan struct{}
	idle  chan struct{} // closed and replaced whenever the last lane ends
	wg    sync.WaitGroup
}

type lane struct {
	running bool
	pending []Job
}

// NewQueue makes a queue; Run works on it.
func NewQueue() *Queue {
	return &Queue{lanes: map[string]*lane{}, wake: make(chan struct{}, 1), idle: make(chan struct{})}
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
	l.pending = slices.DeleteFunc(l.pending, func(old Job) bool { return old.Kind == j.Kind })
	if len(l.pending) >= MaxPending {
		return fmt.Errorf("%s: %w", j.Key, ErrFull)
	}
	l.pending = append(l.pending, j)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
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
		j, ok := q.next(ctx, key, l)
		if !ok {
			return
		}
		r := Run(ctx, j.Spec)
		if j.Done != nil {
			j.Done(r)
		}
	}
}

// next takes the lane's next job; without one the lane is gone.
func (q *Queue) next(ctx context.Context, key string, l *lane) (Job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(l.pending) == 0 || ctx.Err() != nil {
		q.remove(key)
		return Job{}, false
	}
	j := l.pending[0]
	l.pending = slices.Delete(l.pending, 0, 1)
	return j, true
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
