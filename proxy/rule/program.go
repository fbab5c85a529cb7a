package rule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/cache"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// Options are what a configuration's rules are compiled with. With the zero Options words are checked and nothing is read.
type Options struct {
	File func(name string) ([]byte, error) // reads map and pattern files; nil: they are not looked at
	// Figure finds a number that the data plane knows, by the name of a proxy or BACKEND/SERVER; what it returns is asked
	// with Ctx.Now on every loop at once. nil: there are none.
	Figure func(fetch, name string) (func(now int64) int64, error)
	Users  []proxy.UserList // of the configuration
	// Table finds the stick-table of a proxy; nil: they are not looked at.
	Table func(name string) *tally.Table
	// Cache finds a cache; nil: the names are not looked at.
	Cache func(name string) (c *cache.Cache, known bool)
	Env   func(name string) (string, bool) // environment variables
	Maps  *Maps                            // needed with File
	Names *Names                           // of variables; shared by configurations that follow each other
}

// Program is the rules of a whole configuration while they are compiled: proxies share expressions and their memory.
type Program struct {
	o        Options
	exprs    map[string]*expr
	bools    int // named ACLs that are remembered
	samples  int // expressions that are
	proxy    string
	captures *Capturing // of the frontend that is compiled
	users    map[string]*users
	asking   []*users // that what is compiled at the moment asks
	acls     map[string]*acl
	ps       *source.Problems
}

type program = Program

// New begins a configuration.
func New(o Options) *Program {
	if o.Names == nil {
		o.Names = &Names{}
	}
	return &Program{o: o, exprs: map[string]*expr{}, ps: &source.Problems{}}
}

// Problems is what was wrong with what has been compiled so far.
func (p *Program) Problems() source.Problems { return *p.ps }

// problem tells what is wrong with a word.
func (p *Program) problem(at source.Pos, err error) {
	hint := ""
	var u *unknownError
	if errors.As(err, &u) {
		hint = u.hint
	}
	p.ps.Errorf(at, hint, "%v", err)
}

// Names gives variables their places. It only grows, so that connections keep their variables when the configuration
// changes. Safe for concurrent use.
type Names struct {
	mu     sync.Mutex
	places map[string]int
	counts map[scope]int
}

type scope uint8

const (
	scopeSession scope = iota
	scopeTxn           // txn, req and res: one transaction
)

// maxVariables bounds how many names there may be in a scope.
const maxVariables = 4096

func (n *Names) place(s scope, name string) (int, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.places == nil {
		n.places, n.counts = map[string]int{}, map[scope]int{}
	}
	if i, ok := n.places[name]; ok {
		return i, true
	}
	i := n.counts[s]
	if i == maxVariables {
		return 0, false
	}
	n.places[name], n.counts[s] = i, i+1
	return i, true
}

type variable struct {
	index   int
	session bool
	side    where // atRequest or atResponse: there is none while the other message is looked at
}

// alive reports whether the variable's scope is: req ends where the answer's rules begin, and res begins there.
func (vr *variable) alive(c *Ctx) bool {
	return vr.side == 0 || (vr.side == atResponse) == (c.Res != nil)
}

func (vr *variable) of(c *Ctx) *Vars {
	switch {
	case vr.session:
		return c.Session
	case !vr.alive(c):
		return nil
	}
	return c.Vars
}

// store sets the variable, making room for variables where there is none yet. Out of its scope's life it does nothing.
func (vr *variable) store(c *Ctx, v *Value) bool {
	if !vr.alive(c) {
		return true
	}
	to := &c.Vars
	if vr.session {
		to = &c.Session
	}
	if *to == nil {
		if c.NewVars == nil {
			return false
		}
		*to = c.NewVars()
	}
	return (*to).store(vr.index, v)
}

func (p *Program) variable(name string) (*variable, error) {
	sc, rest, ok := strings.Cut(name, ".")
	vr := &variable{}
	s := scopeTxn
	switch sc {
	case "sess":
		vr.session, s = true, scopeSession
	case "txn":
	case "req":
		vr.side = atRequest
	case "res":
		vr.side = atResponse
	case "proc", "check":
		if ok {
			return nil, fmt.Errorf("variables of the scope '%s' are not supported yet", sc)
		}
		fallthrough
	default:
		return nil, fmt.Errorf("'%s' is no variable: sess.NAME, txn.NAME, req.NAME or res.NAME", short(name))
	}
	if rest == "" || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != "" {
		return nil, fmt.Errorf("'%s' is no variable's name: only letters, digits, '_' and '.' may be", short(name))
	}
	if vr.index, ok = p.o.Names.place(s, name); !ok {
		return nil, fmt.Errorf("more than %d variables", maxVariables)
	}
	return vr, nil
}

// frame is room for a sample that an evaluation needs on the side. They lie in the Ctx: what is handed to a closure by
// address would be allocated otherwise.
type frame struct {
	v  Value
	it cursor
}

const maxFrames = 16

func (c *Ctx) push() *frame {
	f := &c.frames[c.depth]
	c.depth++
	return f
}

func (c *Ctx) pop() { c.depth-- }

// acl is a named test: lines of one name are alternatives.
type acl struct {
	lines []aclLine
	needs where
	slot  int // -1: asked anew each time
}

type aclLine struct {
	e    *expr
	kind matchKind
	find finder // nil: matchFound, or a boolean without patterns
}

func (a *acl) test(c *Ctx) truth {
	if a.slot < 0 {
		return a.look(c)
	}
	m := &c.bools[a.slot]
	if m.epoch == c.epoch {
		return m.is
	}
	t := a.look(c)
	if t != miss {
		m.epoch, m.is = c.epoch, t
	}
	return t
}

func (a *acl) look(c *Ctx) truth {
	out := no
	for i := range a.lines {
		if t := a.lines[i].test(c); t == yes {
			return yes
		} else if t == miss {
			out = miss
		}
	}
	return out
}

func (l *aclLine) test(c *Ctx) truth {
	f := c.push()
	used := c.used
	t := l.look(c, f)
	c.used = used
	c.pop()
	return t
}

func (l *aclLine) look(c *Ctx, f *frame) truth {
	if l.e.next == nil {
		if t := l.e.eval(c, &f.v); t != yes {
			return t
		}
		if l.e.growing && !l.holds(c, &f.v) {
			return later(c)
		}
		return is(l.holds(c, &f.v))
	}
	f.it = cursor{}
	for l.e.next(c, &f.it, &f.v) {
		if l.e.convert(c, &f.v) && l.holds(c, &f.v) {
			return yes
		}
	}
	return no
}

func (l *aclLine) holds(c *Ctx, v *Value) bool {
	if l.find != nil {
		return l.find.find(c, v) >= 0
	}
	if l.kind == matchFound {
		return true
	}
	n, ok := v.number()
	return ok && n != 0
}

// cond is an OR of ANDs over tests.
type cond struct {
	unless bool
	any    [][]term
	needs  where
}

type term struct {
	a   *acl
	not bool
}

// holds is whether a rule's condition is met; a rule without one is always meant.
func (d *cond) holds(c *Ctx) truth {
	if d == nil {
		return yes
	}
	out := no
	for _, and := range d.any {
		all := yes
		for i := range and {
			t := and[i].a.test(c)
			if and[i].not {
				t = t.not()
			}
			if all = min(all, t); all == no {
				break
			}
		}
		if out = max(out, all); out == yes {
			break
		}
	}
	if d.unless {
		return out.not()
	}
	return out
}

// predefined are the ACLs that need no line.
var predefined = map[string]string{
	"TRUE": "always_true", "FALSE": "always_false", "HTTP": "req.proto_http", "HTTP_1.0": "req.ver 1.0", "HTTP_1.1": "req.ver 1.1",
	"HTTP_2.0": "req.ver 2.0", "HTTP_3.0": "req.ver 3.0", "HTTP_CONTENT": "req.hdr_val(content-length) gt 0",
	"HTTP_URL_ABS": "url_reg ^[^/:]*://", "HTTP_URL_SLASH": "url_beg /", "HTTP_URL_STAR": "url *", "LOCALHOST": "src 127.0.0.0/8 ::1",
	"METH_CONNECT": "method CONNECT", "METH_DELETE": "method DELETE", "METH_GET": "method GET HEAD", "METH_HEAD": "method HEAD",
	"METH_OPTIONS": "method OPTIONS", "METH_POST": "method POST", "METH_PUT": "method PUT", "METH_TRACE": "method TRACE",
	"RDP_COOKIE": "req.rdp_cookie_cnt gt 0", "REQ_CONTENT": "req.len gt 0", "WAIT_END": "wait_end",
}

// acl compiles a test's line: a sample, flags, patterns.
func (p *Program) acl(ws []proxy.Word) (*aclLine, bool) {
	if len(ws) == 0 {
		return nil, false
	}
	e, err := p.expression(ws[0].Text)
	if err != nil {
		p.problem(ws[0].Pos, err)
		return nil, false
	}
	r := patternReader{p: p, e: e, kind: e.match}
	if !r.flags(ws[1:]) {
		return nil, false
	}
	return r.line(ws[0])
}

// patternReader reads the flags and patterns behind a sample.
type patternReader struct {
	p        *Program
	e        *expr
	kind     matchKind
	ps       []pattern
	places   []source.Pos
	rest     []proxy.Word
	fold     bool
	asMap    bool
	op       string
	fromFile bool
}

// flags reads those in front of the patterns; -i is of the patterns that follow it.
func (r *patternReader) flags(ws []proxy.Word) bool {
	for len(ws) > 0 && strings.HasPrefix(ws[0].Text, "-") && len(ws[0].Text) > 1 {
		flag := ws[0]
		if _, number := parseNumber([]byte(flag.Text)); number {
			break
		}
		ws = ws[1:]
		switch flag.Text {
		case "--":
			r.rest = ws
			return true
		case "-i":
			r.fold = true
			continue
		case "-n":
			continue
		case "-M":
			r.asMap = true
			continue
		case "-f", "-m", "-u":
		default:
			r.p.ps.Errorf(flag.Pos, "-i, -f FILE, -m METHOD, -n, -M, -u ID, --", "unknown flag '%s' of an acl", short(flag.Text))
			return false
		}
		if len(ws) == 0 {
			r.p.ps.Errorf(flag.Pos, "", "'%s' needs a value", flag.Text)
			return false
		}
		if !r.valued(flag.Text, ws[0]) {
			return false
		}
		ws = ws[1:]
	}
	r.rest = ws
	return true
}

func (r *patternReader) valued(flag string, w proxy.Word) bool {
	switch flag {
	case "-m":
		kind, ok := matchNames[w.Text]
		if !ok {
			r.p.problem(w.Pos, unknownName("way to match", w.Text, slices.Sorted(maps.Keys(matchNames))))
			return false
		}
		r.kind = kind
	case "-f":
		r.fromFile = true
		if r.p.o.File == nil {
			return true
		}
		b, err := r.p.o.File(w.Text)
		if err != nil {
			r.p.problem(w.Pos, err)
			return false
		}
		lines := readPatterns(string(b))
		if r.asMap {
			lines = lines[:0]
			for _, e := range readMap(string(b)) {
				lines = append(lines, e.Key)
			}
		}
		for _, l := range lines {
			r.ps, r.places = append(r.ps, pattern{text: l, fold: r.fold}), append(r.places, w.Pos)
		}
	}
	return true
}

// line takes the patterns and builds the test.
func (r *patternReader) line(sample proxy.Word) (*aclLine, bool) {
	numeric := r.kind == matchInt || r.kind == matchLen || r.kind == matchVersion
	for _, w := range r.rest {
		if numeric && slices.Contains([]string{"eq", "ge", "gt", "le", "lt"}, w.Text) {
			r.op = w.Text
			continue
		}
		r.ps, r.places = append(r.ps, pattern{w.Text, r.fold, r.op}), append(r.places, w.Pos)
	}
	l := &aclLine{e: r.e, kind: r.kind}
	if !matchable(r.e.out, r.kind) {
		r.p.ps.Errorf(sample.Pos, "", "the sample '%s' is of type %s and can't be matched that way", short(sample.Text), r.e.out)
		return nil, false
	}
	if r.kind == matchFound || r.kind == matchBool && len(r.ps) == 0 && !r.fromFile {
		return l, true
	}
	if len(r.ps) == 0 && !r.fromFile {
		r.p.ps.Warnf(sample.Pos, "", "'%s' has no value and never matches", short(sample.Text))
	}
	good := true
	l.find = newFinder(r.kind, r.ps, func(i int, err error) {
		r.p.problem(r.places[i], err)
		good = false
	})
	return l, good
}

func matchable(t Type, kind matchKind) bool {
	switch kind {
	case matchFound:
		return true
	case matchInt, matchBool, matchVersion:
		return castable(t, Int)
	case matchIP:
		return castable(t, Addr)
	}
	return true
}

// condition compiles `if A !B || { ... }`; nil without words.
func (p *Program) condition(ws []proxy.Word) (*cond, bool) {
	if len(ws) == 0 {
		return nil, true
	}
	d := &cond{unless: ws[0].Text == "unless"}
	if ws[0].Text != "if" && !d.unless {
		p.ps.Errorf(ws[0].Pos, "if or unless", "a condition can't begin with '%s'", short(ws[0].Text))
		return nil, false
	}
	var and []term
	last, not := ws[0], false
	for rest := ws[1:]; ; rest = rest[1:] {
		if len(rest) == 0 || rest[0].Text == "||" || rest[0].Text == "or" {
			if len(and) == 0 || not {
				p.ps.Errorf(last.Pos, "", "the name of an acl is missing after '%s'", short(last.Text))
				return nil, false
			}
			d.any, and = append(d.any, and), nil
			if len(rest) == 0 {
				return d, true
			}
			last = rest[0]
			continue
		}
		w := rest[0]
		name := w.Text
		for strings.HasPrefix(name, "!") {
			not, name = !not, name[1:]
		}
		if last = w; name == "" {
			continue // the ! stands alone, its acl follows
		}
		var a *acl
		if name == "{" {
			a, rest = p.inline(rest)
		} else {
			a = p.named(name, w.Pos)
		}
		if a == nil {
			return nil, false
		}
		for i := range a.lines {
			p.asks(a.lines[i].e.asks)
		}
		d.needs |= a.needs
		and, not = append(and, term{a, not}), false
	}
}

// inline compiles { SAMPLE ... } and returns the words from its closing brace on.
func (p *Program) inline(ws []proxy.Word) (*acl, []proxy.Word) {
	end := slices.IndexFunc(ws, func(w proxy.Word) bool { return w.Text == "}" })
	if end < 0 {
		p.ps.Errorf(ws[0].Pos, "a blank stands before it", "'}' is missing")
		return nil, ws
	}
	if end == 1 {
		p.ps.Errorf(ws[0].Pos, "", "there is no test between the braces")
		return nil, ws
	}
	l, ok := p.acl(ws[1:end])
	if !ok {
		return nil, ws
	}
	return &acl{lines: []aclLine{*l}, needs: l.e.needs, slot: -1}, ws[end:]
}

func (p *Program) named(name string, at source.Pos) *acl {
	if a, known := p.acls[name]; known {
		if a == nil {
			return &acl{slot: -1} // its own line was wrong
		}
		return a
	}
	text, ok := predefined[name]
	if !ok {
		known := slices.Concat(slices.Sorted(maps.Keys(p.acls)), slices.Sorted(maps.Keys(predefined)))
		hint := ""
		if n := source.Nearest(name, known); n != "" {
			hint = "did you mean '" + n + "'?"
		}
		p.ps.Errorf(at, hint, "there is no acl '%s' in '%s'", short(name), p.proxy)
		return nil
	}
	l, ok := p.acl(proxy.Line(at, strings.Fields(text)...))
	if !ok {
		return nil
	}
	a := &acl{lines: []aclLine{*l}, needs: l.e.needs, slot: p.remember([]aclLine{*l})}
	p.acls[name] = a
	return a
}

// remember gives a test a memory unless it may change within a run.
func (p *Program) remember(lines []aclLine) int {
	for _, l := range lines {
		if l.e.volatile {
			return -1
		}
	}
	p.bools++
	return p.bools - 1
}

// named ACLs of a proxy.
func (p *Program) compileACLs(acls []proxy.ACL) {
	p.acls = map[string]*acl{}
	for _, a := range acls {
		l, ok := p.acl(a.Test)
		if !ok {
			if _, there := p.acls[a.Name]; !there {
				p.acls[a.Name] = nil
			}
			continue
		}
		c := p.acls[a.Name]
		if c == nil {
			c = &acl{slot: -1}
			p.acls[a.Name] = c
		}
		c.lines, c.needs = append(c.lines, *l), c.needs|l.e.needs
	}
	for _, c := range p.acls {
		if c != nil {
			c.slot = p.remember(c.lines)
		}
	}
}
