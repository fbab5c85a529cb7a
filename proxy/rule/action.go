package rule

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Kind is how a final rule ends a list.
type Kind uint8

// The ends of lists.
const (
	Allow  Kind = iota + 1 // no more rules of this list
	Deny                   // an error page
	Tarpit                 // the same, after a while
	Reject                 // the connection closes without a word
	Drop                   // nothing more is said, not even that
	Return                 // an answer of our own
	Redirect
)

// list is which list of rules is compiled.
type list uint8

const (
	connection list = 1 << iota
	sessions
	content
	request
	response
	afterResponse
	tcpResponse
)

var listNames = map[list]string{connection: "tcp-request connection", sessions: "tcp-request session", content: "tcp-request content",
	request: "http-request", response: "http-response", afterResponse: "http-after-response", tcpResponse: "tcp-response content"}

const (
	onHTTP = request | response | afterResponse
	onTCP  = connection | sessions | content
)

// actionDef is a row of the table of actions. make reads the action's words from r and fills in the rule.
type actionDef struct {
	in   list
	make func(r *actionReader, to *ruleLine) bool
}

var actions map[string]actionDef

// actionsLater are those that HAProxy has and this release has not.
var actionsLater = set(`auth add-acl del-acl set-map del-map cache-use cache-store capture early-hint do-resolve lua normalize-uri sc-inc-gpc0
	sc-inc-gpc1 sc-inc-gpc sc-set-gpt0 sc-set-gpt sc-add-gpc set-src set-src-port set-dst set-dst-port set-nice set-tos set-mark set-timeout
	track-sc0 track-sc1 track-sc2 use-service wait-for-body wait-for-handshake send-spoe-group set-bandwidth-limit switch-mode expect-proxy
	expect-netscaler-cip close attach-srv pause set-fc-mark set-fc-tos set-bc-mark set-bc-tos set-retries do-log`)

func init() {
	actions = map[string]actionDef{
		"allow":               {onHTTP, final(Allow)},
		"accept":              {onTCP | tcpResponse, final(Allow)},
		"reject":              {request | onTCP | tcpResponse, final(Reject)},
		"silent-drop":         {request | response | onTCP, final(Drop)},
		"deny":                {request | response, (*actionReader).deny},
		"tarpit":              {request, (*actionReader).tarpit},
		"return":              {request | response, (*actionReader).answer},
		"redirect":            {request | response, (*actionReader).redirect},
		"set-header":          {onHTTP, (*actionReader).setHeader},
		"add-header":          {onHTTP, (*actionReader).addHeader},
		"del-header":          {onHTTP, (*actionReader).delHeader},
		"replace-header":      {onHTTP, (*actionReader).replaceHeader},
		"replace-value":       {onHTTP, (*actionReader).replaceValue},
		"set-path":            {request, setTarget(putPath)},
		"set-pathq":           {request, setTarget(putPathQuery)},
		"set-query":           {request, setTarget(putQuery)},
		"set-uri":             {request, setTarget(putTarget)},
		"replace-path":        {request, replaceTarget((*Message).Path, putPath)},
		"replace-pathq":       {request, replaceTarget((*Message).pathQuery, putPathQuery)},
		"replace-uri":         {request, replaceTarget((*Message).target, putTarget)},
		"set-method":          {request, (*actionReader).setMethod},
		"set-status":          {response | afterResponse, (*actionReader).setStatus},
		"set-var":             {^list(0), (*actionReader).setVar},
		"set-var-fmt":         {^list(0), (*actionReader).setVarFormat},
		"unset-var":           {^list(0), (*actionReader).unsetVar},
		"set-log-level":       {onHTTP | content, (*actionReader).setLogLevel},
		"set-priority-class":  {request | content, (*actionReader).setPriority},
		"set-priority-offset": {request | content, (*actionReader).setPriority},
		"disable-l7-retry":    {request, (*actionReader).disableRetry},
		"strict-mode":         {onHTTP, (*actionReader).strictMode},
	}
}

// at is what a list has at hand.
func (l list) at() where {
	switch l {
	case content:
		return atConn | atPayload | atRequest
	case request:
		return atConn | atPayload | atRequest
	case response, afterResponse:
		return atConn | atResponse
	case tcpResponse:
		return atConn
	}
	return atConn
}

// ruleLine is one compiled rule: under a condition do, or end the list.
type ruleLine struct {
	when  *cond
	do    func(c *Ctx) bool // false: it failed
	final *Final
	lax   bool // strict-mode off: a failure is passed over
}

// actionReader takes an action's words one by one.
type actionReader struct {
	p      *Program
	list   list
	name   string
	arg    string // in parentheses behind the name
	at     source.Pos
	ws     []proxy.Word
	strict *bool
}

func (r *actionReader) errorf(at source.Pos, hint, text string, args ...any) bool {
	r.p.ps.Errorf(at, hint, text, args...)
	return false
}

// word takes the next one; what names it in a message.
func (r *actionReader) word(what string) (proxy.Word, bool) {
	if len(r.ws) == 0 || r.ws[0].Text == "if" || r.ws[0].Text == "unless" {
		return proxy.Word{}, r.errorf(r.at, "", "'%s' needs %s", r.name, what)
	}
	w := r.ws[0]
	r.ws = r.ws[1:]
	return w, true
}

// format takes a log-format string.
func (r *actionReader) format(what string) (*format, bool) {
	w, ok := r.word(what)
	if !ok {
		return nil, false
	}
	return r.formatOf(w)
}

func (r *actionReader) formatOf(w proxy.Word) (*format, bool) {
	f, err := r.p.format(w.Text)
	if err != nil {
		r.p.problem(w.Pos, err)
		return nil, false
	}
	if missing := f.needs &^ r.list.at(); missing != 0 {
		return nil, r.errorf(w.Pos, "", "'%s' has a sample that is not available in '%s'", short(w.Text), listNames[r.list])
	}
	return f, true
}

func (r *actionReader) regexp() (*regexp.Regexp, bool) {
	w, ok := r.word("a regular expression")
	if !ok {
		return nil, false
	}
	re, err := compileRegexp(w.Text)
	if err != nil {
		r.p.problem(w.Pos, err)
	}
	return re, err == nil
}

// compile reads one rule of a list.
func (p *Program) compile(l list, rule []proxy.Word, at source.Pos, strict *bool) (*ruleLine, bool) {
	if len(rule) == 0 {
		p.ps.Errorf(at, "", "'%s' needs an action", listNames[l])
		return nil, false
	}
	r := &actionReader{p: p, list: l, name: rule[0].Text, at: rule[0].Pos, ws: rule[1:], strict: strict}
	if i := strings.IndexByte(r.name, '('); i >= 0 && strings.HasSuffix(r.name, ")") {
		r.name, r.arg = r.name[:i], r.name[i+1:len(r.name)-1]
	}
	def, ok := actions[r.name]
	if !ok || def.in&l == 0 {
		switch {
		case ok:
			p.ps.Errorf(r.at, "", "'%s' is no action of '%s'", r.name, listNames[l])
		case actionsLater[r.name]:
			p.ps.Errorf(r.at, "", "'%s %s' is not supported yet", listNames[l], r.name)
		default:
			p.problem(r.at, unknownName("action", r.name, actionNames(l)))
		}
		return nil, false
	}
	to := &ruleLine{lax: !*strict}
	if !def.make(r, to) {
		return nil, false
	}
	if len(r.ws) > 0 && r.ws[0].Text != "if" && r.ws[0].Text != "unless" {
		return nil, r.errorf(r.ws[0].Pos, "", "surplus word '%s' after '%s'", short(r.ws[0].Text), r.name)
	}
	to.when, ok = p.condition(r.ws)
	if ok && to.when != nil && to.when.needs&^l.at() != 0 {
		p.ps.Warnf(r.ws[0].Pos, "", "the condition has a test that is not available in '%s' and never matches", listNames[l])
	}
	return to, ok
}

func actionNames(l list) []string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(actions)) {
		if actions[n].in&l != 0 {
			out = append(out, n)
		}
	}
	return out
}

func final(k Kind) func(*actionReader, *ruleLine) bool {
	return func(_ *actionReader, to *ruleLine) bool {
		to.final = &Final{Kind: k}
		return true
	}
}

// own are the headers that belong to a connection or a message's framing: the proxy writes them itself.
func (r *actionReader) own(w proxy.Word) bool {
	switch name := strings.ToLower(w.Text); name {
	case "content-length", "transfer-encoding":
		return r.errorf(w.Pos, "", "'%s' can't change '%s': it says where the message ends", r.name, name)
	case "connection", "keep-alive", "proxy-connection", "te", "upgrade":
		r.p.ps.Warnf(w.Pos, "", "'%s %s' has no effect: the proxy writes the headers of a connection itself", r.name, name)
	}
	for i := range len(w.Text) {
		if !http1.IsToken(w.Text[i]) {
			return r.errorf(w.Pos, "", "'%s' is no name of a header", short(w.Text))
		}
	}
	return true
}

// side is the message that the list may change.
func (r *actionReader) side() func(*Ctx) *Message {
	if r.list&(response|afterResponse) != 0 {
		return func(c *Ctx) *Message { return c.Res }
	}
	return func(c *Ctx) *Message { return c.Req }
}

// edits gives the message its Edits.
func (m *Message) edits(c *Ctx) *Edits {
	if m.Edits == nil && c.NewEdits != nil {
		m.Edits = c.NewEdits()
	}
	return m.Edits
}

// headerValue is what may stand behind a header's colon: no line can be begun in it.
func headerValue(b []byte) bool {
	for _, x := range b {
		if x < 0x20 && x != '\t' || x == 0x7f {
			return false
		}
	}
	return true
}

func (r *actionReader) header() (name []byte, f *format, ok bool) {
	w, ok := r.word("the name of a header")
	if !ok || !r.own(w) {
		return nil, nil, false
	}
	f, ok = r.format("a value")
	return []byte(strings.ToLower(w.Text)), f, ok
}

func (r *actionReader) setHeader(to *ruleLine) bool { return r.putHeader(to, true) }
func (r *actionReader) addHeader(to *ruleLine) bool { return r.putHeader(to, false) }

func (r *actionReader) putHeader(to *ruleLine, alone bool) bool {
	name, f, ok := r.header()
	lower, side := string(name), r.side()
	to.do = func(c *Ctx) bool {
		m := side(c)
		used := c.used
		b, ok := f.text(c)
		e := m.edits(c)
		ok = ok && e != nil && headerValue(b)
		if ok && alone {
			for i := range m.fields() {
				if n, _, there := m.field(i); there && http1.EqualFold(n, lower) {
					e.remove(m, i)
				}
			}
		}
		ok = ok && e.add(name, b) && (lower != "host" || m != c.Req || m.followHost(c, e))
		c.used = used
		c.changed()
		return ok
	}
	return ok
}

func (r *actionReader) delHeader(to *ruleLine) bool {
	w, ok := r.word("the name of a header")
	if !ok {
		return false
	}
	kind := matchStr
	if len(r.ws) > 1 && r.ws[0].Text == "-m" {
		if kind = matchNames[r.ws[1].Text]; kind != matchStr && kind != matchBeg && kind != matchEnd && kind != matchSub && kind != matchReg {
			return r.errorf(r.ws[1].Pos, "str, beg, end, sub, reg", "'%s' is no way to match a header's name", short(r.ws[1].Text))
		}
		r.ws = r.ws[2:]
	}
	if kind == matchStr && !r.own(w) {
		return false
	}
	good := true
	find := newFinder(kind, []pattern{{text: w.Text, fold: true}}, func(_ int, err error) { r.p.problem(w.Pos, err); good = false })
	side := r.side()
	to.do = func(c *Ctx) bool {
		m := side(c)
		for i := range m.fields() {
			n, _, there := m.field(i)
			if !there || i < m.Head.N && framing(m.Head.Headers[i].ID) {
				continue
			}
			f := c.push()
			f.v.setStr(n)
			found := find.find(c, &f.v) >= 0
			c.pop()
			if found {
				e := m.edits(c)
				if e == nil {
					return false
				}
				e.remove(m, i)
			}
		}
		c.changed()
		return true
	}
	return good
}

func framing(id http1.ID) bool { return id == http1.ContentLength || id == http1.TransferEncoding }

func (r *actionReader) replaceHeader(to *ruleLine) bool { return r.rewrite(to, false) }
func (r *actionReader) replaceValue(to *ruleLine) bool  { return r.rewrite(to, true) }

// rewrite replaces what a regexp matches in a header's lines, or in each element of their lists.
func (r *actionReader) rewrite(to *ruleLine, each bool) bool {
	w, ok := r.word("the name of a header")
	if !ok || !r.own(w) {
		return false
	}
	lower, side := strings.ToLower(w.Text), r.side()
	re, ok := r.regexp()
	if !ok {
		return false
	}
	repl, ok := r.replacement()
	to.do = func(c *Ctx) bool {
		m := side(c)
		good := true
		for i := range m.fields() {
			n, value, there := m.field(i)
			if !there || !http1.EqualFold(n, lower) {
				continue
			}
			used := c.used
			var b []byte
			var hit bool
			if each {
				b, hit = repl.elements(c, re, value)
			} else {
				b, hit = repl.whole(c, re, value)
			}
			if hit {
				e := m.edits(c)
				good = good && e != nil && headerValue(b) && e.replace(m, i, b)
				good = good && (lower != "host" || m != c.Req || m.followHost(c, e))
			}
			c.used = used
		}
		c.changed()
		return good
	}
	return ok
}

// replacement is a log-format whose text may name what a regexp captured as \1.
type replacement struct {
	f      *format
	static *template // where there are no samples
}

func (r *actionReader) replacement() (*replacement, bool) {
	f, ok := r.format("a replacement")
	if !ok {
		return nil, false
	}
	x := &replacement{f: f}
	if s, static := f.static(); static {
		x.static = newTemplate(s)
	}
	return x, true
}

// whole makes what stands in the place of a value that the regexp matches somewhere: all of the value goes.
func (x *replacement) whole(c *Ctx, re *regexp.Regexp, value []byte) ([]byte, bool) {
	m := re.FindSubmatchIndex(value)
	if m == nil {
		return nil, false
	}
	t := x.static
	if t == nil {
		b, ok := x.f.text(c)
		if !ok {
			return nil, false
		}
		t = newTemplate(string(b))
	}
	dst := t.append(c.rest(), value, m)
	return dst, c.take(dst)
}

func (x *replacement) elements(c *Ctx, re *regexp.Regexp, value []byte) ([]byte, bool) {
	out, hit := c.out[:0], false
	for at := 0; at <= len(value); {
		end := listEnd(value, at)
		part := value[at:end]
		trimmed := blanks(part)
		used := c.used
		if b, ok := x.whole(c, re, trimmed); ok && len(trimmed) > 0 {
			lead := len(part) - len(trimLeft(part))
			out = append(append(out, part[:lead]...), b...)
			hit = true
		} else {
			out = append(out, part...)
		}
		c.used = used
		if end < len(value) {
			out = append(out, ',')
		}
		at = end + 1
	}
	b := append(c.rest(), out...)
	return b, hit && c.take(b)
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

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

// Reason is the reason phrase of a status (RFC 9110 section 15).
func Reason(status int) string {
	if s, ok := reasons[status]; ok {
		return s
	}
	return fmt.Sprintf("Status %d", status)
}

var reasons = map[int]string{200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
	205: "Reset Content", 206: "Partial Content", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other",
	304: "Not Modified", 305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
	402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
	407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required",
	412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
	417: "Expectation Failed", 421: "Misdirected Request", 422: "Unprocessable Content", 425: "Too Early", 426: "Upgrade Required",
	428: "Precondition Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
	505: "HTTP Version Not Supported"}
