package rule

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
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
var actionsLater = set(`add-acl del-acl set-map del-map early-hint do-resolve lua normalize-uri sc-inc-gpc sc-set-gpt sc-add-gpc set-src
	set-src-port set-dst set-dst-port set-nice set-tos set-mark set-timeout use-service wait-for-body wait-for-handshake
	send-spoe-group set-bandwidth-limit switch-mode expect-proxy expect-netscaler-cip close attach-srv pause set-fc-mark
	set-fc-tos set-bc-mark set-bc-tos set-retries do-log`)

func init() {
	actions = map[string]actionDef{
		"allow":               {onHTTP, final(Allow)},
		"accept":              {onTCP | tcpResponse, final(Allow)},
		"reject":              {request | onTCP | tcpResponse, final(Reject)},
		"silent-drop":         {request | response | onTCP, final(Drop)},
		"deny":                {request | response, (*actionReader).deny},
		"auth":                {request, (*actionReader).auth},
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
		"cache-use":           {request, (*actionReader).cacheUse},
		"cache-store":         {response, (*actionReader).cacheStore},
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
	asks  Userlists
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
	others := p.asking
	p.asking = nil
	defer func() { p.asking = others }()
	to := &ruleLine{lax: !*strict}
	if !def.make(r, to) {
		return nil, false
	}
	if len(r.ws) > 0 && r.ws[0].Text != "if" && r.ws[0].Text != "unless" {
		return nil, r.errorf(r.ws[0].Pos, "", "surplus word '%s' after '%s'", short(r.ws[0].Text), r.name)
	}
	to.when, ok = p.condition(r.ws)
	to.asks = p.asking
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
