package vip

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// firstRulePriority is what the first rule without a priority gets; each further one gets one less. keepalived's numbers.
const firstRulePriority = 16384

// Plan is what an instance needs of this package.
type Plan struct {
	Instance  string
	Interface string // adverts are sent and heard on it: the instance's own, its virtual MAC, or, without one, its VRF
	Source    string // interface whose address adverts are sent from
	IPv6      bool   // the virtual router's family
	Group     Group
	VMACs     []VMAC
	// Extra is what garp_extra_if refreshes: the virtual MACs that no advert leaves by, so that switches forget them.
	Extra []string
}

// Plans works out what each instance of a configuration needs, in its order, and the names of virtual MACs so that no
// two are alike. It touches nothing. The problems are settings that can't be; their instances are left out.
func Plans(c vrrp.Config) ([]Plan, source.Problems) {
	var ps source.Problems
	c.Instances = withRulePriorities(c)
	names := names{}
	var plans []Plan
	for _, in := range c.Instances {
		p, err := planOf(in, c.Global, names)
		if err != nil {
			ps.Errorf(in.Pos, "", "vrrp_instance %s: %v", in.Name, err)
			continue
		}
		plans = append(plans, p)
	}
	return plans, ps
}

// NewSetup is what all the plans and the static part of the configuration want of the machine: an argument of Prepare.
func NewSetup(c vrrp.Config, plans []Plan) Setup {
	s := Setup{
		Table: c.Global.Nftables, Static: staticWithPriorities(c), Delays: c.Global.InterfaceDelays,
		Filter:      FilterStyle{Priority: c.Global.NftablesPriority, Counters: c.Global.NftablesCounters},
		NoLocalIGMP: c.Global.DisableLocalIGMP,
		Pacing:      Pacing{GarpInterval: c.Global.GarpInterval, GnaInterval: c.Global.GnaInterval, Groups: c.GarpGroups},
	}
	for i, a := range s.Static.Addresses {
		if a.Dev == "" {
			s.Static.Addresses[i].Dev = cmp.Or(c.Global.DefaultInterface, "eth0") // keepalived's default
		}
	}
	promote := map[string]bool{}
	for _, in := range c.Instances {
		promote[in.Interface] = promote[in.Interface] || in.Promote
	}
	for dev, on := range promote {
		if on {
			s.Promote = append(s.Promote, dev)
		}
	}
	slices.Sort(s.Promote)
	for _, p := range plans {
		s.VMACs = append(s.VMACs, p.VMACs...)
		s.Groups = append(s.Groups, p.Group)
	}
	return s
}

func planOf(in vrrp.Instance, g vrrp.Global, names names) (Plan, error) {
	p := Plan{Instance: in.Name, Interface: cmp.Or(in.Interface, in.VRF), Source: in.Interface, IPv6: in.IPv6()}
	p.Group = Group{
		Instance: in.Name, Interface: in.Interface, Lifetime: in.VIPLifetime, Routes: in.Routes, Rules: in.Rules,
		Addresses: slices.Concat(in.Addresses, in.Excluded), Block: takesNone(in, g), Table: g.Nftables,
	}
	if in.VMAC.Use || in.VMAC.IPVlan {
		v, err := vmacOf(in, in.Interface, p.IPv6)
		if err != nil {
			return p, err
		}
		v.Name, err = names.take(in.VMAC.Name, cmp.Or(g.VMACPrefix, "vrrp"), in.VirtualRouterID, p.IPv6)
		if err != nil {
			return p, err
		}
		v.LinkLocal = p.IPv6 && !v.IPVlan && !in.VMAC.XmitBase
		p.VMACs, p.Group.Interface = append(p.VMACs, v), v.Name
		if in.VMAC.XmitBase {
			p.Extra = append(p.Extra, v.Name)
		} else {
			p.Interface = v.Name
		}
	}
	if len(p.VMACs) > 0 { // as keepalived has it: what the virtual router's family can't speak for stays below
		for i, a := range p.Group.Addresses {
			if a.Dev == "" && a.Prefix.Addr().Is6() != p.IPv6 {
				p.Group.Addresses[i].Dev = in.Interface
			}
		}
	}
	above := map[string]string{}
	for i, a := range p.Group.Addresses {
		if a.Dev == "" || a.Dev == in.Interface || !in.VMAC.Addr && !a.UseVMAC {
			continue
		}
		if above[a.Dev] == "" {
			v, err := vmacOf(in, a.Dev, p.IPv6)
			if err == nil {
				v.Name, err = names.take("", cmp.Or(g.VMACAddrPrefix, g.VMACPrefix, "vrrp"), in.VirtualRouterID, p.IPv6)
			}
			if err != nil {
				return p, err
			}
			above[a.Dev] = v.Name
			p.VMACs, p.Extra = append(p.VMACs, v), append(p.Extra, v.Name)
		}
		p.Group.Addresses[i].Dev = above[a.Dev]
	}
	return p, nil
}

// takesNone: a MASTER that does not own the addresses takes no traffic to them. Strict mode says so unless accept does.
func takesNone(in vrrp.Instance, g vrrp.Global) bool {
	strict := g.Strict
	if in.StrictMode != nil {
		strict = *in.StrictMode
	}
	if in.Accept != nil {
		return !*in.Accept && in.Priority != 255
	}
	return strict && in.Priority != 255
}

func vmacOf(in vrrp.Instance, base string, ipv6 bool) (VMAC, error) {
	v := VMAC{Base: base, IPVlan: in.VMAC.IPVlan, IPv6: ipv6}
	if v.IPVlan {
		v.Mode, v.Source = in.VMAC.IPVlanMode, in.VMAC.IPVlanIP
		if src := in.McastSrcIP; !v.Source.IsValid() && src.IsValid() {
			v.Source = netip.PrefixFrom(src, src.BitLen())
		}
		if !ipv6 && !v.Source.IsValid() {
			return v, fmt.Errorf("use_ipvlan needs an address or mcast_src_ip: the ipvlan interface has none to send from")
		}
		return v, nil
	}
	if in.VMAC.MAC != "" {
		mac, err := net.ParseMAC(in.VMAC.MAC)
		if err != nil || len(mac) != 6 {
			return v, fmt.Errorf("use_vmac: %q is no MAC address", in.VMAC.MAC)
		}
		v.MAC = mac
		return v, nil
	}
	family := byte(1)
	if ipv6 {
		family = 2
	}
	v.MAC = append(append(net.HardwareAddr{}, vrrpMAC...), family, byte(in.VirtualRouterID))
	return v, nil
}

// names hands out names of virtual MACs.
type names map[string]bool

func (n names) take(wanted, prefix string, vrid int, ipv6 bool) (string, error) {
	if wanted != "" {
		if n[wanted] {
			return "", fmt.Errorf("use_vmac: two virtual MACs are called %q", wanted)
		}
		n[wanted] = true
		return wanted, nil
	}
	family := 4
	if ipv6 {
		family = 6
	}
	candidates := []string{fmt.Sprintf("%s.%d", prefix, vrid), fmt.Sprintf("%s%d.%d", prefix, family, vrid)}
	for i := 1; ; i++ {
		for _, name := range candidates {
			if !n[name] {
				n[name] = true
				return name, nil
			}
		}
		candidates = []string{fmt.Sprintf("%s%d.%d.%d", prefix, family, vrid, i)}
	}
}

// ruleAt is a rule of the configuration without a priority.
type ruleAt struct {
	pos  source.Pos
	rule *vrrp.Rule
}

// withRulePriorities gives rules without a priority one, in the order in which the files have them.
func withRulePriorities(c vrrp.Config) []vrrp.Instance {
	instances, _ := prioritised(c)
	return instances
}

func staticWithPriorities(c vrrp.Config) vrrp.Static {
	_, static := prioritised(c)
	return static
}

func prioritised(c vrrp.Config) ([]vrrp.Instance, vrrp.Static) {
	var missing []ruleAt
	collect := func(rules []vrrp.Rule) []vrrp.Rule {
		rules = slices.Clone(rules)
		for i := range rules {
			if rules[i].Priority == 0 {
				missing = append(missing, ruleAt{rules[i].Pos, &rules[i]})
			}
		}
		return rules
	}
	static := c.Static
	static.Addresses = slices.Clone(static.Addresses)
	static.Rules = collect(static.Rules)
	instances := slices.Clone(c.Instances)
	for i := range instances {
		instances[i].Rules = collect(instances[i].Rules)
	}
	files := map[string]int{} // in the order in which they were read
	for _, m := range missing {
		if _, known := files[m.pos.File]; !known {
			files[m.pos.File] = len(files)
		}
	}
	slices.SortStableFunc(missing, func(a, b ruleAt) int {
		return cmp.Or(cmp.Compare(files[a.pos.File], files[b.pos.File]), cmp.Compare(a.pos.Line, b.pos.Line))
	})
	for i, m := range missing {
		m.rule.Priority = firstRulePriority - i
	}
	return instances, static
}
