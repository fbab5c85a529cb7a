package drill

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is a script of steps that is driven alike for several casts of programs, and what they send is held together.
type story struct {
	name  string
	hosts []string // a and b if there are none
	v3    bool     // told as version 3 too, at an advert_int of half a second
	only  int      // told as this version alone
	tell  func(p *play)
}

// TestStories tells every story for two keepaliveds, and for Reeve in either role beside a keepalived.
func TestStories(t *testing.T) {
	abreast(t)
	for _, st := range stories {
		versions := []int{2}
		if st.v3 {
			versions = append(versions, 3)
		}
		if st.only != 0 {
			versions = []int{st.only}
		}
		for _, v := range versions {
			t.Run(fmt.Sprintf("%s/v%d", st.name, v), func(t *testing.T) {
				t.Parallel()
				st.judge(t, v)
			})
		}
	}
}

// judge tells a story until all casts sent the same at the times that the formulas give. It is told again a few times: the
// machine may have been too busy for one of the programs, keepalived included, and a difference between them comes again.
func (st story) judge(t *testing.T, version int) {
	t.Helper()
	casts := []string{"KK", "RK"}
	if version == 2 {
		casts = append(casts, "KR")
	}
	for n := range tellings {
		plays := make([]*play, len(casts))
		t.Run(fmt.Sprint("telling", n+1), func(t *testing.T) {
			for i, cast := range casts {
				t.Run(cast, func(t *testing.T) {
					t.Parallel()
					plays[i] = st.told(t, cast, version)
				})
			}
		})
		var faults []string
		for _, p := range plays {
			if p == nil {
				return // it failed, and said so
			}
			faults = append(faults, p.faults...)
			for _, host := range slices.Sorted(maps.Keys(p.daemons)) {
				if f := compare(host, plays[0], p); f != "" {
					faults = append(faults, f)
				}
			}
		}
		if len(faults) == 0 {
			return
		}
		say := t.Logf
		if n == tellings-1 {
			say = t.Errorf
			for _, p := range plays {
				t.Logf("%s: on the wire:\n%s", p.cast, p.wire)
				for host, d := range p.daemons {
					t.Logf("%s: %s wrote:\n%s", p.cast, host, d.log)
				}
			}
		}
		say("telling %d: %s", n+1, strings.Join(faults, "\n"))
	}
}

// tellings is how often a story is told at most.
const tellings = 3

// told drives a story in a lab of its own. What never comes is a fault of the telling, not of the test.
func (st story) told(t *testing.T, cast string, version int) (back *play) {
	t.Helper()
	hosts := st.hosts
	if len(hosts) == 0 {
		hosts = []string{"a", "b"}
	}
	p := &play{segment: newSegment(t, hosts...), story: st.name, cast: cast, version: version, advert: time.Second, daemons: map[string]*daemon{}}
	if version == 3 {
		p.advert = 500 * time.Millisecond
	}
	p.names = p.whose()
	for i, h := range hosts {
		r := keepalived
		if i < len(cast) {
			r = role(cast[i : i+1])
		}
		p.daemons[h] = p.box(h, r)
	}
	defer func() {
		p.wire.r.stop()
		switch e := recover().(type) {
		case nil:
		case abandoned:
			p.faults = append(p.faults, cast+": "+string(e))
			back = p
		default:
			panic(e)
		}
	}()
	st.tell(p)
	return p
}
