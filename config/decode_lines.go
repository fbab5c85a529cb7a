package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/tally"
)

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

func (d *decoder) stickTable(p proxyState, k tree.Node) {
	t := proxy.StickTable{Pos: k.Pos}
	if len(k.Args) > 0 {
		d.errorf(k.Args[0].Pos, "", "surplus word %s", tree.Quote(k.Args[0].Text))
	}
	ok := true
	seen := map[string]bool{}
	for _, kid := range k.Kids {
		seen[kid.Def.Name] = true
		if kid.Def.Name == "store" {
			ok = d.stores(&t, kid) && ok
		} else {
			ok = d.scalar(kid, &t) && ok
		}
	}
	for _, w := range []string{"type", "size"} {
		if !seen[w] && ok {
			d.errorf(k.Pos, "stick-table type ip size 1m expire 30m", "the stick-table has no %s", w)
			ok = false
		}
	}
	if ok && t.Len > 0 && t.Type != "string" && t.Type != "binary" {
		d.errorf(k.Pos, "type string len N", "keys of type %s have no 'len'", t.Type)
		ok = false
	}
	if p.back == nil {
		if ok {
			p.front.StickTable = &t
		}
		return
	}
	if d.broken[brokenKey("backend", p.name, "stick-table")] = !ok; ok {
		p.back.StickTable = &t
	}
}

// stores reads what follows `store`: elements with commas between them, in one word or several.
func (d *decoder) stores(t *proxy.StickTable, k tree.Node) bool {
	good := true
	for _, w := range k.Args {
		for text := range strings.SplitSeq(w.Text, ",") {
			if _, err := tally.ParseStore(text); err != nil {
				name, _, _ := strings.Cut(text, "(")
				d.errorf(w.Pos, meant(name, tally.Names()), "%v", err)
				good = false
			}
			t.Store = append(t.Store, text)
		}
	}
	return good
}

func (d *decoder) stickOn(b *proxy.Backend, k tree.Node) {
	r := proxy.StickRule{On: k.Args[0].Text, Pos: k.Args[0].Pos}
	if r.On != "src" {
		hint := "src"
		if !rule.Known(r.On) {
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
