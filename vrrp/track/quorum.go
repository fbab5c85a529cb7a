package track

import (
	"fmt"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// ProcessState is what a vrrp_track_process's processes mean.
type ProcessState struct {
	Known bool // they were counted
	Up    bool // as many as the quorum wants, delays done
	Count int  // that run now, without zombies
	Note  string
}

// Word is the state for people: ok, failed, unknown.
func (s ProcessState) Word() string { return verdict{known: s.Known, up: s.Up}.word() }

// quorum makes a state of a count: what the first count says is so at once, later changes after fork_delay when a process
// more led to it, or terminate_delay when it was one less. Pure.
type quorum struct {
	c     vrrp.Process
	state ProcessState
	due   time.Time // when the other verdict comes into force; zero: none waits
}

// step takes a count into account; also when nothing changed but the time.
func (q *quorum) step(count int, now time.Time) {
	met := q.met(count)
	switch {
	case !q.state.Known:
		q.state.Known, q.state.Up = true, met
	case met == q.state.Up:
		q.due = time.Time{}
	case q.due.IsZero():
		delay := q.c.TerminateDelay
		if count > q.state.Count {
			delay = q.c.ForkDelay
		}
		q.due = now.Add(delay)
	}
	q.state.Count = count
	if !q.due.IsZero() && !now.Before(q.due) {
		q.state.Up, q.due = met, time.Time{}
	}
	q.state.Note = q.note()
}

func (q *quorum) met(count int) bool {
	most := q.c.QuorumMax
	switch {
	case most < 0:
		return count == 0
	case most > 0 && count > most:
		return false
	}
	least := q.c.Quorum
	if least == 0 && most == 0 {
		least = 1
	}
	return count >= least
}

func (q *quorum) note() string {
	switch {
	case q.c.QuorumMax < 0:
		return fmt.Sprintf("%d running, none wanted", q.state.Count)
	case q.c.QuorumMax > 0:
		return fmt.Sprintf("%d running, quorum %d to %d", q.state.Count, q.c.Quorum, q.c.QuorumMax)
	}
	return fmt.Sprintf("%d running, quorum %d", q.state.Count, max(q.c.Quorum, 1))
}
