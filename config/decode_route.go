package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// lineReader takes the words of a route or a rule one after the other.
type lineReader struct {
	d    *decoder
	what string // for messages
	ws   []tree.Word
	last tree.Word // the word whose value is next
	bad  bool
}

func (r *lineReader) wrong(at source.Pos, hint, format string, args ...any) {
	r.d.errorf(at, hint, format, args...)
	r.bad = true
}

// value takes the next word as the value of the last one.
func (r *lineReader) value() (tree.Word, bool) {
	if len(r.ws) == 0 {
		r.wrong(r.last.Pos, "", "'%s' needs a value", r.last.Text)
		return tree.Word{}, false
	}
	w := r.ws[0]
	r.ws = r.ws[1:]
	return w, true
}

func (r *lineReader) text(to *string) {
	if w, ok := r.value(); ok {
		*to = w.Text
	}
}

func (r *lineReader) dev(to *string) {
	if w, ok := r.value(); ok && r.d.interfaceName(w) {
		*to = w.Text
	} else {
		r.bad = true
	}
}

// number takes a number; ip(8) knows hexadecimal ones too.
func (r *lineReader) number(lo, hi int64) int {
	if len(r.ws) > 1 && r.ws[0].Text == "lock" {
		r.ws = r.ws[1:]
	}
	w, ok := r.value()
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(w.Text, 0, 64)
	if err != nil || n < lo || n > hi {
		r.wrong(w.Pos, "a number from "+strconv.FormatInt(lo, 10)+" to "+strconv.FormatInt(hi, 10), "%s is no value for '%s'", tree.Quote(w.Text), r.last.Text)
		return 0
	}
	return int(n)
}

func (r *lineReader) addr(to *netip.Addr) {
	w, ok := r.value()
	if ok && (w.Text == "inet" || w.Text == "inet6") {
		w, ok = r.value()
	}
	if !ok {
		return
	}
	a, err := netip.ParseAddr(w.Text)
	if err != nil || a.Zone() != "" {
		r.wrong(w.Pos, "", "%s is no address for '%s'", tree.Quote(w.Text), r.last.Text)
		return
	}
	*to = a
}

// net reads a network, `default`, `any` or `all`.
func (r *lineReader) net(w tree.Word, six bool) netip.Prefix {
	if slices.Contains([]string{"default", "any", "all"}, w.Text) {
		if six {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	p, ok := prefix(w.Text)
	if !ok {
		r.wrong(w.Pos, "ADDRESS/LENGTH or default", "%s is no network", tree.Quote(w.Text))
	}
	return p.Masked()
}

var (
	routeTypes = []string{"unicast", "local", "broadcast", "multicast", "throw", "unreachable", "prohibit", "blackhole", "nat", "anycast"}
	// routeTuning are words with a value that routes are made without.
	routeTuning = []string{"rtt", "rttvar", "reordering", "cwnd", "ssthresh", "rto_min", "realms", "features", "quickack", "congctl", "fastopen_no_cookie",
		"pref", "ttl-propagate", "expires"}
	routeWords = []string{"to", "src", "via", "dev", "scope", "table", "metric", "preference", "tos", "protocol", "mtu", "advmss", "window", "hoplimit",
		"initcwnd", "initrwnd", "onlink", "append", "nexthop", "vrf", "no_track", "track_group", "weight"}
)

// routes reads lines in the words of ip-route(8).
func (d *decoder) routes(n tree.Node, static bool) []vrrp.Route {
	var out []vrrp.Route
	for _, line := range n.Kids {
		r := &lineReader{d: d, what: "route", ws: line.Args}
		rt := vrrp.Route{Words: texts(line.Args), Pos: line.Pos, IPv6: slices.ContainsFunc(line.Args, sixWord)}
		for len(r.ws) > 0 && !r.bad {
			r.route(&rt, static)
		}
		if !r.bad {
			r.whole(&rt)
		}
		if !r.bad {
			out = append(out, rt)
		}
	}
	return out
}

// sixWord: a word that makes a route or a rule one of IPv6.
func sixWord(w tree.Word) bool {
	p, ok := prefix(w.Text)
	return w.Text == "inet6" || ok && p.Addr().Is6()
}

func (r *lineReader) route(rt *vrrp.Route, static bool) {
	r.last = r.ws[0]
	r.ws = r.ws[1:]
	switch w := r.last.Text; w {
	case "inet", "inet6", "prepend":
	case "to":
		if v, ok := r.value(); ok {
			rt.Dst = r.net(v, rt.IPv6)
		}
	case "src":
		r.addr(&rt.Src)
	case "via", "gw":
		r.addr(&rt.Via)
		r.old(w == "gw", "via")
	case "or":
		hop := vrrp.Hop{Weight: 1}
		r.addr(&hop.Via)
		rt.Hops = append(rt.Hops, hop)
		r.old(true, "nexthop")
	case "dev", "oif":
		r.dev(&rt.Dev)
	case "metric", "priority", "preference":
		rt.Metric = r.number(0, 1<<32-1)
	case "onlink":
		rt.OnLink = true
	case "append", "add":
		rt.Append = true
	case "vrf":
		r.dev(&rt.VRF)
		r.d.warnf(r.last.Pos, "write its table: 'table N'", "'vrf' of a route is not followed: it does not go to that VRF's table")
	case "nexthop":
		r.hop(rt)
	default:
		r.routeMore(rt, static)
	}
}

// old says that a word has a newer one.
func (r *lineReader) old(is bool, now string) {
	if is && !r.bad {
		r.d.warnf(r.last.Pos, "write '"+now+"'", "'%s' in a route is an old word for '%s'", r.last.Text, now)
		r.d.ps.As(source.ClassTolerated)
	}
}

func (r *lineReader) routeMore(rt *vrrp.Route, static bool) {
	numbers := map[string]*int{"mtu": &rt.MTU, "advmss": &rt.AdvMSS, "window": &rt.Window, "hoplimit": &rt.HopLimit, "initcwnd": &rt.InitCwnd, "initrwnd": &rt.InitRwnd}
	strings := map[string]*string{"scope": &rt.Scope, "table": &rt.Table, "tos": &rt.TOS, "dsfield": &rt.TOS, "protocol": &rt.Protocol}
	switch w := r.last.Text; {
	case numbers[w] != nil:
		*numbers[w] = r.number(0, 1<<31-1)
	case strings[w] != nil:
		r.text(strings[w])
	case slices.Contains(routeTypes, w):
		if rt.Type = w; w == "unicast" {
			rt.Type = ""
		}
	case w == "no_track" && !static:
		rt.NoTrack = true
	case w == "track_group" && static:
		r.text(&rt.TrackGroup)
	case slices.Contains(routeTuning, w):
		r.number1()
		r.d.warnf(r.last.Pos, "", "'%s' of a route has no effect: routes are made without it", w)
	case w == "encap":
		r.wrong(r.last.Pos, "", "'encap' of a route is not supported yet")
		r.d.ps.As(source.ClassFatal)
	case !rt.Dst.IsValid():
		rt.Dst = r.net(r.last, rt.IPv6)
	default:
		r.unknown(routeWords)
	}
}

// number1 passes over a value, and over the lock in front of it.
func (r *lineReader) number1() {
	if len(r.ws) > 1 && r.ws[0].Text == "lock" {
		r.ws = r.ws[1:]
	}
	r.value()
}

func (r *lineReader) unknown(known []string) {
	hint := "one " + r.what + " a line"
	if c := words.Nearest(r.last.Text, known); c != "" {
		hint = "did you mean '" + c + "'?"
	}
	r.wrong(r.last.Pos, hint, "surplus word %s in a %s", tree.Quote(r.last.Text), r.what)
}

// hop reads what follows nexthop.
func (r *lineReader) hop(rt *vrrp.Route) {
	h := vrrp.Hop{Weight: 1}
	for len(r.ws) > 0 && !r.bad && r.ws[0].Text != "nexthop" {
		r.last = r.ws[0]
		if !slices.Contains([]string{"via", "dev", "weight", "onlink", "realms", "encap"}, r.last.Text) {
			break // words of the route follow
		}
		r.ws = r.ws[1:]
		switch r.last.Text {
		case "via":
			r.addr(&h.Via)
		case "dev":
			r.dev(&h.Dev)
		case "weight":
			h.Weight = r.number(1, 256)
		case "onlink":
			h.OnLink = true
		default:
			r.wrong(r.last.Pos, "", "'%s' of a next hop is not supported yet", r.last.Text)
			r.d.ps.As(source.ClassFatal)
		}
	}
	if !h.Via.IsValid() && h.Dev == "" && !r.bad {
		r.wrong(r.last.Pos, "nexthop via ADDRESS dev IF weight N", "'nexthop' names neither an address nor an interface")
	}
	rt.Hops = append(rt.Hops, h)
}

// whole looks at all of a route.
func (r *lineReader) whole(rt *vrrp.Route) {
	if rt.Via.IsValid() && len(rt.Hops) > 0 && slices.Contains(rt.Words, "or") { // via A or B: two hops
		rt.Hops = append([]vrrp.Hop{{Via: rt.Via, Dev: rt.Dev, Weight: 1}}, rt.Hops...)
		rt.Hops[1].Dev, rt.Via = rt.Dev, netip.Addr{}
	}
	six := rt.Dst.Addr().Is6()
	families := []netip.Addr{rt.Src, rt.Via}
	for _, h := range rt.Hops {
		families = append(families, h.Via)
	}
	switch {
	case !rt.Dst.IsValid():
		r.wrong(rt.Pos, "DESTINATION [via ADDRESS] [dev IF]", "the route has no destination")
	case slices.ContainsFunc(families, func(a netip.Addr) bool { return a.IsValid() && a.Is6() && !six }):
		r.wrong(rt.Pos, "", "the addresses of a route are of one family")
	case rt.Dev == "" && !rt.NoTrack && (len(rt.Hops) == 0 || rt.Hops[0].Dev == ""):
		r.d.warnf(rt.Pos, "write dev IF or no_track", "a route without an interface can't be tracked")
		r.d.ps.As(source.ClassTolerated)
	}
	rt.IPv6 = six
}

var (
	ruleTypes = []string{"unicast", "blackhole", "unreachable", "prohibit", "nat"}
	ruleWords = []string{"from", "to", "iif", "oif", "fwmark", "table", "lookup", "priority", "preference", "tos", "goto", "suppress_prefixlength", "uidrange",
		"ip_proto", "sport", "dport", "l3mdev", "not", "no_track", "track_group"}
)

// rules reads lines in the words of ip-rule(8).
func (d *decoder) rules(n tree.Node, static bool) []vrrp.Rule {
	var out []vrrp.Rule
	for _, line := range n.Kids {
		r := &lineReader{d: d, what: "rule", ws: line.Args}
		ru := vrrp.Rule{Words: texts(line.Args), Pos: line.Pos, IPv6: slices.ContainsFunc(line.Args, sixWord)}
		prio := false
		for len(r.ws) > 0 && !r.bad {
			prio = slices.Contains([]string{"priority", "preference", "order"}, r.ws[0].Text) || prio
			r.rule(&ru, static)
		}
		if r.bad {
			continue
		}
		if ru.Table == "" && ru.Goto == 0 && ru.Type == "" && !ru.L3MDev {
			d.errorf(line.Pos, "write table N", "the rule has no action")
			continue
		}
		if !prio {
			d.warnf(line.Pos, "write preference N", "the rule has no preference; the order of rules may not be what you want")
			d.ps.As(source.ClassTolerated)
		}
		out = append(out, ru)
	}
	return out
}

func (r *lineReader) rule(ru *vrrp.Rule, static bool) {
	r.last = r.ws[0]
	r.ws = r.ws[1:]
	switch r.last.Text {
	case "inet", "inet6":
	case "from", "to":
		if v, ok := r.value(); ok && r.last.Text == "from" {
			ru.From = r.net(v, ru.IPv6)
		} else if ok {
			ru.To = r.net(v, ru.IPv6)
		}
	case "iif", "dev":
		r.dev(&ru.IIF)
	case "oif":
		r.dev(&ru.OIF)
	case "table", "lookup":
		r.text(&ru.Table)
	case "priority", "preference", "order":
		ru.Priority = r.number(0, 1<<32-1)
	case "fwmark":
		r.mark(ru)
	case "not":
		ru.Not = true
	case "goto":
		ru.Goto = r.number(1, 1<<31-1)
	case "suppress_prefixlength", "suppress_prefixlen":
		ru.SuppressPrefixLength = new(r.number(0, 128))
	case "l3mdev":
		ru.L3MDev = true
	default:
		r.ruleMore(ru, static)
	}
}

func (r *lineReader) ruleMore(ru *vrrp.Rule, static bool) {
	strings := map[string]*string{"tos": &ru.TOS, "dsfield": &ru.TOS, "ipproto": &ru.IPProto, "ip_proto": &ru.IPProto, "uidrange": &ru.UIDRange,
		"sport": &ru.SPort, "dport": &ru.DPort}
	switch w := r.last.Text; {
	case strings[w] != nil:
		r.text(strings[w])
	case w == "type":
		if v, ok := r.value(); ok && slices.Contains(ruleTypes, v.Text) {
			ru.Type = v.Text
		} else if ok {
			r.wrong(v.Pos, "blackhole, unreachable, prohibit", "%s is no type of a rule", tree.Quote(v.Text))
		}
	case slices.Contains(ruleTypes, w):
		if ru.Type = w; w == "unicast" {
			ru.Type = ""
		}
	case w == "no_track" && !static:
		ru.NoTrack = true
	case w == "track_group" && static:
		r.text(&ru.TrackGroup)
	case w == "protocol" || w == "realms" || w == "suppress_ifgroup" || w == "suppress_group" || w == "tun_id":
		r.value()
		r.d.warnf(r.last.Pos, "", "'%s' of a rule has no effect: rules are made without it", w)
	default:
		r.unknown(ruleWords)
	}
}

// mark reads N[/MASK].
func (r *lineReader) mark(ru *vrrp.Rule) {
	w, ok := r.value()
	if !ok {
		return
	}
	number, mask, masked := strings.Cut(w.Text, "/")
	n, err := strconv.ParseUint(number, 0, 32)
	var m uint64
	if masked && err == nil {
		m, err = strconv.ParseUint(mask, 0, 32)
	}
	if err != nil {
		r.wrong(w.Pos, "N[/MASK]", "%s is no mark", tree.Quote(w.Text))
		return
	}
	ru.Fwmark, ru.FwmarkMask = uint32(n), uint32(m)
}
