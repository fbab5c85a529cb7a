package guard

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const ms = boottime.Time(time.Millisecond)

// at makes a keeper's message of a holding.
func pet(t testing.TB, h Holding) message {
	t.Helper()
	b, err := appendHold(nil, h)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func hold(name string, epoch uint64, expiry boottime.Time) Holding {
	return Holding{name, epoch, expiry, []Address{on("eth0", "10.0.0.100/32")}}
}

func drop(name string) message { return message{kind: kindDrop, instance: []byte(name)} }

// script drives a keeper step by step; each step is at a time in ms and expects what is due.
type step struct {
	at    boottime.Time
	do    func(t *testing.T, k *keeper, now boottime.Time)
	due   []string
	fails bool // the removal
	says  []Released
}

func TestKeeper(t *testing.T) {
	pets := func(epoch uint64, expiry boottime.Time) func(*testing.T, *keeper, boottime.Time) {
		return func(t *testing.T, k *keeper, now boottime.Time) {
			if err := k.take(pet(t, hold("A", epoch, expiry*ms)), now); err != nil {
				t.Error(err)
			}
		}
	}
	ends := func(died bool) func(*testing.T, *keeper, boottime.Time) {
		return func(_ *testing.T, k *keeper, now boottime.Time) { k.end(now, died) }
	}
	drops := func(t *testing.T, k *keeper, now boottime.Time) { _ = k.take(drop("A"), now) }
	bye := func(t *testing.T, k *keeper, now boottime.Time) { _ = k.take(message{kind: kindBye}, now) }
	for name, steps := range map[string][]step{
		"expires": {
			{at: 0, do: pets(3, 100)}, {at: 99}, {at: 100, due: []string{"A"}, says: []Released{{"A", 3, false}}}, {at: 500},
		},
		"renewed in time": {
			{at: 0, do: pets(3, 100)}, {at: 99, do: pets(3, 199)}, {at: 150}, {at: 199, due: []string{"A"}, says: []Released{{"A", 3, false}}},
		},
		"an earlier expiry counts too": {
			{at: 0, do: pets(3, 100)}, {at: 10, do: pets(3, 50)}, {at: 50, due: []string{"A"}, says: []Released{{"A", 3, false}}},
		},
		"dropped": {
			{at: 0, do: pets(3, 100)}, {at: 50, do: drops}, {at: 100}, {at: 200, do: ends(true)},
		},
		"agent died": {
			{at: 0, do: pets(3, 100)}, {at: 10, do: ends(true), due: []string{"A"}, says: []Released{{"A", 3, true}}},
		},
		"agent left without dropping": {
			{at: 0, do: pets(3, 100)}, {at: 10, do: bye, due: []string{"A"}, says: []Released{{"A", 3, false}}}, {at: 11, do: ends(true)},
		},
		"expired, then the agent died": {
			{at: 0, do: pets(3, 100)}, {at: 100, due: []string{"A"}, says: []Released{{"A", 3, false}}}, {at: 200, do: ends(true)},
		},
		"wakes and renews": {
			{at: 0, do: pets(3, 100)}, {at: 100, due: []string{"A"}, says: []Released{{"A", 3, false}}},
			{at: 150, do: pets(3, 250)}, {at: 250, due: []string{"A"}, says: []Released{{"A", 3, false}}},
		},
		"a late pet revives nothing": {
			{at: 0, do: pets(3, 100)}, {at: 100, due: []string{"A"}, says: []Released{{"A", 3, false}}},
			{at: 150, do: pets(3, 100), due: []string{"A"}}, {at: 300},
		},
		"a late pet of an instance not known may be of an address that is on": {
			{at: 150, do: pets(4, 100), due: []string{"A"}, says: []Released{{"A", 4, false}}}, {at: 300},
		},
		"a late pet of a newer lease": {
			{at: 0, do: pets(3, 100)}, {at: 100, due: []string{"A"}, says: []Released{{"A", 3, false}}},
			{at: 300, do: pets(4, 200), due: []string{"A"}, says: []Released{{"A", 4, false}}},
		},
		"removal is tried again": {
			{at: 0, do: pets(3, 100)}, {at: 100, due: []string{"A"}, fails: true}, {at: 110},
			{at: 120, due: []string{"A"}, fails: true}, {at: 140, due: []string{"A"}, says: []Released{{"A", 3, false}}}, {at: 200},
		},
		"a renewal ends the trying": {
			{at: 0, do: pets(3, 100)}, {at: 100, due: []string{"A"}, fails: true}, {at: 105, do: pets(3, 200)}, {at: 120}, {at: 140},
			{at: 200, due: []string{"A"}, says: []Released{{"A", 3, false}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper()
			for _, s := range steps {
				now := s.at * ms
				if s.do != nil {
					s.do(t, k, now)
				}
				due := k.due(now)
				if !slices.Equal(due, s.due) {
					t.Fatalf("at %d: due %v, want %v", s.at, due, s.due)
				}
				var says []Released
				for _, name := range due {
					if r, say := k.done(name, !s.fails, now); say {
						says = append(says, r)
					}
				}
				if !slices.Equal(says, s.says) {
					t.Errorf("at %d: says %v, want %v", s.at, says, s.says)
				}
			}
		})
	}
}

func TestKeeperGivesUp(t *testing.T) {
	k, now := newKeeper(), boottime.Time(0)
	_ = k.take(pet(t, hold("A", 1, 100*ms)), now)
	tries := 0
	for now = 100 * ms; k.next() != 0; now = k.next() {
		for _, name := range k.due(now) {
			if _, say := k.done(name, false, now); say {
				t.Fatal("said of an address that is on")
			}
			tries++
		}
	}
	if tries != retryMax {
		t.Errorf("%d attempts, want %d", tries, retryMax)
	}
	k.end(now, true) // with the agent gone it is worth another round
	if due := k.due(now); len(due) != 1 {
		t.Errorf("due after the agent's death: %v", due)
	}
}

func TestKeeperIsBounded(t *testing.T) {
	k := newKeeper()
	for i := range instancesMax {
		if err := k.take(pet(t, hold(fmt.Sprint(i), 1, 100*ms)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.take(pet(t, hold("more", 1, 100*ms)), 0); err == nil {
		t.Error("it remembers without bound")
	}
	if err := k.take(pet(t, hold("7", 1, 200*ms)), 0); err != nil {
		t.Errorf("a known instance: %v", err)
	}
}

// model is what the addresses' state on the machine must be, kept in the simplest way.
type model struct {
	on     map[string]boottime.Time // the right to be on, by instance
	epoch  map[string]uint64
	broken map[string]bool // removal fails for the time being
}

// Whatever the agent does and whenever it dies: nothing is removed that may be on, nothing is on past its time once
// removals work, nothing is said of an address that is on, and next never lets the guard sleep too long.
func TestKeeperProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k, now := newKeeper(), boottime.Time(0)
		m := model{map[string]boottime.Time{}, map[string]uint64{}, map[string]bool{}}
		onMachine := map[string]bool{}
		names := []string{"A", "B", "C"}
		settle := func() {
			for _, name := range k.due(now) {
				if until, right := m.on[name]; right && now.Before(until) && !k.ended {
					rt.Fatalf("%s due at %d, its right ends at %d", name, now, until)
				}
				ok := !m.broken[name]
				if ok {
					delete(onMachine, name)
				}
				r, say := k.done(name, ok, now)
				if say && (onMachine[r.Instance] || r.Epoch != m.epoch[name] || r.AgentDied != k.died) {
					rt.Fatalf("said %+v, on the machine: %v, epoch %d, died %v", r, onMachine, m.epoch[name], k.died)
				}
			}
			for name := range onMachine {
				if until := m.on[name]; !m.broken[name] && !now.Before(until) {
					e := k.entries[name]
					if e.phase != removing || now.Before(e.at) && e.at.Sub(now) > retryEvery {
						rt.Fatalf("%s on at %d, its right ended at %d: %+v", name, now, until, e)
					}
				}
			}
		}
		for range rapid.IntRange(1, 50).Draw(rt, "steps") {
			name := rapid.SampledFrom(names).Draw(rt, "instance")
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1:
				if k.ended {
					continue
				}
				epoch := m.epoch[name] + uint64(rapid.IntRange(0, 1).Draw(rt, "newer"))
				expiry := now + boottime.Time(rapid.IntRange(-50, 300).Draw(rt, "ttl"))*ms
				if err := k.take(pet(t, hold(name, epoch, expiry)), now); err != nil {
					rt.Fatal(err)
				}
				m.on[name], m.epoch[name], onMachine[name] = expiry, epoch, true
			case 2:
				if k.ended {
					continue
				}
				_ = k.take(drop(name), now)
				delete(m.on, name)
				delete(onMachine, name)
			case 3:
				m.broken[name] = !m.broken[name]
			case 4: // sleeps exactly as long as the keeper allows
				if next := k.next(); next != 0 {
					now = max(now, next)
				}
			case 5:
				now += boottime.Time(rapid.IntRange(0, 100).Draw(rt, "passes")) * ms
			}
			settle()
			if next := k.next(); next != 0 && next.Before(now) {
				rt.Fatalf("next %d lies before %d after everything due was done", next, now)
			}
		}
		clear(m.broken)
		k.end(now, true)
		clear(m.on)
		for range retryMax + 2 {
			settle()
			now = max(now, k.next())
		}
		if len(onMachine) != 0 || !k.finished() {
			rt.Fatalf("left on the machine: %v, finished %v", slices.Collect(maps.Keys(onMachine)), k.finished())
		}
	})
}

func BenchmarkKeeperPet(b *testing.B) {
	k := newKeeper()
	buf, now := []byte(nil), boottime.Time(0)
	h := hold("VI_1", 1, 0)
	b.ReportAllocs()
	for b.Loop() {
		now += 50 * ms
		h.Expiry = now + 250*ms
		var err error
		if buf, err = appendHold(buf, h); err != nil {
			b.Fatal(err)
		}
		m, err := parse(buf)
		if err != nil {
			b.Fatal(err)
		}
		if err := k.take(m, now); err != nil {
			b.Fatal(err)
		}
		if len(k.due(now)) != 0 || k.next() == 0 {
			b.Fatal("due")
		}
	}
}
