package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
)

// acl reads `acl NAME path_beg [-i] [--] VALUE...`.
func (d *decoder) acl(f *proxy.Frontend, k tree.Node) {
	if len(k.Args) > 0 {
		d.broken[brokenKey("acl", f.Name, k.Args[0].Text)] = true // until it is read well
	}
	if len(k.Args) < 2 {
		d.errorf(k.Pos, "acl NAME path_beg [-i] VALUE...", "'acl' needs a name and a test")
		return
	}
	a := proxy.ACL{Name: k.Args[0].Text, Criterion: k.Args[1].Text, Pos: k.Pos}
	if strings.Trim(a.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") != "" ||
		a.Name == "or" || a.Name == "if" || a.Name == "unless" {
		d.errorf(k.Args[0].Pos, "letters, digits, _ . : -", "%s can't be the name of an acl", tree.Quote(a.Name))
		return
	}
	if !d.criterion(k.Args[1]) {
		return
	}
	rest := k.Args[2:]
	for len(rest) > 0 && strings.HasPrefix(rest[0].Text, "-") {
		flag := rest[0]
		rest = rest[1:]
		if flag.Text == "--" {
			break
		}
		if flag.Text != "-i" {
			d.errorf(flag.Pos, "", "the flag %s of an acl is not supported yet", tree.Quote(flag.Text))
			return
		}
		a.Fold = true
	}
	if a.Values = texts(rest); len(rest) == 0 {
		d.warnf(k.Pos, "", "acl '%s' has no value and never matches", a.Name)
	}
	delete(d.broken, brokenKey("acl", f.Name, a.Name))
	f.ACLs = append(f.ACLs, a)
}

func (d *decoder) criterion(w tree.Word) bool {
	if w.Text == "path_beg" {
		return true
	}
	base := w.Text[:len(w.Text)-len(strings.TrimLeft(w.Text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."))]
	if slices.Contains(words.Fetches, base) || slices.Contains(words.Fetches, w.Text) {
		d.errorf(w.Pos, "", "the test %s is not supported yet", tree.Quote(w.Text))
		return false
	}
	hint := ""
	if c := words.Nearest(base, append([]string{"path_beg"}, words.Fetches...)); c != "" {
		hint = "did you mean '" + c + "'?"
	}
	d.errorf(w.Pos, hint, "unknown test %s", tree.Quote(w.Text))
	return false
}

// useBackend reads `use_backend NAME [if|unless CONDITION]`.
func (d *decoder) useBackend(f *proxy.Frontend, k tree.Node) {
	if len(k.Args) == 0 {
		d.errorf(k.Pos, "use_backend NAME if CONDITION", "'use_backend' needs the name of a backend")
		return
	}
	u := proxy.UseBackend{Backend: k.Args[0].Text, Pos: k.Args[0].Pos}
	if strings.Contains(u.Backend, "%[") {
		d.errorf(u.Pos, "", "a backend's name made of samples is not supported yet")
		return
	}
	if len(k.Args) > 1 {
		c, ok := d.condition(f, k.Args[1:])
		if !ok {
			return
		}
		u.Cond = c
	}
	f.UseBackend = append(f.UseBackend, u)
}

// condition reads `if A !B || C` (or unless): an OR of ANDs.
func (d *decoder) condition(f *proxy.Frontend, ws []tree.Word) (*proxy.Condition, bool) {
	c := &proxy.Condition{Unless: ws[0].Text == "unless"}
	if ws[0].Text != "if" && !c.Unless {
		d.errorf(ws[0].Pos, "if or unless", "%s can't follow the backend's name", tree.Quote(ws[0].Text))
		return nil, false
	}
	var and []proxy.Term
	last := ws[0]
	close := func() bool {
		if len(and) == 0 {
			d.errorf(last.Pos, "", "the name of an acl is missing after %s", tree.Quote(last.Text))
			return false
		}
		c.Any = append(c.Any, and)
		and = nil
		return true
	}
	not := false
	for _, w := range ws[1:] {
		name := w.Text
		if name == "||" || name == "or" {
			if not || !close() {
				return nil, false
			}
			last = w
			continue
		}
		for strings.HasPrefix(name, "!") {
			not, name = !not, name[1:]
		}
		last = w
		switch {
		case name == "":
			continue // the ! stands alone, its acl follows
		case name == "{":
			d.errorf(w.Pos, "name the test in an acl line", "'{ ... }' is not supported yet")
			return nil, false
		case slices.Contains(words.PredefinedACLs, name):
			d.errorf(w.Pos, "", "the predefined acl '%s' is not supported yet", name)
			return nil, false
		}
		and = append(and, proxy.Term{ACL: name, Not: not})
		if k := brokenKey("acl", f.Name, name); d.places[k].IsZero() {
			d.places[k] = w.Pos
		}
		not = false
	}
	if not {
		d.errorf(last.Pos, "", "the name of an acl is missing after '!'")
		return nil, false
	}
	if !close() {
		return nil, false
	}
	return c, true
}

// cookie reads `cookie NAME insert|rewrite|prefix ...`.
func (d *decoder) cookie(b *proxy.Backend, k tree.Node) {
	c := proxy.Cookie{Name: k.Args[0].Text, Pos: k.Pos}
	var modes []proxy.CookieMode
	for _, kid := range k.Kids {
		switch name := kid.Def.Name; name {
		case "insert", "rewrite", "prefix":
			if d.value(kid); !kid.No {
				modes = append(modes, proxy.CookieMode(slices.Index(cookieModes, name)))
			}
		case "domain":
			c.Domains = append(c.Domains, texts(kid.Args)...)
		case "attr":
			c.Attrs = append(c.Attrs, texts(kid.Args)...)
		default:
			d.scalar(kid, &c)
		}
	}
	c.Mode = proxy.CookiePassive
	if len(modes) > 0 {
		c.Mode = modes[0]
	}
	switch {
	case len(modes) > 1:
		d.errorf(k.Pos, "one of them", "'insert', 'rewrite' and 'prefix' of a cookie don't go together")
	case c.Mode == proxy.CookieRewrite && c.Indirect:
		d.errorf(k.Pos, "", "'rewrite' and 'indirect' of a cookie don't go together")
	case c.Preserve && c.Mode != proxy.CookieInsert && !c.Indirect:
		d.errorf(k.Pos, "", "'preserve' of a cookie needs 'insert' or 'indirect'")
	case slices.ContainsFunc(slices.Concat(c.Domains, c.Attrs), badAttribute):
		d.errorf(k.Pos, "", "an attribute of a cookie has no ';' and nothing that is not printable")
	default:
		b.Cookie = &c
	}
}

var cookieModes = []string{"insert", "rewrite", "prefix"}

// badAttribute: what would end the attribute, or the header (RFC 6265 section 4.1.1).
func badAttribute(s string) bool {
	return s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == ';' || r >= 0x7f })
}

// forwardFor reads `option forwardfor [except NET] [header NAME] [if-none]`; nil after `no`.
func (d *decoder) forwardFor(k tree.Node) *proxy.ForwardFor {
	if k.No {
		return nil
	}
	if len(k.Args) > 0 {
		d.errorf(k.Args[0].Pos, "", "surplus word %s", tree.Quote(k.Args[0].Text))
	}
	f := &proxy.ForwardFor{Header: "X-Forwarded-For"}
	for _, kid := range k.Kids {
		if kid.Def.Name != "except" {
			d.scalar(kid, f)
			continue
		}
		p, ok := network(kid.Args[0].Text)
		if !ok {
			d.errorf(kid.Args[0].Pos, "ADDRESS or ADDRESS/LENGTH", "%s is no network", tree.Quote(kid.Args[0].Text))
			continue
		}
		f.Except = p
	}
	return f
}

// network reads an address, perhaps with the length of its prefix; host bits are dropped.
func network(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), a.Zone() == ""
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}

func (d *decoder) redispatch(b *proxy.Backend, k tree.Node) {
	b.Redispatch = -1
	if k.No {
		b.Redispatch = 0
		return
	}
	if len(k.Args) > 1 {
		d.errorf(k.Args[1].Pos, "", "surplus word %s", tree.Quote(k.Args[1].Text))
	}
	if len(k.Args) > 0 {
		n, err := strconv.Atoi(k.Args[0].Text)
		if err != nil || n < -1000 || n > 1<<30 {
			d.errorf(k.Args[0].Pos, "-1: on the last retry; N: on every N-th", "%s is no interval of retries", tree.Quote(k.Args[0].Text))
			return
		}
		b.Redispatch = n
	}
}

func (d *decoder) userPassword(k tree.Node) (proxy.UserPassword, bool) {
	user, password, ok := strings.Cut(k.Args[0].Text, ":")
	if len(k.Args) > 1 {
		d.errorf(k.Args[1].Pos, "", "surplus word %s", tree.Quote(k.Args[1].Text))
	}
	if !ok || user == "" {
		d.errorf(k.Args[0].Pos, "stats auth USER:PASSWORD", "'stats auth' needs a user and a password")
	}
	return proxy.UserPassword{User: user, Password: password}, ok && user != ""
}

func (d *decoder) stickTable(b *proxy.Backend, k tree.Node) {
	t := proxy.StickTable{Pos: k.Pos}
	if len(k.Args) > 0 {
		d.errorf(k.Args[0].Pos, "", "surplus word %s", tree.Quote(k.Args[0].Text))
	}
	ok := true
	seen := map[string]bool{}
	for _, kid := range k.Kids {
		seen[kid.Def.Name] = true
		ok = d.scalar(kid, &t) && ok
	}
	for _, w := range []string{"type", "size"} {
		if !seen[w] && ok {
			d.errorf(k.Pos, "stick-table type ip size 1m expire 30m", "the stick-table has no %s", w)
			ok = false
		}
	}
	if d.broken[brokenKey("backend", b.Name, "stick-table")] = !ok; ok {
		b.StickTable = &t
	}
}

func (d *decoder) stickOn(b *proxy.Backend, k tree.Node) {
	r := proxy.StickRule{On: k.Args[0].Text, Pos: k.Args[0].Pos}
	if r.On != "src" {
		hint := "src"
		if !slices.Contains(words.Fetches, r.On) {
			d.errorf(k.Args[0].Pos, hint, "unknown sample %s", tree.Quote(r.On))
		} else {
			d.errorf(k.Args[0].Pos, hint, "'stick on %s' is not supported yet", r.On)
		}
		return
	}
	for _, kid := range k.Kids {
		d.scalar(kid, &r)
	}
	b.Stick = append(b.Stick, r)
}
