package vip

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

// protocol is how the routing tables mark what keepalived, and we in its place, put there (RTPROT_KEEPALIVED), whatever
// a route's word `protocol` says, as keepalived 2.2.7 does. A removal names it, so that nobody else's route goes.
const protocol = 18

// Attributes and actions of policy rules (linux/fib_rules.h).
const (
	fraDst, fraSrc, fraIIFName, fraPriority, fraFwmark = 1, 2, 3, 6, 10
	fraTable, fraFwmask, fraOIFName, fraProtocol       = 15, 16, 17, 21
	fraGoto, fraSuppress, fraL3MDev, fraUIDRange       = 4, 14, 19, 20
	fraIPProto, fraSPort, fraDPort                     = 22, 23, 24
	actTable, actGoto, actBlackhole, actUnreachable    = 1, 2, 6, 7
	actProhib, ruleInvert                              = 8, 2
)

// PolicyError says which route or rule could not be added or removed.
type PolicyError struct {
	Op   string // "add", "remove"
	What string // "route 10.0.0.0/8 via 10.1.0.1", "rule from 10.1.0.9 table 100"
	Err  error
}

// Error implements error.
func (e *PolicyError) Error() string { return e.Op + " " + e.What + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PolicyError) Unwrap() error { return e.Err }

// policy is the routes and rules that come and go together.
type policy struct {
	routes []vrrp.Route
	rules  []vrrp.Rule
}

func (p policy) empty() bool { return len(p.routes) == 0 && len(p.rules) == 0 }

// install adds routes, then rules. What is there already is no error. One failure keeps nothing else from going on.
func (p policy) install(c *conn) []error {
	_, errs := p.change(c, "add", p.routes, p.rules, c.newRoute, c.newRule, unix.EEXIST)
	return errs
}

// uninstall removes rules, then routes, each list from its end. What is not there is no error.
func (p policy) uninstall(c *conn) []error {
	routes, rules := slices.Clone(p.routes), slices.Clone(p.rules)
	slices.Reverse(routes)
	slices.Reverse(rules)
	_, errs := policy{rules: rules}.change(c, "remove", nil, rules, nil, c.delRule, unix.ENOENT)
	_, more := policy{routes: routes}.change(c, "remove", routes, nil, c.delRoute, nil, unix.ESRCH)
	return append(errs, more...)
}

// change tells what it changed, and what it could not.
func (p policy) change(c *conn, op string, routes []vrrp.Route, rules []vrrp.Rule, route func(vrrp.Route) error,
	rule func(vrrp.Rule) error, fine unix.Errno,
) (done []string, errs []error) {
	c.reset()
	var asked []string
	for _, r := range routes {
		if err := route(r); err != nil {
			errs = append(errs, &PolicyError{op, "route " + describeRoute(r), err})
			continue
		}
		asked = append(asked, "route "+describeRoute(r))
	}
	for _, r := range rules {
		if err := rule(r); err != nil {
			errs = append(errs, &PolicyError{op, "rule " + describeRule(r), err})
			continue
		}
		asked = append(asked, "rule "+describeRule(r))
	}
	results, err := c.flush()
	if err != nil {
		return nil, append(errs, fmt.Errorf("%s routes: %w: %w", op, errSocket, err))
	}
	for i, what := range asked {
		switch err := results[i]; {
		case err == nil:
			done = append(done, what)
		case !errors.Is(err, fine) && !(op == "remove" && errors.Is(err, unix.ENODEV)):
			errs = append(errs, &PolicyError{op, what, err})
		}
	}
	return done, errs
}

// newRoute appends a request that puts the route before any other of the same destination, which counts again when ours
// goes. IPv6 knows no before: there it is an error if somebody's is there (which EEXIST then tolerates).
func (c *conn) newRoute(r vrrp.Route) error {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_ACK)
	if routeFamily(r) == unix.AF_INET6 {
		flags |= unix.NLM_F_EXCL
	}
	return c.route(unix.RTM_NEWROUTE, flags, r)
}

func (c *conn) delRoute(r vrrp.Route) error { return c.route(unix.RTM_DELROUTE, unix.NLM_F_ACK, r) }

func (c *conn) route(kind, flags uint16, r vrrp.Route) error {
	table, err := tableOf(r.Table)
	if err != nil {
		return err
	}
	scope, err := scopeOf(r.Scope)
	if err != nil {
		return err
	}
	what, err := routeType(r.Type)
	if err != nil {
		return err
	}
	index := 0
	if r.Dev != "" {
		if index, err = c.index(r.Dev); err != nil {
			return err
		}
	}
	hops := make([]int, len(r.Hops))
	for i, h := range r.Hops {
		if h.Dev != "" {
			if hops[i], err = c.index(h.Dev); err != nil {
				return err
			}
		}
	}
	tos, err := number("tos", r.TOS, 8)
	if err != nil {
		return err
	}
	if kind == unix.RTM_NEWROUTE && r.Append {
		flags |= unix.NLM_F_APPEND
		flags &^= unix.NLM_F_EXCL
	}
	at := c.begin(kind, flags)
	c.out = append(c.out, routeFamily(r), byte(max(r.Dst.Bits(), 0)), 0, byte(tos), shortTable(table), protocol, scope, what)
	c.out = binary.NativeEndian.AppendUint32(c.out, uint32(onLink(r.OnLink)))
	if r.Dst.IsValid() && r.Dst.Bits() > 0 {
		c.attr(unix.RTA_DST, r.Dst.Masked().Addr().AsSlice())
	}
	c.uint32(unix.RTA_TABLE, table)
	c.gateway(routeFamily(r), r.Via)
	if r.Src.IsValid() {
		c.attr(unix.RTA_PREFSRC, r.Src.AsSlice())
	}
	if index != 0 {
		c.uint32(unix.RTA_OIF, uint32(index))
	}
	if r.Metric != 0 {
		c.uint32(unix.RTA_PRIORITY, uint32(r.Metric))
	}
	c.metrics(r)
	if len(r.Hops) > 0 {
		c.hops(routeFamily(r), r.Hops, hops)
	}
	c.end(at)
	return nil
}

// metrics appends what is known of the path (RTAX_*).
func (c *conn) metrics(r vrrp.Route) {
	values := []struct {
		kind  uint16
		value int
	}{
		{unix.RTAX_MTU, r.MTU}, {unix.RTAX_WINDOW, r.Window}, {unix.RTAX_ADVMSS, r.AdvMSS}, {unix.RTAX_HOPLIMIT, r.HopLimit},
		{unix.RTAX_INITCWND, r.InitCwnd}, {unix.RTAX_INITRWND, r.InitRwnd},
	}
	nest := c.nest(unix.RTA_METRICS)
	empty := len(c.out)
	for _, v := range values {
		if v.value != 0 {
			c.uint32(v.kind, uint32(v.value))
		}
	}
	if len(c.out) == empty {
		c.out = c.out[:nest]
		return
	}
	c.unnest(nest)
}

// onLink is the flag of a next hop that counts as reachable whatever the interface's addresses say.
func onLink(on bool) byte {
	if on {
		return unix.RTNH_F_ONLINK
	}
	return 0
}

// number reads one that may not be there.
func number(what, word string, bits int) (uint64, error) {
	if word == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(word, 0, bits)
	if err != nil {
		return 0, fmt.Errorf("%s %q is no number of %d bits", what, word, bits)
	}
	return n, nil
}

// span reads N or N-M.
func span(what, word string, bits int) (low, high uint64, err error) {
	from, to, two := strings.Cut(word, "-")
	if !two {
		to = from
	}
	if low, err = number(what, from, bits); err != nil {
		return 0, 0, err
	}
	high, err = number(what, to, bits)
	if err == nil && (low > high || from == "" || to == "") {
		err = fmt.Errorf("%s %q is no range", what, word)
	}
	return low, high, err
}

func (c *conn) hops(family byte, hops []vrrp.Hop, indexes []int) {
	nest := c.nest(unix.RTA_MULTIPATH)
	for i, h := range hops {
		at := len(c.out) // struct rtnexthop: length, flags, weight - 1, interface
		c.out = append(c.out, 0, 0, onLink(h.OnLink), byte(max(h.Weight-1, 0)))
		c.out = binary.NativeEndian.AppendUint32(c.out, uint32(indexes[i]))
		c.gateway(family, h.Via)
		binary.NativeEndian.PutUint16(c.out[at:], uint16(len(c.out)-at))
	}
	c.unnest(nest)
}

// gateway appends a next hop; one of the other family needs an attribute that names it.
func (c *conn) gateway(family byte, via netip.Addr) {
	if !via.IsValid() {
		return
	}
	own := byte(unix.AF_INET6)
	if via.Is4() {
		own = unix.AF_INET
	}
	if own == family {
		c.attr(unix.RTA_GATEWAY, via.AsSlice())
		return
	}
	c.attr(unix.RTA_VIA, append(binary.NativeEndian.AppendUint16(nil, uint16(own)), via.AsSlice()...))
}

func (c *conn) uint32(kind uint16, v uint32) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	c.attr(kind, b[:])
}

func routeFamily(r vrrp.Route) byte {
	addresses := []netip.Addr{r.Dst.Addr(), r.Via, r.Src}
	for _, h := range r.Hops {
		addresses = append(addresses, h.Via)
	}
	for _, a := range addresses {
		if a.IsValid() {
			return family(a)
		}
	}
	if r.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (c *conn) newRule(r vrrp.Rule) error {
	return c.rule(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, r)
}

func (c *conn) delRule(r vrrp.Rule) error { return c.rule(unix.RTM_DELRULE, unix.NLM_F_ACK, r) }

func (c *conn) rule(kind, flags uint16, r vrrp.Rule) error {
	action, err := ruleAction(r)
	if err != nil {
		return err
	}
	table, err := ruleTable(r, action)
	if err != nil {
		return err
	}
	more, err := ruleWords(r)
	if err != nil {
		return err
	}
	for _, dev := range []string{r.IIF, r.OIF} {
		if len(dev) >= unix.IFNAMSIZ {
			return fmt.Errorf("interface %q: name is longer than %d bytes", dev, unix.IFNAMSIZ-1)
		}
	}
	at := c.begin(kind, flags)
	c.out = append(c.out, ruleFamily(r), byte(max(r.To.Bits(), 0)), byte(max(r.From.Bits(), 0)), more.tos, shortTable(table), 0, 0, action)
	c.out = binary.NativeEndian.AppendUint32(c.out, more.flags)
	c.selectors(r)
	for _, a := range more.attributes {
		c.attr(a.kind, a.value)
	}
	if table != unix.RT_TABLE_UNSPEC {
		c.uint32(fraTable, table)
	}
	c.attr(fraProtocol, []byte{protocol})
	c.end(at)
	return nil
}

// ruleAction is what a rule does with a packet that it matches: a look into a table, a jump to another rule, or an end.
func ruleAction(r vrrp.Rule) (byte, error) {
	action := byte(actTable)
	switch r.Type {
	case "", "unicast", "lookup", "table":
	case "blackhole":
		action = actBlackhole
	case "unreachable":
		action = actUnreachable
	case "prohibit":
		action = actProhib
	default:
		return 0, fmt.Errorf("unknown type of rule %q", r.Type)
	}
	if r.Goto != 0 {
		action = actGoto
	}
	return action, nil
}

// ruleTable is the table that a rule looks into: main unless it says another one, none if it looks into none or into that
// of the packet's VRF.
func ruleTable(r vrrp.Rule, action byte) (uint32, error) {
	if action != actTable || r.L3MDev {
		return unix.RT_TABLE_UNSPEC, nil
	}
	return tableOf(r.Table)
}

// selectors appends which packets a rule matches, and its place among the rules.
func (c *conn) selectors(r vrrp.Rule) {
	if r.To.IsValid() && r.To.Bits() > 0 {
		c.attr(fraDst, r.To.Masked().Addr().AsSlice())
	}
	if r.From.IsValid() && r.From.Bits() > 0 {
		c.attr(fraSrc, r.From.Masked().Addr().AsSlice())
	}
	if r.IIF != "" {
		c.attr(fraIIFName, append([]byte(r.IIF), 0))
	}
	if r.OIF != "" {
		c.attr(fraOIFName, append([]byte(r.OIF), 0))
	}
	if r.Priority != 0 {
		c.uint32(fraPriority, uint32(r.Priority))
	}
	if r.Fwmark != 0 {
		c.uint32(fraFwmark, r.Fwmark)
	}
	if r.Fwmark != 0 || r.FwmarkMask != 0 {
		mask := r.FwmarkMask
		if mask == 0 {
			mask = 1<<32 - 1
		}
		c.uint32(fraFwmask, mask)
	}
}

// ruleExtras are the rarer words of a rule, as the kernel wants them.
type ruleExtras struct {
	tos        byte
	flags      uint32
	attributes []attribute
}

type attribute struct {
	kind  uint16
	value []byte
}

func ruleWords(r vrrp.Rule) (out ruleExtras, err error) {
	native := binary.NativeEndian
	add := func(kind uint16, value []byte) { out.attributes = append(out.attributes, attribute{kind, value}) }
	tos, err := number("tos", r.TOS, 8)
	if err != nil {
		return out, err
	}
	out.tos = byte(tos)
	if r.Not {
		out.flags |= ruleInvert
	}
	if r.Goto != 0 {
		add(fraGoto, native.AppendUint32(nil, uint32(r.Goto)))
	}
	if r.SuppressPrefixLength != nil {
		add(fraSuppress, native.AppendUint32(nil, uint32(*r.SuppressPrefixLength)))
	}
	if r.L3MDev {
		add(fraL3MDev, []byte{1})
	}
	if r.IPProto != "" {
		known := map[string]uint64{"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": icmpv6, "icmpv6": icmpv6, "sctp": 132}
		p, ok := known[r.IPProto]
		if !ok {
			if p, err = number("ipproto", r.IPProto, 8); err != nil {
				return out, err
			}
		}
		add(fraIPProto, []byte{byte(p)})
	}
	for _, s := range []struct {
		what, word string
		kind       uint16
		bits       int
	}{{"sport", r.SPort, fraSPort, 16}, {"dport", r.DPort, fraDPort, 16}, {"uidrange", r.UIDRange, fraUIDRange, 32}} {
		if s.word == "" {
			continue
		}
		low, high, err := span(s.what, s.word, s.bits)
		if err != nil {
			return out, err
		}
		if s.bits == 16 {
			add(s.kind, native.AppendUint16(native.AppendUint16(nil, uint16(low)), uint16(high)))
		} else {
			add(s.kind, native.AppendUint32(native.AppendUint32(nil, uint32(low)), uint32(high)))
		}
	}
	return out, nil
}

func ruleFamily(r vrrp.Rule) byte {
	for _, p := range []netip.Prefix{r.From, r.To} {
		if p.IsValid() {
			return family(p.Addr())
		}
	}
	if r.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// shortTable is the table in the header's one byte; a greater one stands in an attribute alone.
func shortTable(t uint32) byte {
	if t > 255 {
		return unix.RT_TABLE_COMPAT
	}
	return byte(t)
}

func routeType(word string) (byte, error) {
	types := map[string]byte{
		"": unix.RTN_UNICAST, "unicast": unix.RTN_UNICAST, "local": unix.RTN_LOCAL, "broadcast": unix.RTN_BROADCAST,
		"anycast": unix.RTN_ANYCAST, "multicast": unix.RTN_MULTICAST, "blackhole": unix.RTN_BLACKHOLE,
		"unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT, "throw": unix.RTN_THROW,
	}
	t, ok := types[word]
	if !ok {
		return 0, fmt.Errorf("unknown type of route %q", word)
	}
	return t, nil
}

// tableNames is where iproute2 gives tables names.
var tableNames = []string{"/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables", "/usr/lib/iproute2/rt_tables"}

// tableOf reads a routing table's number or name; "" is main.
func tableOf(word string) (uint32, error) {
	switch word {
	case "", "main":
		return unix.RT_TABLE_MAIN, nil
	case "local":
		return unix.RT_TABLE_LOCAL, nil
	case "default":
		return unix.RT_TABLE_DEFAULT, nil
	}
	if n, err := strconv.ParseUint(word, 0, 32); err == nil {
		return uint32(n), nil
	}
	files := slices.Clone(tableNames)
	for _, f := range tableNames {
		more, _ := filepath.Glob(f + ".d/*.conf") // the pattern is well formed
		files = append(files, more...)
	}
	for _, f := range files {
		if n, ok := namedTable(f, word); ok {
			return n, nil
		}
	}
	return 0, fmt.Errorf("unknown routing table %q", word)
}

func namedTable(file, word string) (uint32, bool) {
	f, err := os.Open(file)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if w := strings.Fields(text); len(w) >= 2 && w[1] == word {
			if n, err := strconv.ParseUint(w[0], 0, 32); err == nil {
				return uint32(n), true
			}
		}
	}
	return 0, false
}

func describeRoute(r vrrp.Route) string {
	if len(r.Words) > 0 {
		return strings.Join(r.Words, " ")
	}
	text := r.Dst.String()
	if r.Via.IsValid() {
		text += " via " + r.Via.String()
	}
	if r.Dev != "" {
		text += " dev " + r.Dev
	}
	return text
}

func describeRule(r vrrp.Rule) string {
	if len(r.Words) > 0 {
		return strings.Join(r.Words, " ")
	}
	text := fmt.Sprintf("priority %d", r.Priority)
	if r.From.IsValid() {
		text += " from " + r.From.String()
	}
	if r.To.IsValid() {
		text += " to " + r.To.String()
	}
	return text + " table " + r.Table
}
