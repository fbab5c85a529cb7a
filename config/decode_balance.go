package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
)

// What follows `balance` and `hash-type`, read and written.

var (
	balances = &words.Word{Name: "balance", Enum: []string{"", "roundrobin", "static-rr", "leastconn", "first", "random", "source", "uri", "url_param", "hdr", "rdp-cookie", "hash"},
		Later: []string{"log-hash", "log-sticky", "sticky"}}
	hashMethods   = []string{"map-based", "consistent", "maglev"}
	hashFunctions = []string{"sdbm", "djb2", "wt6", "crc32", "none"}
)

// argument takes name(ARGUMENT) apart.
func argument(s string) (name, arg string, ok bool) {
	name, rest, ok := strings.Cut(s, "(")
	if !ok {
		return s, "", false
	}
	return name, strings.TrimSuffix(rest, ")"), strings.HasSuffix(rest, ")")
}

// balance reads `balance ALGORITHM ...`. nginx's least_time is HCL's alone.
func (d *decoder) balance(b *proxy.Backend, k tree.Node) {
	w := k.Args[0]
	name, arg, paren := argument(w.Text)
	r := &lineReader{d: d, what: "balance", ws: k.Args[1:], last: w}
	var a proxy.BalanceArgs
	alg := proxy.LeastTime
	if name != "least_time" || d.dialect != words.HCL {
		v, meant, err := parseEnum(balances, name)
		if err != nil || strings.Contains(w.Text, "(") && !paren {
			if err == nil {
				d.errorf(w.Pos, name+"(...)", "%s has no closing bracket", tree.Quote(w.Text))
				return
			}
			d.errorf(w.Pos, meant, "%s", err)
			return
		}
		alg = proxy.Algorithm(v.(enumValue).n)
	}
	if paren && alg != proxy.Hdr && alg != proxy.Random && alg != proxy.RDPCookie {
		r.wrong(w.Pos, "write "+name, "'balance %s' has no argument in brackets", name)
	}
	switch alg {
	case proxy.Hdr:
		r.header(&a, arg)
	case proxy.Random:
		r.draws(&a, w, arg, paren)
	case proxy.URLParam:
		r.text(&a.Name)
	case proxy.RDPCookie:
		r.rdpCookie(&a.Name, arg, paren)
	case proxy.HashOf:
		if e, ok := r.value(); ok {
			a.Sample = proxy.Word{Text: e.Text, Pos: e.Pos}
		}
	case proxy.URI:
		r.uri(&a)
	case proxy.LeastTime:
		r.leastTime(&a)
	}
	if len(r.ws) > 0 && !r.bad {
		if alg == proxy.URLParam && r.ws[0].Text == "check_post" {
			r.wrong(r.ws[0].Pos, "", "'check_post' is not supported yet")
		} else {
			r.wrong(r.ws[0].Pos, "", "surplus word %s after 'balance %s'", tree.Quote(r.ws[0].Text), name)
		}
	}
	if !r.bad {
		b.Balance, b.BalanceArgs = alg, a
	}
}

// persist reads `persist rdp-cookie[(NAME)]`.
func (d *decoder) persist(b *proxy.Backend, k tree.Node) {
	w := k.Args[0]
	name, arg, paren := argument(w.Text)
	switch {
	case name != "rdp-cookie" || strings.Contains(w.Text, "(") && (!paren || arg == ""):
		d.errorf(w.Pos, "rdp-cookie or rdp-cookie(NAME)", "%s is no value for 'persist'", tree.Quote(w.Text))
	case len(k.Args) > 1:
		d.errorf(k.Args[1].Pos, "", "surplus word %s after 'persist %s'", tree.Quote(k.Args[1].Text), w.Text)
	default:
		b.PersistRDP = cmp.Or(arg, defaultRDP)
	}
}

// defaultRDP is the cookie that a Remote Desktop session's broker sets.
const defaultRDP = "msts"

// take reports whether the next word is w, and passes over it.
func (r *lineReader) take(w string) bool {
	if len(r.ws) == 0 || r.ws[0].Text != w {
		return false
	}
	r.last, r.ws = r.ws[0], r.ws[1:]
	return true
}

func (r *lineReader) header(a *proxy.BalanceArgs, name string) {
	if name == "" {
		r.wrong(r.last.Pos, "hdr(Host)", "'balance hdr' needs the name of a header in brackets")
		return
	}
	a.Name, a.DomainOnly = name, r.take("use_domain_only")
}

// rdpCookie takes the name of a Remote Desktop cookie, if one is written.
func (r *lineReader) rdpCookie(to *string, name string, paren bool) {
	if *to = name; paren && name == "" {
		r.wrong(r.last.Pos, "rdp-cookie or rdp-cookie(NAME)", "'rdp-cookie' has empty brackets")
	}
}

func (r *lineReader) draws(a *proxy.BalanceArgs, w tree.Word, arg string, paren bool) {
	if !paren {
		return
	}
	n, ok := parseInt(arg, false)
	if !ok || n < 1 || n > 1000 {
		r.wrong(w.Pos, "random(N), N from 1 to 1000", "%s is no number of draws", tree.Quote(arg))
		return
	}
	a.Draws = int(n)
}

func (r *lineReader) uri(a *proxy.BalanceArgs) {
	for len(r.ws) > 0 && !r.bad {
		switch {
		case r.take("len"):
			a.Len = r.number(1, 1<<31-1)
		case r.take("depth"):
			a.Depth = r.number(1, 1<<31-2)
		case r.take("whole"):
			a.Whole = true
		case r.take("path-only"):
			a.PathOnly = true
		default:
			r.wrong(r.ws[0].Pos, "len N, depth N, whole, path-only", "%s is nothing that 'balance uri' knows", tree.Quote(r.ws[0].Text))
		}
	}
}

func (r *lineReader) leastTime(a *proxy.BalanceArgs) {
	if a.LastByte = r.take("last_byte"); !a.LastByte && !r.take("header") {
		r.wrong(r.last.Pos, "least_time header or least_time last_byte", "'balance least_time' needs to be told until when time is measured")
	}
}

// balanceText spells a balance; "" is the default.
func balanceText(b *proxy.Backend) string {
	a := b.BalanceArgs
	ws := []string{b.Balance.String()}
	add := func(yes bool, more ...string) {
		if yes {
			ws = append(ws, more...)
		}
	}
	switch b.Balance {
	case 0, proxy.RoundRobin:
		return ""
	case proxy.Hdr:
		ws[0] += "(" + a.Name + ")"
		add(a.DomainOnly, "use_domain_only")
	case proxy.RDPCookie:
		if a.Name != "" {
			ws[0] += "(" + a.Name + ")"
		}
	case proxy.HashOf:
		ws = append(ws, a.Sample.Text)
	case proxy.Random:
		if a.Draws > 0 {
			ws[0] += "(" + itoa(a.Draws) + ")"
		}
	case proxy.URLParam:
		ws = append(ws, a.Name)
	case proxy.URI:
		add(a.Len > 0, "len", itoa(a.Len))
		add(a.Depth > 0, "depth", itoa(a.Depth))
		add(a.Whole, "whole")
		add(a.PathOnly, "path-only")
	case proxy.LeastTime:
		add(a.LastByte, "last_byte")
		add(!a.LastByte, "header")
	}
	return haproxycfg.Join(ws...)
}

// hashType reads `hash-type METHOD [FUNCTION [avalanche]]`. Without a function the others than map-based are stirred, as
// keys that differ by little would lie side by side otherwise. maglev is HCL's alone.
func (d *decoder) hashType(b *proxy.Backend, k tree.Node) {
	w := k.Args[0]
	methods := hashMethods
	if d.dialect != words.HCL {
		methods = hashMethods[:2]
	}
	h := proxy.HashType{Method: proxy.HashMethod(slices.Index(methods, w.Text))}
	if h.Method < 0 {
		d.errorf(w.Pos, closest(w.Text, methods), "%s is no value for 'hash-type'", tree.Quote(w.Text))
		return
	}
	h.Avalanche = h.Method != proxy.MapBased && len(k.Args) == 1
	if len(k.Args) > 1 {
		if h.Function = proxy.HashFunction(slices.Index(hashFunctions, k.Args[1].Text)); h.Function < 0 {
			d.errorf(k.Args[1].Pos, closest(k.Args[1].Text, hashFunctions), "%s is no hash function", tree.Quote(k.Args[1].Text))
			return
		}
	}
	if len(k.Args) > 2 {
		if h.Avalanche = k.Args[2].Text == "avalanche"; !h.Avalanche || len(k.Args) > 3 {
			d.errorf(k.Args[len(k.Args)-1].Pos, "avalanche", "surplus word %s after 'hash-type'", tree.Quote(k.Args[len(k.Args)-1].Text))
			return
		}
	}
	b.HashType = h
}

func hashTypeText(h proxy.HashType) string {
	if h == (proxy.HashType{}) {
		return ""
	}
	ws := []string{hashMethods[h.Method], hashFunctions[h.Function]}
	if h.Avalanche {
		ws = append(ws, "avalanche")
	}
	return strings.Join(ws, " ")
}

// closest says which of a few words was meant, or which there are.
func closest(s string, known []string) string {
	if c := words.Nearest(s, known); c != "" {
		return "did you mean '" + c + "'?"
	}
	return strings.Join(known, ", ")
}
