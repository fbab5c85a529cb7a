package guard

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const (
	// retryEvery and retryMax bound the attempts to remove an address that will not go: one second in all, after which
	// its valid_lft is about to end it anyway.
	retryEvery = 20 * time.Millisecond
	retryMax   = 50
	// instancesMax bounds what an agent gone mad can make the guard remember.
	instancesMax = 4096
)

// keeper is the guard's pure core: pets, drops and the time go in, removals that are due come out. It reads no clock and
// touches no machine. Not safe for concurrent use.
type keeper struct {
	entries map[string]*entry
	died    bool // the agent is gone
	ended   bool // no more messages will come
}

type phase int

const (
	held     phase = iota + 1 // on, by right, until expiry
	removing                  // to be removed, perhaps not for the first time
	gone                      // removed or given up; kept to recognise a late pet of the same lease
)

type entry struct {
	phase     phase
	epoch     uint64
	expiry    boottime.Time
	addresses []Address
	raw       []byte // addresses as they came
	at        boottime.Time
	attempts  int
	quiet     bool // removed before and said so: remove again, but say nothing again
}

func newKeeper() *keeper { return &keeper{entries: map[string]*entry{}} }

// take applies a message of the agent. Kinds that do not concern the core are ignored.
func (k *keeper) take(m message, now boottime.Time) error {
	switch m.kind {
	case kindHold:
		return k.hold(m, now)
	case kindDrop:
		delete(k.entries, string(m.instance))
	case kindBye:
		k.end(now, false)
	}
	return nil
}

// hold is a pet. One that comes with its expiry passed does not revive anything: what it names is removed at once, for
// the agent may have put it on before it or the guard fell asleep.
func (k *keeper) hold(m message, now boottime.Time) error {
	e, known := k.entries[string(m.instance)]
	if !known {
		if len(k.entries) >= instancesMax {
			return fmt.Errorf("guard holds %d instances, no more fit", len(k.entries))
		}
		e = &entry{}
	}
	if !known || !bytes.Equal(e.raw, m.addresses) {
		addresses, err := parseAddresses(m.addresses)
		if err != nil {
			return err
		}
		e.addresses, e.raw = addresses, bytes.Clone(m.addresses)
	}
	if !known {
		k.entries[string(m.instance)] = e
	}
	late := !now.Before(m.expiry)
	again := e.phase == gone && e.epoch == m.epoch && !m.expiry.After(e.expiry)
	e.epoch, e.expiry = m.epoch, m.expiry
	switch {
	case !late:
		e.phase, e.quiet, e.attempts = held, false, 0
	case e.phase != removing:
		e.phase, e.at, e.attempts, e.quiet = removing, now, 0, again
	}
	return nil
}

// end makes everything due: the agent died, or it left and forgot to drop something.
func (k *keeper) end(now boottime.Time, died bool) {
	if k.ended {
		return
	}
	k.ended, k.died = true, died
	for _, e := range k.entries {
		gaveUp := e.phase == gone && e.attempts >= retryMax
		if e.phase == held || gaveUp {
			e.phase, e.at, e.attempts, e.quiet = removing, now, 0, false
		}
	}
}

// due returns the instances whose addresses have to be removed now, in a stable order.
func (k *keeper) due(now boottime.Time) []string {
	var out []string
	for name, e := range k.entries {
		if e.phase == held && !now.Before(e.expiry) {
			e.phase, e.at, e.attempts, e.quiet = removing, now, 0, false
		}
		if e.phase == removing && !now.Before(e.at) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// done tells what became of a removal. It returns what is to be said, and whether anything is.
func (k *keeper) done(instance string, ok bool, now boottime.Time) (Released, bool) {
	e := k.entries[instance]
	if e == nil || e.phase != removing {
		return Released{}, false
	}
	if !ok {
		e.attempts++
		if e.at = now.Add(retryEvery); e.attempts >= retryMax {
			e.phase = gone
		}
		return Released{}, false
	}
	e.phase = gone
	return Released{Instance: instance, Epoch: e.epoch, AgentDied: k.died}, !e.quiet
}

// next is when due will have something, the zero Time for never.
func (k *keeper) next() boottime.Time {
	var first boottime.Time
	for _, e := range k.entries {
		at := e.expiry
		switch e.phase {
		case removing:
			at = e.at
		case gone:
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// finished reports whether the guard has nothing left to do.
func (k *keeper) finished() bool {
	if !k.ended {
		return false
	}
	for e := range maps.Values(k.entries) {
		if e.phase != gone {
			return false
		}
	}
	return true
}
