package rule

import (
	"fmt"
	"strconv"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Actions on the first line of a message. Those on a request's target are in target.go.

func (r *actionReader) setMethod(to *ruleLine) bool {
	f, ok := r.format("a method")
	if s, static := f.staticOr(); static && (s == "HEAD" || s == "CONNECT" || s == "") {
		return r.errorf(r.at, "", "a request can't be turned into '%s': its answer would end elsewhere", s)
	}
	to.do = func(c *Ctx) bool {
		m := c.Req
		used := c.used
		b, ok := f.text(c)
		ok = ok && len(b) > 0 && m.Head.Method != http1.HEAD && m.Head.Method != http1.CONNECT && string(b) != "HEAD" && string(b) != "CONNECT"
		for _, x := range b {
			ok = ok && http1.IsToken(x)
		}
		if e := m.edits(c); ok && e != nil {
			e.method, ok = e.copy(b)
		}
		c.used = used
		c.changed()
		return ok
	}
	return ok
}

func (f *format) staticOr() (string, bool) {
	if f == nil {
		return "", false
	}
	return f.static()
}

func (r *actionReader) setStatus(to *ruleLine) bool {
	w, ok := r.word("a status")
	if !ok {
		return false
	}
	n, err := strconv.Atoi(w.Text)
	if err != nil || n < 200 || n > 599 || n == 204 || n == 304 {
		return r.errorf(w.Pos, "", "'%s' is no status that an answer can be given: 200 to 599 but 204 and 304", short(w.Text))
	}
	reason := []byte(Reason(n))
	if len(r.ws) > 1 && r.ws[0].Text == "reason" {
		if reason = []byte(r.ws[1].Text); !headerValue(reason) {
			return r.errorf(r.ws[1].Pos, "", "a reason is one line of text")
		}
		r.ws = r.ws[2:]
	}
	to.do = func(c *Ctx) bool {
		e := c.Res.edits(c)
		if e == nil || c.Res.Head.Status < 200 || c.Res.Head.Status == 204 || c.Res.Head.Status == 304 {
			return e != nil
		}
		e.status, e.reason = n, reason
		c.changed()
		return true
	}
	return true
}

// Reason is the reason phrase of a status; one that has none is named by its number.
func Reason(status int) string {
	if s := http1.Reason(status); s != "" {
		return s
	}
	return fmt.Sprintf("Status %d", status)
}
