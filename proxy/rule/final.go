package rule

import (
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
)

// Final is how a list ended: what the client is answered, if anything.
type Final struct {
	Kind         Kind
	Status       int  // of the answer
	Unauthorized bool // the client is asked who it is

	own     bool // the answer has a body of its own, not the page of its status
	ctype   string
	static  []byte
	body    *format
	headers []headerFormat
	to      *redirect
}

type headerFormat struct {
	name  string
	value *format
}

// Page reports whether the built-in page of the status is the answer.
func (f *Final) Page() bool { return !f.own }

// Head writes the header lines that the rule asks for, each with its line end. ok is false when one can't be made.
func (f *Final) Head(c *Ctx, dst []byte) (out []byte, ok bool) {
	if f.to != nil {
		if dst, ok = f.to.head(c, dst, f.Status); !ok {
			return dst, false
		}
	}
	if f.own && f.ctype != "" {
		dst = append(append(append(dst, "content-type: "...), f.ctype...), "\r\n"...)
	}
	for i := range f.headers {
		h := &f.headers[i]
		used := c.used
		b, ok := h.value.text(c)
		if !ok || !headerValue(b) {
			return dst, false
		}
		dst = append(append(append(append(dst, h.name...), ": "...), b...), "\r\n"...)
		c.used = used
	}
	return dst, true
}

// Body is the answer's body; it is good until the next evaluation.
func (f *Final) Body(c *Ctx) ([]byte, bool) {
	if f.body == nil {
		return f.static, true
	}
	return f.body.text(c)
}

// errorStatus are the statuses that have a page.
var errorStatus = []int{200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504}

func (r *actionReader) deny(to *ruleLine) bool {
	status := 403
	if r.list == response {
		status = 502
	}
	to.final = &Final{Kind: Deny, Status: status}
	return r.answerArgs(to.final, true)
}

func (r *actionReader) tarpit(to *ruleLine) bool {
	to.final = &Final{Kind: Tarpit, Status: 500}
	return r.answerArgs(to.final, true)
}

func (r *actionReader) answer(to *ruleLine) bool {
	to.final = &Final{Kind: Return, Status: 200, own: true}
	return r.answerArgs(to.final, false)
}

// answerArgs reads [status N] [content-type T] [string S | lf-string F | file F | lf-file F] [hdr NAME FORMAT]...
func (r *actionReader) answerArgs(f *Final, errors bool) bool {
	typed := false
	for len(r.ws) > 0 && r.ws[0].Text != "if" && r.ws[0].Text != "unless" {
		arg := r.ws[0]
		r.ws = r.ws[1:]
		if arg.Text == "default-errorfiles" {
			f.own = false
			continue
		}
		saved := r.name
		r.name = arg.Text
		w, ok := r.word("a value")
		r.name = saved
		if !ok || !r.answerArg(f, arg, w, errors, &typed) {
			return false
		}
	}
	if f.own && (f.body != nil || len(f.static) > 0) && f.ctype == "" {
		return r.errorf(r.at, "content-type text/plain", "'%s' has a body and no content-type", r.name)
	}
	return true
}

func (r *actionReader) answerArg(f *Final, arg, w proxy.Word, errors bool, typed *bool) bool {
	var err error
	switch arg.Text {
	case "status", "deny_status":
		f.Status, err = strconv.Atoi(w.Text)
		if err != nil || errors && !slices.Contains(errorStatus, f.Status) || f.Status < 200 || f.Status > 599 {
			return r.errorf(w.Pos, "", "'%s' is no status for '%s'", short(w.Text), r.name)
		}
	case "content-type":
		if f.ctype, *typed = w.Text, true; !headerValue([]byte(w.Text)) {
			return r.errorf(w.Pos, "", "a content-type is one line of text")
		}
	case "string":
		f.own, f.static = true, []byte(w.Text)
	case "lf-string":
		var ok bool
		f.own = true
		f.body, ok = r.formatOf(w)
		return ok
	case "file", "lf-file":
		return r.answerFile(f, arg, w)
	case "hdr":
		if !r.own(w) {
			return false
		}
		v, ok := r.format("a value of the header")
		f.headers = append(f.headers, headerFormat{strings.ToLower(w.Text), v})
		return ok
	case "errorfile", "errorfiles":
		return r.errorf(arg.Pos, "", "'%s' is not supported yet", arg.Text)
	default:
		return r.errorf(arg.Pos, "", "'%s' can't follow '%s'", short(arg.Text), r.name)
	}
	return true
}

func (r *actionReader) answerFile(f *Final, arg, w proxy.Word) bool {
	f.own = true
	if r.p.o.File == nil {
		f.static = []byte{' '} // read when it is applied
		return true
	}
	b, err := r.p.o.File(w.Text)
	if err != nil {
		r.p.problem(w.Pos, err)
		return false
	}
	if arg.Text == "file" {
		f.static = b
		return true
	}
	var ok bool
	f.body, ok = r.formatOf(proxy.Word{Text: string(b), Pos: w.Pos})
	return ok
}

// redirect is `redirect location|prefix|scheme TO ...`.
type redirect struct {
	kind        string
	to          *format
	dropQuery   bool
	appendSlash bool
	ignoreEmpty bool
	cookie      string
}

func (r *actionReader) redirect(to *ruleLine) bool {
	x := &redirect{}
	f := &Final{Kind: Redirect, Status: 302, own: true, to: x}
	to.final = f
	for len(r.ws) > 0 && r.ws[0].Text != "if" && r.ws[0].Text != "unless" {
		arg := r.ws[0]
		r.ws = r.ws[1:]
		switch arg.Text {
		case "drop-query":
			x.dropQuery = true
		case "append-slash":
			x.appendSlash = true
		case "ignore-empty":
			x.ignoreEmpty = true
		case "location", "prefix", "scheme", "code", "set-cookie", "clear-cookie":
			w, ok := r.word("a value of " + arg.Text)
			if !ok || !r.redirectArg(f, arg.Text, w) {
				return false
			}
		default:
			return r.errorf(arg.Pos, "location, prefix or scheme TO [code N] [drop-query] [append-slash] [set-cookie N=V]", "'%s' can't follow 'redirect'", short(arg.Text))
		}
	}
	if x.to == nil {
		return r.errorf(r.at, "redirect location|prefix|scheme TO", "'redirect' needs to be told where to")
	}
	return true
}

func (r *actionReader) redirectArg(f *Final, arg string, w proxy.Word) bool {
	x := f.to
	switch arg {
	case "code":
		f.Status, _ = strconv.Atoi(w.Text)
		if !slices.Contains([]int{301, 302, 303, 307, 308}, f.Status) {
			return r.errorf(w.Pos, "301, 302, 303, 307 or 308", "'%s' is no code of a redirect", short(w.Text))
		}
	case "set-cookie", "clear-cookie":
		x.cookie = w.Text + "; path=/;"
		if arg == "clear-cookie" {
			x.cookie = w.Text + "; path=/; Max-Age=0;"
		}
		if !headerValue([]byte(x.cookie)) {
			return r.errorf(w.Pos, "", "'%s' is no cookie", short(w.Text))
		}
	default:
		var ok bool
		x.kind = arg
		if x.to, ok = r.formatOf(w); !ok {
			return false
		}
		if arg == "prefix" && w.Text == "/" { // in front of a path it is nothing
			x.to = &format{}
		}
		if r.list == response && arg != "location" {
			return r.errorf(w.Pos, "redirect location TO", "in answers 'redirect %s' has no request to go by", arg)
		}
	}
	return true
}

// passes reports that the rule is not meant: ignore-empty, and the place is.
func (f *Final) passes(c *Ctx) bool {
	if f.to == nil || !f.to.ignoreEmpty {
		return false
	}
	used := c.used
	b, ok := f.to.to.text(c)
	c.used = used
	return ok && len(b) == 0
}

func (x *redirect) head(c *Ctx, dst []byte, status int) ([]byte, bool) {
	used := c.used
	b, ok := x.to.text(c)
	if !ok || !headerValue(b) {
		return dst, false
	}
	dst = append(dst, "location: "...)
	dst = append(dst, b...)
	c.used = used
	switch x.kind {
	case "scheme":
		dst = append(dst, "://"...)
		for i := range c.Req.fields() {
			if name, value, there := c.Req.field(i); there && string(appendLower(c.rest(), name)) == "host" {
				dst = append(dst, value...)
				break
			}
		}
		dst = x.path(c.Req, dst)
	case "prefix":
		dst = x.path(c.Req, dst)
	}
	dst = append(dst, "\r\n"...)
	if status == 302 || status == 303 || status == 307 {
		dst = append(dst, "cache-control: no-cache\r\n"...)
	}
	if x.cookie != "" {
		dst = append(append(append(dst, "set-cookie: "...), x.cookie...), "\r\n"...)
	}
	return dst, true
}

// path appends the request's path. append-slash acts only where drop-query does.
func (x *redirect) path(m *Message, dst []byte) []byte {
	if !x.dropQuery {
		return append(dst, m.pathQuery()...)
	}
	p := m.Path()
	dst = append(dst, p...)
	if x.appendSlash && len(p) > 0 && p[len(p)-1] != '/' {
		dst = append(dst, '/')
	}
	return dst
}
