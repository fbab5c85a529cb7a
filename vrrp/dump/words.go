package dump

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// The marks that keepalived puts on routes and rules of its own.
const (
	protocol     = "18"
	rulePriority = 16384
)

func itoa(n int) string { return strconv.Itoa(n) }

// stamp is a time in seconds with its microseconds.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "0.000000"
	}
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// command is a script's argv as keepalived shows it: each word in quotes.
func command(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	return "'" + strings.Join(argv, "' '") + "'"
}

// host prints an address, with its length unless that is all of it.
func host(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// list collects words that belong together, leaving out pairs without a value.
type list []string

func (l *list) add(words ...string) { *l = append(*l, words...) }

func (l *list) pair(word, value string) {
	if value != "" {
		l.add(word, value)
	}
}

func (l *list) number(word string, n int) {
	if n != 0 {
		l.add(word, itoa(n))
	}
}

func (l *list) flag(word string, on bool) {
	if on {
		l.add(word)
	}
}

func (l list) String() string { return strings.Join(l, " ") }

// address is one virtual address as keepalived shows it.
func address(a vrrp.Address, e effective, on bool) string {
	var l list
	l.add(host(a.Prefix))
	if a.Peer.IsValid() {
		l.add("peer", host(a.Peer))
	}
	l.pair("brd", broadcast(a))
	l.add("dev", device(a, e))
	scope := a.Scope
	if scope == "" {
		scope = "global"
	}
	l.add("scope", scope)
	l.pair("label", a.Label)
	if a.Prefix.Addr().Is6() {
		l.add(lifetime(a)...)
	}
	l.flag("home", a.Home)
	l.flag("nodad", a.NoDAD)
	l.flag("mngtmpaddr", a.MngTmpAddr)
	l.flag("noprefixroute", a.NoPrefixRoute)
	l.flag("autojoin", a.AutoJoin)
	l.flag("no_track", a.NoTrack)
	l.flag("set", on)
	return l.String()
}

func device(a vrrp.Address, e effective) string {
	switch {
	case a.Dev != "" && a.Dev != e.dev && a.Dev != e.base:
		return a.Dev
	case e.base != "":
		return e.dev + "@" + e.base
	}
	return e.dev
}

// lifetime is preferred_lft in words: an IPv6 /128 is deprecated unless somebody said otherwise, so that it is no source.
func lifetime(a vrrp.Address) []string {
	switch {
	case a.PreferredLft == nil && !a.Prefix.IsSingleIP(), a.PreferredLft != nil && *a.PreferredLft < 0:
		return []string{"preferred_lft", "forever"}
	case a.PreferredLft == nil, *a.PreferredLft == 0:
		return []string{"deprecated"}
	}
	return []string{"preferred_lft", itoa(int(*a.PreferredLft / time.Second))}
}

// broadcast computes what brd + and brd - stand for.
func broadcast(a vrrp.Address) string {
	if a.Broadcast != "+" && a.Broadcast != "-" {
		return a.Broadcast
	}
	if !a.Prefix.Addr().Is4() {
		return ""
	}
	b := a.Prefix.Masked().Addr().As4()
	if a.Broadcast == "+" {
		for i := a.Prefix.Bits(); i < 32; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return netip.AddrFrom4(b).String()
}

// route is one virtual route as keepalived shows it.
func route(r vrrp.Route) string {
	var l list
	switch {
	case r.Append, r.Type != "":
		l.add("add")
	default:
		l.add("prepend")
	}
	l.flag(r.Type, r.Type != "")
	l.add(destination(r.Dst))
	l.pair("src", valid(r.Src))
	if r.Via.IsValid() {
		l.add("via", "inet"+sixth(r.Via.Is6()), r.Via.String())
	}
	l.pair("dev", r.Dev)
	l.pair("table", r.Table)
	l.pair("scope", r.Scope)
	l.pair("tos", r.TOS)
	p := r.Protocol
	if p == "" {
		p = protocol
	}
	l.add("proto", p)
	l.number("metric", r.Metric)
	l.number("mtu", r.MTU)
	l.number("advmss", r.AdvMSS)
	l.flag("onlink", r.OnLink)
	for _, h := range r.Hops {
		l.add("nexthop")
		if h.Via.IsValid() {
			l.add("via", "inet"+sixth(h.Via.Is6()), h.Via.String())
		}
		l.pair("dev", h.Dev)
		l.number("weight", h.Weight)
	}
	l.flag("no_track", r.NoTrack || r.Dev == "" && len(r.Hops) == 0)
	return l.String()
}

func sixth(yes bool) string {
	if yes {
		return "6"
	}
	return ""
}

func valid(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func destination(p netip.Prefix) string {
	if !p.IsValid() || p.Bits() == 0 {
		return "default"
	}
	return host(p)
}

// rule is one virtual rule as keepalived shows it.
func rule(r vrrp.Rule) string {
	var l list
	l.flag("not", r.Not)
	l.add("from", selector(r.From))
	if r.To.IsValid() {
		l.add("to", selector(r.To))
	}
	n := r.Priority
	if n == 0 {
		n = rulePriority
	}
	l.add("priority", itoa(n))
	tos := r.TOS
	if tos == "" {
		tos = "0x0"
	}
	l.add("tos", tos)
	if r.Fwmark != 0 {
		l.add("fwmark", fmt.Sprintf("0x%x", r.Fwmark))
	}
	l.pair("iif", r.IIF)
	l.pair("oif", r.OIF)
	l.add("protocol", protocol)
	switch {
	case r.Goto != 0:
		l.add("goto", itoa(r.Goto))
	case r.Type != "":
		l.add(r.Type)
	default:
		l.pair("lookup", r.Table)
	}
	return l.String()
}

func selector(p netip.Prefix) string {
	if !p.IsValid() {
		return "all"
	}
	return host(p)
}
