package rule

import (
	"slices"
	"strings"
)

// Actions that change no message: what they note stays with the request or the connection, for rules, logs, queues and
// retries that come later.

// sampleArg takes an expression.
func (r *actionReader) sampleArg() (*expr, bool) {
	w, ok := r.word("a sample")
	if !ok {
		return nil, false
	}
	e, err := r.p.expression(w.Text)
	if err != nil {
		r.p.problem(w.Pos, err)
		return nil, false
	}
	if e.needs&^r.list.at() != 0 {
		return nil, r.errorf(w.Pos, "", "the sample '%s' is not available in '%s'", short(w.Text), listNames[r.list])
	}
	return e, true
}

func (r *actionReader) setVar(to *ruleLine) bool {
	vr, err := r.p.variable(r.arg)
	if err != nil {
		r.p.problem(r.at, err)
		return false
	}
	e, ok := r.sampleArg()
	to.do = func(c *Ctx) bool {
		f := c.push()
		used := c.used
		ok := e.eval(c, &f.v) != yes || vr.store(c, &f.v)
		c.used = used
		c.pop()
		return ok
	}
	return ok
}

func (r *actionReader) setVarFormat(to *ruleLine) bool {
	vr, err := r.p.variable(r.arg)
	if err != nil {
		r.p.problem(r.at, err)
		return false
	}
	f, ok := r.format("a text")
	to.do = func(c *Ctx) bool {
		used := c.used
		b, ok := f.text(c)
		fr := c.push()
		fr.v.setStr(b)
		ok = ok && vr.store(c, &fr.v)
		c.pop()
		c.used = used
		return ok
	}
	return ok
}

func (r *actionReader) unsetVar(to *ruleLine) bool {
	vr, err := r.p.variable(r.arg)
	if err != nil {
		r.p.problem(r.at, err)
		return false
	}
	to.do = func(c *Ctx) bool {
		vr.of(c).unset(vr.index)
		return true
	}
	return true
}

var logLevels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "silent"}

func (r *actionReader) setLogLevel(to *ruleLine) bool {
	w, ok := r.word("a level")
	if !ok {
		return false
	}
	if !slices.Contains(logLevels, w.Text) {
		return r.errorf(w.Pos, strings.Join(logLevels, ", "), "'%s' is no log level", short(w.Text))
	}
	to.do = func(c *Ctx) bool {
		c.LogLevel = w.Text
		return true
	}
	return true
}

// setPriority: class -2047..2047, offset in milliseconds -524287..524287; other numbers are moved to the ends.
func (r *actionReader) setPriority(to *ruleLine) bool {
	class := r.name == "set-priority-class"
	most := int64(524287)
	if class {
		most = 2047
	}
	e, ok := r.sampleArg()
	if ok && !castable(e.out, Int) {
		return r.errorf(r.at, "", "'%s' needs an integer", r.name)
	}
	to.do = func(c *Ctx) bool {
		f := c.push()
		used := c.used
		if e.eval(c, &f.v) == yes {
			if n, ok := f.v.number(); ok {
				n = min(max(n, -most), most)
				if class {
					c.Class = int(n)
				} else {
					c.Offset = int(n)
				}
			}
		}
		c.used = used
		c.pop()
		return true
	}
	return ok
}

func (r *actionReader) disableRetry(to *ruleLine) bool {
	to.do = func(c *Ctx) bool {
		c.NoRetry = true
		return true
	}
	return true
}

// strictMode changes what a failure of the rules behind it means.
func (r *actionReader) strictMode(to *ruleLine) bool {
	w, ok := r.word("on or off")
	if !ok {
		return false
	}
	if w.Text != "on" && w.Text != "off" {
		return r.errorf(w.Pos, "on or off", "'%s' is no mode", short(w.Text))
	}
	*r.strict = w.Text == "on"
	to.do = func(*Ctx) bool { return true }
	return true
}
