package vip

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// defaultTable is what keepalived calls its tables.
const defaultTable = "keepalived"

// Numbers of the headers that the rules look into.
const (
	protoIGMP      = 2
	mldReport      = 143                // RFC 3810 section 5.2
	ndSolicit      = 135                // RFC 4861 section 4.3
	ndAdvert       = 136                // section 4.4
	ndRouter       = 133                // section 4.1
	metaOIFKind    = expr.MetaKey(0x1b) // NFT_META_OIFKIND
	ip4Source      = 12
	ip4Destination = 16
	ip6Source      = 8
	ip6Destination = 24
)

// firewall is the two tables of nftables that virtual MACs and addresses that take no traffic need, each there only as
// long as it has something to say:
//
//   - What the kernel tells of multicast groups for a macvlan goes out by the interface below: switches would else learn
//     the virtual MAC from a BACKUP.
//   - Nothing goes to or comes from an address that is on without being ours to answer for (no_accept, strict mode), but
//     for IPv6's neighbour discovery.
//
// A change writes a whole table in one transaction: packets see the old one or the new one. Its owner is a Manager, under
// its mutex.
type firewall struct {
	name    string
	conn    *nftables.Conn
	vmacs   []pair
	blocked map[string][]blocked // by instance
	there   map[nftables.TableFamily]bool
	how     FilterStyle
}

// FilterStyle is how the rules of nftables are written.
type FilterStyle struct {
	Priority *int // nftables_priority of the chains; nil: -1, just before everybody's filter
	Counters bool // nftables_counters: rules that drop count
}

// style changes how the tables are written.
func (f *firewall) style(s FilterStyle) error {
	same := s.Counters == f.how.Counters && (s.Priority == nil) == (f.how.Priority == nil) && (s.Priority == nil || *s.Priority == *f.how.Priority)
	f.how = s
	if same || len(f.there) == 0 {
		return nil
	}
	return f.write()
}

// pair is a macvlan with the interface below it, by index.
type pair struct {
	index, base int
	ipv6        bool
}

type blocked struct {
	address netip.Addr
	index   int // of a link-local address's interface
}

func newFirewall(name string) *firewall {
	return &firewall{
		name: cmp.Or(name, defaultTable), blocked: map[string][]blocked{}, there: map[nftables.TableFamily]bool{},
	}
}

func (f *firewall) open() error {
	if f.conn != nil {
		return nil
	}
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	f.conn = c
	return nil
}

func (f *firewall) close() error {
	if f.conn == nil {
		return nil
	}
	err := f.conn.CloseLasting()
	f.conn = nil
	return err
}

// forVMACs makes the tables serve these virtual MACs.
func (f *firewall) forVMACs(vmacs []pair) error {
	if slices.Equal(f.vmacs, vmacs) {
		return nil
	}
	f.vmacs = vmacs
	return f.write()
}

// block shuts an instance's addresses, unblock opens them.
func (f *firewall) block(instance string, addresses []blocked) error {
	if slices.Equal(f.blocked[instance], addresses) {
		return nil
	}
	f.blocked[instance] = addresses
	return f.write()
}

func (f *firewall) unblock(instance string) error {
	if _, ok := f.blocked[instance]; !ok {
		return nil
	}
	delete(f.blocked, instance)
	return f.write()
}

// write makes both tables what they should be, or takes them away.
func (f *firewall) write() error {
	var errs []error
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		content := f.content(family)
		if content.empty() && !f.there[family] {
			continue
		}
		if err := f.open(); err != nil {
			return err
		}
		t := f.conn.AddTable(&nftables.Table{Name: f.name, Family: family}) // so that the removal finds one
		f.conn.DelTable(t)
		if !content.empty() {
			errs = append(errs, content.append(f.conn, f.conn.AddTable(t)))
		}
		if err := f.conn.Flush(); err != nil {
			errs = append(errs, fmt.Errorf("nftables: table %s: %w", f.name, err))
			_ = f.close() // what it had queued is gone with it
			continue
		}
		f.there[family] = !content.empty()
	}
	return errors.Join(errs...)
}

// drop takes tables of that name away whether they are ours of this life or of a former one.
func (f *firewall) drop(names ...string) error {
	if err := f.open(); err != nil {
		return err
	}
	for _, name := range names {
		for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
			f.conn.DelTable(f.conn.AddTable(&nftables.Table{Name: name, Family: family}))
			if err := f.conn.Flush(); err != nil {
				_ = f.close()
				return fmt.Errorf("nftables: table %s: %w", name, err)
			}
		}
	}
	return nil
}

// content is what one family's table holds.
type content struct {
	ipv6   bool
	how    FilterStyle
	vmacs  []pair
	vips   []blocked // sorted, each once
	scoped []blocked // link-local ones, which mean something on one interface only
}

func (c content) empty() bool { return len(c.vmacs)+len(c.vips)+len(c.scoped) == 0 }

func (f *firewall) content(family nftables.TableFamily) content {
	c := content{ipv6: family == nftables.TableFamilyIPv6, how: f.how}
	for _, v := range f.vmacs {
		if v.ipv6 == c.ipv6 {
			c.vmacs = append(c.vmacs, v)
		}
	}
	seen := map[blocked]bool{}
	for _, name := range slices.Sorted(maps.Keys(f.blocked)) {
		for _, b := range f.blocked[name] {
			if !local(b.address) {
				b.index = 0
			}
			if b.address.Is6() != c.ipv6 || seen[b] {
				continue
			}
			seen[b] = true
			if local(b.address) {
				c.scoped = append(c.scoped, b)
			} else {
				c.vips = append(c.vips, b)
			}
		}
	}
	return c
}

// local: the address means something on one link only.
func local(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// writer puts one table together.
type writer struct {
	content
	conn    *nftables.Conn
	table   *nftables.Table
	in, out *nftables.Chain
	errs    []error
}

func (c content) append(conn *nftables.Conn, t *nftables.Table) error {
	w := &writer{content: c, conn: conn, table: t}
	w.out = w.chain("out", nftables.ChainHookOutput)
	if len(c.vmacs) > 0 {
		w.multicastReports()
	}
	if len(c.vips)+len(c.scoped) == 0 {
		return errors.Join(w.errs...)
	}
	w.in = w.chain("in", nftables.ChainHookInput)
	if c.ipv6 {
		w.neighbours()
	}
	if len(c.scoped) > 0 {
		w.linkLocal()
	}
	if len(c.vips) > 0 {
		w.addresses()
	}
	return errors.Join(w.errs...)
}

func (w *writer) chain(name string, hook *nftables.ChainHook) *nftables.Chain {
	priority := nftables.ChainPriorityRef(-1)
	if w.how.Priority != nil {
		priority = nftables.ChainPriorityRef(nftables.ChainPriority(*w.how.Priority))
	}
	return w.conn.AddChain(&nftables.Chain{Name: name, Table: w.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority})
}

func (w *writer) set(s *nftables.Set, elements []nftables.SetElement) *nftables.Set {
	s.Table = w.table
	if err := w.conn.AddSet(s, elements); err != nil {
		w.errs = append(w.errs, fmt.Errorf("nftables: set %s: %w", s.Name, err))
	}
	return s
}

func (w *writer) rule(c *nftables.Chain, parts ...[]expr.Any) {
	all := slices.Concat(parts...)
	if v, ok := all[len(all)-1].(*expr.Verdict); ok && v.Kind == expr.VerdictDrop && w.how.Counters {
		all = slices.Insert(all, len(all)-1, expr.Any(&expr.Counter{}))
	}
	w.conn.AddRule(&nftables.Rule{Table: w.table, Chain: c, Exprs: all})
}

// multicastReports: IGMP, or MLD, of a macvlan leaves by its base; router solicitations of a macvlan do not leave.
func (w *writer) multicastReports() {
	elements := make([]nftables.SetElement, len(w.vmacs))
	for i, v := range w.vmacs {
		elements[i] = nftables.SetElement{Key: native(v.index), Val: native(v.base)}
	}
	bases := w.set(&nftables.Set{
		Name: "vmac_map", IsMap: true, KeyType: nftables.TypeIFIndex, DataType: nftables.TypeIFIndex, KeyByteOrder: binaryutil.NativeEndian,
	}, elements)
	kind := make([]byte, unix.IFNAMSIZ)
	copy(kind, "macvlan")
	macvlan := []expr.Any{
		&expr.Meta{Key: metaOIFKind, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: kind},
	}
	report, destination := w.protocolIs(protoIGMP), w.load(ip4Destination)
	if w.ipv6 {
		report, destination = w.icmpIs(mldReport), w.load(ip6Destination)
	}
	w.rule(w.out, report, macvlan, destination, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIF, Register: 2},
		&expr.Lookup{SourceRegister: 2, DestRegister: 2, IsDestRegSet: true, SetName: bases.Name, SetID: bases.ID},
		&expr.Dup{RegAddr: 1, RegDev: 2, IsRegDevSet: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
	if !w.ipv6 {
		return
	}
	for i := range elements {
		elements[i].Val = nil
	}
	own := w.set(&nftables.Set{Name: "vmac_set", KeyType: nftables.TypeIFIndex, KeyByteOrder: binaryutil.NativeEndian}, elements)
	w.rule(w.out, w.icmpIs(ndRouter), macvlan, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIF, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: own.Name, SetID: own.ID},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
}

// neighbours: without neighbour discovery nobody would find the addresses, nor their duplicates.
func (w *writer) neighbours() {
	types := w.set(&nftables.Set{Name: "neighbor-discovery", Constant: true, KeyType: nftables.TypeICMP6Type},
		[]nftables.SetElement{{Key: []byte{ndSolicit}}, {Key: []byte{ndAdvert}}})
	for _, c := range []*nftables.Chain{w.in, w.out} {
		w.rule(c, w.icmp(), []expr.Any{
			&expr.Lookup{SourceRegister: 1, SetName: types.Name, SetID: types.ID},
			&expr.Verdict{Kind: expr.VerdictAccept},
		})
	}
}

func (w *writer) linkLocal() {
	elements := make([]nftables.SetElement, len(w.scoped))
	for i, b := range w.scoped {
		elements[i] = nftables.SetElement{Key: append(b.address.AsSlice(), native(b.index)...)}
	}
	vips := w.set(&nftables.Set{
		Name: "vips_link_local", Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeIFIndex),
	}, elements)
	for _, way := range []struct {
		chain  *nftables.Chain
		name   string
		offset uint32
		key    expr.MetaKey
	}{{w.in, "in_link_local", ip6Destination, expr.MetaKeyIIF}, {w.out, "out_link_local", ip6Source, expr.MetaKeyOIF}} {
		inner := w.conn.AddChain(&nftables.Chain{Name: way.name, Table: w.table})
		w.rule(inner, w.load(way.offset), []expr.Any{
			&expr.Meta{Key: way.key, Register: 2},
			&expr.Lookup{SourceRegister: 1, SetName: vips.Name, SetID: vips.ID},
			&expr.Verdict{Kind: expr.VerdictDrop},
		})
		mask, want := make([]byte, 16), make([]byte, 16)
		copy(mask, []byte{0xff, 0xc0})
		copy(want, []byte{0xfe, 0x80})
		w.rule(way.chain, w.load(way.offset), []expr.Any{
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 16, Mask: mask, Xor: make([]byte, 16)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
			&expr.Verdict{Kind: expr.VerdictGoto, Chain: way.name},
		})
	}
}

func (w *writer) addresses() {
	elements := make([]nftables.SetElement, len(w.vips))
	for i, b := range w.vips {
		elements[i] = nftables.SetElement{Key: b.address.AsSlice()}
	}
	kind, to, from := nftables.TypeIPAddr, uint32(ip4Destination), uint32(ip4Source)
	if w.ipv6 {
		kind, to, from = nftables.TypeIP6Addr, ip6Destination, ip6Source
	}
	vips := w.set(&nftables.Set{Name: "vips", KeyType: kind}, elements)
	drop := []expr.Any{
		&expr.Lookup{SourceRegister: 1, SetName: vips.Name, SetID: vips.ID}, &expr.Verdict{Kind: expr.VerdictDrop},
	}
	w.rule(w.in, w.load(to), drop)
	w.rule(w.out, w.load(from), drop)
}

// load reads an address of the IP header into register 1.
func (w *writer) load(offset uint32) []expr.Any {
	size := uint32(4)
	if w.ipv6 {
		size = 16
	}
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}}
}

// protocolIs compares the protocol of an IPv4 header.
func (w *writer) protocolIs(protocol byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	}
}

// icmp reads the type of an ICMPv6 message into register 1.
func (w *writer) icmp() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{icmpv6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
	}
}

func (w *writer) icmpIs(kind byte) []expr.Any {
	return append(w.icmp(), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind}})
}

func native(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
