package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/vrrp"
)

var scopeNames = []string{"global", "link", "host", "site", "nowhere"}

// addresses reads `ADDRESS[/LEN] [brd X] [dev IF] [scope S] [label L] ...`, one a line.
func (d *decoder) addresses(n tree.Node, static bool) []vrrp.Address {
	var out []vrrp.Address
	for _, line := range n.Kids {
		a := vrrp.Address{Pos: line.Pos}
		if d.address(&a, line.Args[0]) && d.addressWords(&a, line.Args[1:], static) {
			out = append(out, a)
		}
	}
	return out
}

// prefix reads ADDRESS[/LEN]; without a length it is one address. Host bits stay.
func prefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.Zone() != "" {
			return p, false
		}
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	return p, true
}

func (d *decoder) address(a *vrrp.Address, w tree.Word) bool {
	p, ok := prefix(w.Text)
	switch {
	case !ok || p.Addr().Is4In6():
		d.errorf(w.Pos, "ADDRESS[/LENGTH] [dev IF] [label L]", "%s is no address", tree.Quote(w.Text))
		return false
	case p.Addr().IsMulticast() || p.Addr().IsUnspecified():
		d.errorf(w.Pos, "", "%s can't be carried by a machine", tree.Quote(w.Text))
		return false
	}
	a.Prefix = p
	return true
}

// flags are the words after an address that have no value, with the field that each sets.
func flags(a *vrrp.Address) map[string]*bool {
	return map[string]*bool{"use_vmac": &a.UseVMAC, "no_track": &a.NoTrack, "home": &a.Home, "-nodad": &a.NoDAD, "nodad": &a.NoDAD,
		"mngtmpaddr": &a.MngTmpAddr, "noprefixroute": &a.NoPrefixRoute, "autojoin": &a.AutoJoin}
}

var addressWords = []string{"dev", "scope", "label", "brd", "broadcast", "peer", "preferred_lft"}

func (d *decoder) addressWords(a *vrrp.Address, ws []tree.Word, static bool) bool {
	ok := true
	for len(ws) > 0 {
		word := ws[0]
		ws = ws[1:]
		if f := flags(a)[word.Text]; f != nil && (!static || word.Text != "no_track" && word.Text != "use_vmac") {
			*f = true
			continue
		}
		if !slices.Contains(addressWords, word.Text) && (!static || word.Text != "track_group") {
			d.addressWord(word)
			ok = d.opts.Tolerant
			continue
		}
		if len(ws) == 0 {
			d.errorf(word.Pos, "", "'%s' needs a value", word.Text)
			return false
		}
		if !d.addressValue(a, word, ws[0]) {
			ok = d.opts.Tolerant && word.Text != "label" // keepalived ignores the word, but drops the address for a label
		}
		ws = ws[1:]
	}
	return ok
}

func (d *decoder) addressValue(a *vrrp.Address, word, v tree.Word) bool {
	switch word.Text {
	case "dev":
		if !d.interfaceName(v) {
			return false
		}
		a.Dev = v.Text
	case "scope":
		if n, ok := parseInt(v.Text, false); !slices.Contains(scopeNames, v.Text) && (!ok || n < 0 || n > 255) {
			d.errorf(v.Pos, strings.Join(scopeNames, ", "), "unknown scope %s", tree.Quote(v.Text))
			return false
		}
		a.Scope = v.Text
	case "label":
		if len(v.Text) > 15 {
			d.errorf(v.Pos, "at most 15 bytes", "the label %s is too long", tree.Quote(v.Text))
			return false
		}
		a.Label = v.Text
	case "track_group":
		a.TrackGroup = v.Text
	case "preferred_lft":
		return d.preferred(a, v)
	case "peer":
		p, ok := prefix(v.Text)
		if !ok || p.Addr().Is6() != a.Prefix.Addr().Is6() {
			d.errorf(v.Pos, "an address of the same family", "%s is no peer's address", tree.Quote(v.Text))
			return false
		}
		if !a.Prefix.IsSingleIP() {
			d.errorf(v.Pos, "the length belongs to the peer's address", "an address with a peer has no prefix length")
			return false
		}
		a.Peer = p
	default:
		if ip, err := netip.ParseAddr(v.Text); v.Text != "+" && v.Text != "-" && (err != nil || !ip.Is4()) || a.Prefix.Addr().Is6() {
			d.errorf(v.Pos, "an IPv4 address, + or -", "%s is no broadcast address", tree.Quote(v.Text))
			return false
		}
		a.Broadcast = v.Text
	}
	return true
}

// preferred reads preferred_lft: seconds, or for ever.
func (d *decoder) preferred(a *vrrp.Address, v tree.Word) bool {
	if v.Text == "forever" {
		a.PreferredLft = new(time.Duration(-1))
		return true
	}
	n, ok := parseInt(v.Text, false)
	if !ok || n < 0 || n > 1<<32-2 {
		d.errorf(v.Pos, "seconds, or forever", "%s is no lifetime", tree.Quote(v.Text))
		return false
	}
	a.PreferredLft = new(time.Duration(n) * time.Second)
	return true
}

// addressWord says what is wrong with a word that follows an address.
func (d *decoder) addressWord(w tree.Word) {
	hint := "one address per line"
	known := append(slices.Clone(addressWords), "use_vmac", "no_track", "noprefixroute", "mngtmpaddr", "autojoin")
	if c := words.Nearest(w.Text, known); c != "" {
		hint = "did you mean '" + c + "'?"
	}
	d.errorf(w.Pos, hint, "surplus word %s after an address", tree.Quote(w.Text))
}
