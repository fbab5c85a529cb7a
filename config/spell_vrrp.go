package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/vrrp"
)

// lineWords joins words into a line, with quotes where a word needs them.
func lineWords(ws ...string) string { return haproxycfg.Join(ws...) }

// userWords spells user:group as the files do.
func userWords(s string) string {
	u, g, _ := strings.Cut(s, ":")
	return lineWords(slices.DeleteFunc([]string{u, g}, func(s string) bool { return s == "" })...)
}

// seconds3 spells a time as a decimal number of seconds, for words of lines.
func seconds3(d time.Duration) string {
	s := strconv.FormatFloat(d.Seconds(), 'f', 6, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// each spells a list line by line.
func each[T any](list []T, line func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, line(v))
	}
	return out
}

func addressLines(as []vrrp.Address) []string { return each(as, addressLine) }
func routeLines(rs []vrrp.Route) []string {
	return each(rs, func(r vrrp.Route) string { return lineWords(r.Words...) })
}
func ruleLines(rs []vrrp.Rule) []string {
	return each(rs, func(r vrrp.Rule) string { return lineWords(r.Words...) })
}
func trackLines(ts []vrrp.Track) []string                   { return each(ts, trackLine) }
func trackInterfaceLines(ts []vrrp.TrackInterface) []string { return each(ts, trackInterfaceLine) }
func peerLines(ps []vrrp.Peer) []string                     { return each(ps, peerLine) }

func addressLine(a vrrp.Address) string {
	ws := []string{a.Prefix.String()}
	if a.Peer.IsValid() {
		ws[0] = a.Prefix.Addr().String()
		ws = append(ws, "peer", a.Peer.String())
	}
	for _, p := range [][2]string{{"brd", a.Broadcast}, {"dev", a.Dev}, {"scope", a.Scope}, {"label", a.Label}, {"track_group", a.TrackGroup}} {
		if p[1] != "" {
			ws = append(ws, p[0], p[1])
		}
	}
	for _, name := range []string{"use_vmac", "no_track", "home", "-nodad", "mngtmpaddr", "noprefixroute", "autojoin"} {
		if *flags(&a)[name] {
			ws = append(ws, name)
		}
	}
	if lft := a.PreferredLft; lft != nil && *lft < 0 {
		ws = append(ws, "preferred_lft", "forever")
	} else if lft != nil {
		ws = append(ws, "preferred_lft", itoa(int(*lft/time.Second)))
	}
	return lineWords(ws...)
}

func trackLine(t vrrp.Track) string {
	ws := []string{t.Name}
	if t.Weight != nil {
		ws = append(ws, "weight", itoa(*t.Weight))
		switch {
		case t.Reverse:
			ws = append(ws, "reverse")
		case t.NoReverse:
			ws = append(ws, "noreverse")
		}
	}
	return lineWords(ws...)
}

// trackInterfaceLine leaves a weight out only where that means the same.
func trackInterfaceLine(t vrrp.TrackInterface) string {
	if t.Weight == 0 && !t.Reverse {
		return lineWords(t.Name)
	}
	return trackLine(vrrp.Track{Name: t.Name, Weight: &t.Weight, Reverse: t.Reverse})
}

func peerLine(p vrrp.Peer) string {
	ws := []string{p.Addr.String()}
	if p.MinTTL > 0 {
		ws = append(ws, "min_ttl", itoa(p.MinTTL))
	}
	if p.MaxTTL < 255 {
		ws = append(ws, "max_ttl", itoa(p.MaxTTL))
	}
	return lineWords(ws...)
}
