package rule

import (
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// Set is the compiled rules of one proxy. It is immutable; a loop runs it with its Ctx.
type Set struct {
	Connection    *List
	Sessions      *List
	Content       *List
	InspectDelay  time.Duration // tcp-request inspect-delay
	Request       *List
	Redirects     *List
	Response      *List
	AfterResponse *List
	TCPResponse   *List
	Monitor       []*Cond    // monitor fail
	Captures      *Capturing // what is noted; nil: a backend's
	p             *Program
}

// List is one list of rules in the order of the file.
type List struct {
	rules []ruleLine
	p     *Program
}

// Outcome is how far a list came.
type Outcome uint8

// The outcomes: all rules were asked, one ended the list, one could not be carried out, bytes are missing that may still
// come, or Ctx.Question has to be answered before the rule at Ctx.From.
const (
	Through Outcome = iota
	Ended
	Failed
	Waiting
	Asking
)

// Run asks the rules in order, beginning with Ctx.From.
func (l *List) Run(c *Ctx) (*Final, Outcome) {
	if l == nil {
		return nil, Through
	}
	c.room(l.p)
	from := c.From
	c.From = 0
	for i := from; i < len(l.rules); i++ {
		r := &l.rules[i]
		if r.asks != nil && !r.asks.Settled(c) {
			c.From = i
			return nil, Asking
		}
		switch r.when.holds(c) {
		case no:
			continue
		case miss:
			if !c.Final {
				return nil, Waiting
			}
			continue
		}
		switch {
		case r.final == nil:
			if !r.do(c) && !r.lax {
				return nil, Failed
			}
		case !r.final.passes(c):
			return r.final, Ended
		}
	}
	return nil, Through
}

// Cond is a condition on its own, of a rule whose consequence is the caller's.
type Cond struct {
	cond *cond
	p    *Program
}

// Holds reports whether the condition is met; a nil Cond always is.
func (d *Cond) Holds(c *Ctx) bool {
	if d == nil {
		return true
	}
	c.room(d.p)
	return d.cond.holds(c) == yes
}

// Name is a word that may be made of samples.
type Name struct {
	f      *format
	static string
	p      *Program
}

// Static is the name where it is plain text.
func (n *Name) Static() (string, bool) { return n.static, n.f == nil }

// Text is the name for one request.
func (n *Name) Text(c *Ctx) ([]byte, bool) {
	c.room(n.p)
	return n.f.text(c)
}

// Side says which sides of a proxy a compilation is for.
type Side struct {
	Name  string
	Mode  proxy.Mode
	Front *proxy.Frontend // nil: a backend
}

// Proxy compiles the lists of one proxy. What is wrong is among the Problems; the rules that are right are in the Set.
func (p *Program) Proxy(s Side, rs *proxy.Rules) *Set {
	p.proxy, p.captures = s.Name, nil
	var monitors []proxy.Rule
	if s.Front != nil {
		p.captures, monitors = capturing(s.Front.Captures), s.Front.Monitor.Fail
	}
	p.compileACLs(rs.ACLs)
	p.asking = nil // an ACL asks where it is used
	set := &Set{p: p, Captures: p.captures}
	for _, r := range rs.TCPRequest {
		p.tcpRequest(set, r)
	}
	for _, r := range rs.TCPResponse {
		if len(r.Words) == 0 || r.Words[0].Text != "content" {
			p.ps.Errorf(r.Pos, "tcp-response content ACTION", "'tcp-response' knows only content so far")
			continue
		}
		set.TCPResponse = p.add(set.TCPResponse, tcpResponse, r.Words[1:], r.Pos, new(true))
	}
	set.Request = p.list(request, rs.HTTPRequest)
	set.Redirects = p.redirects(rs.Redirect)
	set.Response = p.list(response, rs.HTTPResponse)
	set.AfterResponse = p.list(afterResponse, rs.HTTPAfterResponse)
	for _, m := range monitors {
		if d := p.Cond(m.Words); d != nil {
			set.Monitor = append(set.Monitor, d)
		} else if len(m.Words) == 0 {
			p.ps.Errorf(m.Pos, "monitor fail if CONDITION", "'monitor fail' needs a condition")
		}
	}
	return set
}

func (p *Program) list(l list, rules []proxy.Rule) *List {
	var out *List
	strict := true
	for _, r := range rules {
		out = p.add(out, l, r.Words, r.Pos, &strict)
	}
	return out
}

func (p *Program) add(to *List, l list, words []proxy.Word, at source.Pos, strict *bool) *List {
	r, ok := p.compile(l, words, at, strict)
	if !ok {
		return to
	}
	if to == nil {
		to = &List{p: p}
	}
	to.rules = append(to.rules, *r)
	return to
}

// redirects are the `redirect` lines: http-request redirect without its first word.
func (p *Program) redirects(rules []proxy.Rule) *List {
	var out *List
	for _, r := range rules {
		words := append(proxy.Line(r.Pos, "redirect"), r.Words...)
		out = p.add(out, request, words, r.Pos, new(true))
	}
	return out
}

func (p *Program) tcpRequest(set *Set, r proxy.Rule) {
	if len(r.Words) == 0 {
		p.ps.Errorf(r.Pos, "tcp-request connection|session|content ACTION", "'tcp-request' needs to be told what")
		return
	}
	rest, strict := r.Words[1:], true
	switch w := r.Words[0]; w.Text {
	case "connection":
		set.Connection = p.add(set.Connection, connection, rest, r.Pos, &strict)
	case "session":
		set.Sessions = p.add(set.Sessions, sessions, rest, r.Pos, &strict)
	case "content":
		set.Content = p.add(set.Content, content, rest, r.Pos, &strict)
	case "inspect-delay":
		if len(rest) != 1 {
			p.ps.Errorf(w.Pos, "tcp-request inspect-delay 5s", "'inspect-delay' needs a time")
			return
		}
		d, ok := delay(rest[0].Text)
		if !ok {
			p.ps.Errorf(rest[0].Pos, "a number and one of us, ms, s, m, h, d", "'%s' is no time for 'inspect-delay'", short(rest[0].Text))
		}
		set.InspectDelay = d
	default:
		p.problem(w.Pos, unknownName("tcp-request", w.Text, []string{"connection", "session", "content", "inspect-delay"}))
	}
}

// delay reads a time of haproxy.cfg: a whole number, milliseconds unless a unit follows.
func delay(s string) (time.Duration, bool) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	unit, ok := map[string]time.Duration{"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[s[len(number):]]
	n, is := parseNumber([]byte(number))
	if !ok || !is || n < 0 || n > int64((1<<31-1)*time.Millisecond/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// Cond compiles a condition with the ACLs of the proxy that was compiled last; nil without words, or when it is wrong.
func (p *Program) Cond(ws []proxy.Word) *Cond {
	d, ok := p.condition(ws)
	if !ok || d == nil {
		return nil
	}
	return &Cond{d, p}
}

// Name compiles a word that may have samples in it.
func (p *Program) Name(w proxy.Word) *Name {
	if !strings.Contains(w.Text, "%") {
		return &Name{static: w.Text, p: p}
	}
	f, err := p.format(w.Text)
	if err != nil {
		p.problem(w.Pos, err)
		return nil
	}
	return &Name{f: f, p: p}
}

// Empty reports whether there are no rules at all.
func (s *Set) Empty() bool {
	return s.Connection == nil && s.Sessions == nil && s.Content == nil && s.Request == nil && s.Redirects == nil && s.Response == nil &&
		s.AfterResponse == nil && s.TCPResponse == nil && len(s.Monitor) == 0
}
