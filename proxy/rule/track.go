package rule

import (
	"github.com/reeve-lb/reeve/proxy/tally"
)

// Rules that track a key in a stick-table, and those that keep numbers of what is tracked.

func init() {
	tracking := connection | sessions | content | request | response
	for n, name := range []string{"track-sc0", "track-sc1", "track-sc2"} {
		actions[name] = actionDef{tracking, func(r *actionReader, to *ruleLine) bool { return r.track(to, n) }}
	}
	actions["sc-inc-gpc0"] = actionDef{^list(0), (*actionReader).incGeneral}
	actions["sc-inc-gpc1"] = actionDef{^list(0), (*actionReader).incGeneral}
	actions["sc-set-gpt0"] = actionDef{^list(0), (*actionReader).setTag}
}

// track reads `track-scN KEY [table T]`. What a connection's rules track is tracked until it ends, the rest as long as the
// transaction. Once one is tracked, further rules of its number do nothing.
func (r *actionReader) track(to *ruleLine, n int) bool {
	at := r.at
	if len(r.ws) > 0 {
		at = r.ws[0].Pos
	}
	e, ok := r.sampleArg()
	if !ok {
		return false
	}
	name := ""
	if len(r.ws) > 0 && r.ws[0].Text == "table" {
		r.ws = r.ws[1:]
		w, ok := r.word("the name of a table")
		if !ok {
			return false
		}
		name, at = w.Text, w.Pos
	}
	t, err := r.p.keyTable(e, name)
	if err != nil {
		r.p.problem(at, err)
		return false
	}
	ofConnection, l := r.list&(connection|sessions) != 0, r.list
	to.do = func(c *Ctx) bool {
		if t == nil || !c.tracked(n).IsZero() {
			return true
		}
		used := c.used
		f := c.push()
		key, ok := []byte(nil), false
		if e.eval(c, &f.v) == yes {
			key, ok = f.v.keyOf(c, t)
		}
		c.pop()
		if ok {
			if ref := c.takeTrack(n, t, key, ofConnection); l != content {
				c.firstCount(l, ref)
			}
		}
		c.used = used
		return true
	}
	return true
}

func (c *Ctx) takeTrack(n int, t *tally.Table, key []byte, ofConnection bool) tally.Ref {
	where := &c.Tracks
	if ofConnection {
		where = &c.SessionTracks
	}
	if *where == nil {
		if c.NewTracks == nil {
			return tally.Ref{}
		}
		*where = c.NewTracks()
	}
	ref := t.Track(key, c.Now)
	(*where)[n] = ref
	return ref
}

// firstCount counts what has been seen of the transaction before it was tracked.
func (c *Ctx) firstCount(l list, ref tally.Ref) {
	switch {
	case l == request:
		ref.Add(tally.Req, 1, c.Now)
	case l == response && c.Res != nil:
		CountStatus(c.Res.Status(), func(ev tally.Event) { ref.Add(ev, 1, c.Now) })
	}
}

// CountStatus tells what an answer's status counts for: an error of the client's, a failure of the server's, or nothing.
func CountStatus(status int, count func(tally.Event)) {
	switch {
	case status >= 400 && status < 500:
		count(tally.Err)
	case status >= 500 && status != 501 && status != 505:
		count(tally.Fail)
	}
}

// number of the tracked entry, which stands in parentheses behind the action's name.
func (r *actionReader) tracker() (int, bool) {
	n, err := tracker(r.arg)
	if err != nil {
		return 0, r.errorf(r.at, r.name+"(0)", "'%s' needs to be told what is tracked", r.name)
	}
	return n, true
}

func (r *actionReader) incGeneral(to *ruleLine) bool {
	n, ok := r.tracker()
	ev := generals[r.name[len("sc-inc-"):]].event
	to.do = func(c *Ctx) bool {
		c.tracked(n).Add(ev, 1, c.Now)
		return true
	}
	return ok
}

// setTag reads `sc-set-gpt0(N) NUMBER|SAMPLE`.
func (r *actionReader) setTag(to *ruleLine) bool {
	n, ok := r.tracker()
	if !ok {
		return false
	}
	if len(r.ws) > 0 {
		if number, is := parseNumber([]byte(r.ws[0].Text)); is && number >= 0 {
			r.ws = r.ws[1:]
			to.do = func(c *Ctx) bool {
				c.tracked(n).Set(tally.GPT0, uint64(number), c.Now)
				return true
			}
			return true
		}
	}
	e, ok := r.sampleArg()
	to.do = func(c *Ctx) bool {
		used := c.used
		f := c.push()
		number, ok := int64(0), e.eval(c, &f.v) == yes
		if ok {
			number, ok = f.v.number()
		}
		c.pop()
		c.used = used
		if ok {
			c.tracked(n).Set(tally.GPT0, uint64(uint32(number)), c.Now)
		}
		return true
	}
	return ok
}
