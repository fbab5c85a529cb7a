package dump

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// page is a text with keepalived's indentation: sections in arrows, objects at one blank, their keys at three, lists at five.
type page struct {
	bytes.Buffer
	zone *time.Location
}

func (p *page) section(name string) { fmt.Fprintf(p, "------< %s >------\n", name) }
func (p *page) object(kind, name string) {
	fmt.Fprintf(p, " %s = %s\n", kind, name)
}
func (p *page) key(name string, value any) { fmt.Fprintf(p, "   %s = %v\n", name, value) }
func (p *page) line(format string, args ...any) {
	fmt.Fprintf(p, "   "+format+"\n", args...)
}
func (p *page) item(format string, args ...any) { fmt.Fprintf(p, "     "+format+"\n", args...) }

// list prints a heading and its items, or nothing without items.
func (p *page) list(head string, items []string) {
	if len(items) == 0 {
		return
	}
	p.line("%s :", head)
	for _, i := range items {
		p.item("%s", i)
	}
}

func (p *page) when(name string, t time.Time) {
	p.key(name, fmt.Sprintf("%s (%s)", stamp(t), t.In(p.zone).Format("Mon Jan _2 15:04:05.000000 2006")))
}

// Data is keepalived.data: the settings in force and the state of everything, for people and for programs that read the
// topology and the scripts.
func Data(s Snapshot) []byte {
	p := &page{zone: s.Zone}
	if p.zone == nil {
		p.zone = time.UTC
	}
	p.Write(ParentData(s))
	p.section("VRRP Topology")
	for _, in := range s.Config.Instances {
		s.topology(p, in, s.instance(in))
	}
	s.groups(p)
	s.trackers(p)
	s.scripts(p)
	return p.Bytes()
}

// ParentData is keepalived_parent.data: what global_defs come to.
func ParentData(s Snapshot) []byte {
	p := &page{}
	g := s.Config.Global
	set := func(name string, value any) { fmt.Fprintf(p, " %s = %v\n", name, value) }
	p.section("Global definitions")
	set("Network namespace", cmp.Or(g.NetNamespace, "(default)"))
	if g.InstanceName != "" {
		set("Instance name", g.InstanceName)
	}
	set("Router ID", g.RouterID)
	if g.Mail.Server != "" {
		set("Smtp server", g.Mail.Server)
		set("Smtp server port", cmp.Or(g.Mail.Port, 25))
		set("Smtp server connection timeout", seconds(g.Mail.ConnectTimeout))
		set("Email notification from", g.Mail.From)
	}
	for _, to := range g.Mail.To {
		set("Email notification", to)
	}
	set("Default smtp_alert", triple(g.Mail.Alert))
	set("Default smtp_alert_vrrp", triple(g.Mail.AlertVRRP))
	set("Dynamic interfaces", g.DynamicInterfaces)
	if g.DefaultInterface != "" {
		set("Default interface", g.DefaultInterface)
	}
	set("Disable local IGMP", yes(g.DisableLocalIGMP))
	set("FIFO write vrrp states on reload", g.FIFOStatesOnReload)
	set("VRRP notify priority changes", g.NotifyPriorityChanges)
	set("VRRP IPv4 mcast group", g.McastGroup4)
	set("VRRP IPv6 mcast group", g.McastGroup6)
	set("Gratuitous ARP delay", seconds(g.GarpMasterDelay))
	set("Gratuitous ARP repeat", g.GarpMasterRepeat)
	set("Gratuitous ARP refresh timer", seconds(g.GarpMasterRefresh))
	set("Gratuitous ARP refresh repeat", g.GarpMasterRefreshRept)
	set("Gratuitous ARP lower priority delay", seconds(or(g.GarpLowerPrioDelay, g.GarpMasterDelay)))
	set("Gratuitous ARP lower priority repeat", or(g.GarpLowerPrioRepeat, g.GarpMasterRepeat))
	set("Num adverts before down", g.DownTimerAdverts)
	set("Send advert after receive lower priority advert", !g.LowerPrioNoAdvert)
	set("Send advert after receive higher priority advert", g.HigherPrioSendAdvert)
	set("Gratuitous ARP interval", fmt.Sprintf("%f", g.GarpInterval.Seconds()))
	set("Gratuitous NA interval", fmt.Sprintf("%f", g.GnaInterval.Seconds()))
	set("VRRP default protocol version", g.Version)
	set("VRRP check unicast_src", g.CheckUnicastSrc)
	set("VRRP skip check advert addresses", g.SkipCheckAdvAddr)
	set("VRRP strict mode", g.Strict)
	fmt.Fprintf(p, " SNMP traps %s\n", able(g.SNMP.EnableTraps))
	fmt.Fprintf(p, " Script security %s\n", able(g.EnableScriptSecurity))
	set("umask", fmt.Sprintf("0%o", or(g.Umask, DefaultUmask)))
	return p.Bytes()
}

// DefaultUmask is what keepalived masks off the modes of the files it makes.
const DefaultUmask = 0o177

func (s Snapshot) topology(p *page, in vrrp.Instance, st Instance) {
	e := settle(in, s.Config.Global)
	p.object("VRRP Instance", in.Name)
	p.key("VRRP Version", e.version)
	if six(in, e.version) {
		p.line("Using Native IPv6")
	}
	if name, ok := s.group(in.Name); ok {
		p.key("Sync group", name)
	}
	p.key("State", st.State)
	if st.State == Backup && st.MasterPrio > 0 {
		p.key("Master router", st.MasterRouter)
		p.key("Master priority", st.MasterPrio)
	}
	if len(in.Unicast.Peers) > 0 {
		p.line("Flags:")
		p.item("Using unicast")
	} else {
		p.line("Flags: none")
	}
	p.key("Wantstate", st.Want)
	p.key("Number of interface and track script faults", st.Faults)
	p.key("Number of track scripts init", st.Pending)
	p.when("Last transition", st.Since)
	p.key("Master down timer", fmt.Sprintf("%d usecs", masterDown(in, st, e).Microseconds()))
	s.network(p, in, st, e)
	s.timing(p, in, st, e)
	s.carried(p, in, st, e)
	s.tracked(p, in)
	s.notifies(p, in.Notifies, e.smtp, true)
	p.key("Notify priority changes", e.priorityChanges)
}

// masterDown is RFC 3768's Master_Down_Interval (section 6.1), with the skew of RFC 9568 in version 3.
func masterDown(in vrrp.Instance, st Instance, e effective) time.Duration {
	skew, advert := time.Duration(256-st.Priority)*time.Second/256, e.advert
	if e.version == 3 {
		advert = cmp.Or(st.MasterAdvert, e.advert)
		skew = time.Duration(256-st.Priority) * advert / 256
	}
	return time.Duration(e.down)*advert + skew
}

func (s Snapshot) network(p *page, in vrrp.Instance, st Instance, e effective) {
	if e.base != "" {
		p.line("Use VMAC, i/f name %s, xmit_base = %v", e.dev, in.VMAC.XmitBase)
		p.key("Interface", e.dev+", vmac on "+e.base)
	} else {
		p.key("Interface", e.dev)
	}
	if in.DontTrackPrim {
		p.line("VRRP interface tracking disabled")
	}
	if e.skipCheck {
		p.line("Skip checking advert IP addresses")
	}
	if e.strict {
		p.line("Enforcing strict VRRP compliance")
	}
	if st.Source.IsValid() {
		from := ""
		if in.McastSrcIP.IsValid() {
			from = " (from configuration)"
		}
		p.key("Using src_ip", st.Source.String()+from)
	}
	if len(in.Unicast.Peers) == 0 {
		p.line("Multicast address %s", multicast(in, s.Config.Global, e))
	}
}

func multicast(in vrrp.Instance, g vrrp.Global, e effective) netip.Addr {
	switch {
	case in.McastDstIP.IsValid():
		return in.McastDstIP
	case six(in, e.version):
		return g.McastGroup6
	}
	return g.McastGroup4
}

func (s Snapshot) timing(p *page, in vrrp.Instance, st Instance, e effective) {
	p.key("Gratuitous ARP delay", seconds(e.garpDelay))
	p.key("Gratuitous ARP repeat", e.repeat)
	p.key("Gratuitous ARP refresh", seconds(e.refresh))
	p.key("Gratuitous ARP refresh repeat", e.refreshRepeat)
	p.key("Gratuitous ARP lower priority delay", seconds(e.lowerDelay))
	p.key("Gratuitous ARP lower priority repeat", e.lowerRepeat)
	p.key("Down timer adverts", e.down)
	p.key("Send advert after receive lower priority advert", !e.lowerNoAdvert)
	p.key("Send advert after receive higher priority advert", e.higherSend)
	p.key("Virtual Router ID", in.VirtualRouterID)
	p.key("Priority", in.Priority)
	p.key("Effective priority", st.Priority)
	p.key("Total priority", st.Priority)
	if e.version == 3 {
		p.key("Advert interval", fmt.Sprintf("%d milli-sec", e.advert.Milliseconds()))
	} else {
		p.key("Advert interval", fmt.Sprintf("%d sec", seconds(e.advert)))
	}
	p.key("Accept", able(e.accept))
	p.key("Preempt", able(!e.noPreempt))
	if in.PreemptDelay > 0 {
		p.key("Preempt delay", fmt.Sprintf("%g secs", in.PreemptDelay.Seconds()))
	}
	p.key("Promote_secondaries", able(in.Promote))
}

func (s Snapshot) carried(p *page, in vrrp.Instance, st Instance, e effective) {
	if e.version == 2 {
		switch in.AuthType {
		case vrrp.AuthNone:
			p.key("Authentication type", "none")
		case vrrp.AuthPass:
			p.key("Authentication type", "SIMPLE_PASSWORD")
			p.key("Password", in.AuthPass)
		default:
			p.key("Authentication type", "IPSEC_AH")
		}
	}
	p.line("Virtual IP (%d):", len(in.Addresses))
	for _, a := range in.Addresses {
		p.item("%s", address(a, e, st.AddressesOn))
	}
	p.list("Virtual IP Excluded", each(in.Excluded, func(a vrrp.Address) string { return address(a, e, st.AddressesOn) }))
	if len(in.Unicast.Peers) > 0 {
		p.key("Unicast TTL", cmp.Or(in.Unicast.TTL, 255))
		p.line("Check unicast src : %s", yes(or(in.Unicast.CheckSrc, s.Config.Global.CheckUnicastSrc)))
		p.list("Unicast Peer", each(in.Unicast.Peers, func(u vrrp.Peer) string {
			return fmt.Sprintf("%s min_ttl %d max_ttl %d", u.Addr, u.MinTTL, cmp.Or(u.MaxTTL, 255))
		}))
	}
	p.list("Virtual Routes", each(in.Routes, route))
	p.list("Virtual Rules", each(in.Rules, rule))
}

func each[T any](all []T, text func(T) string) []string {
	out := make([]string, 0, len(all))
	for _, a := range all {
		out = append(out, text(a))
	}
	return out
}

func (s Snapshot) tracked(p *page, in vrrp.Instance) {
	var links []string
	for _, t := range in.TrackInterfaces {
		if t.Name != in.Interface {
			links = append(links, fmt.Sprintf("%s weight %d%s", t.Name, t.Weight, reverse(t.Reverse)))
		}
	}
	p.list("Tracked interfaces", links)
	p.list("Tracked scripts", each(in.TrackScripts, func(t vrrp.Track) string {
		w, r := s.weightOf(t)
		return fmt.Sprintf("%s weight %d%s", t.Name, w, reverse(r))
	}))
	other := func(t vrrp.Track) string {
		w, r := s.weightOf(t)
		return fmt.Sprintf("%s, weight %d%s", t.Name, w, reverse(r))
	}
	p.list("Tracked files", each(in.TrackFiles, other))
	p.list("Tracked processes", each(in.TrackProcesses, other))
}

// weightOf is the weight a tracker has where it is named: the one written there, or its own.
func (s Snapshot) weightOf(t vrrp.Track) (int, bool) {
	weight, reversed := 0, false
	switch c := s.Config; {
	case slices.ContainsFunc(c.Scripts, func(x vrrp.Script) bool { weight, reversed = x.Weight, x.Reverse; return x.Name == t.Name }):
	case slices.ContainsFunc(c.Files, func(x vrrp.File) bool { weight, reversed = x.Weight, x.Reverse; return x.Name == t.Name }):
	case slices.ContainsFunc(c.Processes, func(x vrrp.Process) bool { weight, reversed = x.Weight, x.Reverse; return x.Name == t.Name }):
	}
	return or(t.Weight, weight), (reversed || t.Reverse) && !t.NoReverse
}

func reverse(yes bool) string {
	if yes {
		return " reverse"
	}
	return ""
}

func (s Snapshot) notifies(p *page, n vrrp.Notifies, smtp, instance bool) {
	p.key("Using smtp notification", yes(smtp))
	if instance {
		deleted := "Fault"
		if n.SayDeleted || len(n.Deleted.Argv) > 0 {
			deleted = "Deleted"
		}
		p.key("Notify deleted", deleted)
	}
	for _, c := range []struct {
		what string
		cmd  vrrp.Command
	}{
		{"Backup", n.Backup}, {"Master", n.Master}, {"Fault", n.Fault}, {"Stop", n.Stop}, {"Deleted", n.Deleted},
		{"Generic", n.Any}, {"Master rx lower pri", n.MasterRxLower},
	} {
		if len(c.cmd.Argv) == 0 {
			continue
		}
		p.key(c.what+" state transition script", command(c.cmd.Argv)+", user "+cmp.Or(c.cmd.User, s.Config.Global.ScriptUser, "(own)"))
	}
}

func (s Snapshot) groups(p *page) {
	if len(s.Config.SyncGroups) == 0 {
		return
	}
	p.section("VRRP Sync groups")
	for _, g := range s.Config.SyncGroups {
		p.object("VRRP Sync Group", g.Name+", "+s.Groups[g.Name].String())
		p.list("VRRP member instances", g.Members)
		m := s.Config.Global.Mail
		p.list("Tracked scripts", each(g.TrackScripts, func(t vrrp.Track) string {
			w, r := s.weightOf(t)
			return fmt.Sprintf("%s weight %d%s", t.Name, w, reverse(r))
		}))
		s.notifies(p, g.Notifies, or(g.SMTPAlert, or(m.AlertVRRP, or(m.Alert, false))), false)
	}
}

func (s Snapshot) trackers(p *page) {
	if len(s.Config.Files) > 0 {
		p.section("VRRP Track files")
	}
	for _, f := range s.Config.Files {
		p.object("Track file", f.Name)
		p.key("File", f.Path)
		p.key("Status", s.Files[f.Name].Value)
		p.key("Weight", f.Weight)
		s.users(p, f.Name, func(in vrrp.Instance) []vrrp.Track { return in.TrackFiles })
	}
	if len(s.Config.Processes) > 0 {
		p.section("VRRP Track processes")
	}
	for _, t := range s.Config.Processes {
		st := s.Processes[t.Name]
		p.object("VRRP Track process", t.Name)
		p.key("Process", t.Command)
		p.key("Min processes", t.Quorum)
		p.key("Current processes", st.Count)
		p.key("Have quorum", st.Quorum)
		p.key("Weight", t.Weight)
		p.key("Terminate delay", fmt.Sprintf("%fs", t.TerminateDelay.Seconds()))
		p.key("Fork delay", fmt.Sprintf("%fs", t.ForkDelay.Seconds()))
		p.key("Full command", t.FullCommand)
		s.users(p, t.Name, func(in vrrp.Instance) []vrrp.Track { return in.TrackProcesses })
	}
}

func (s Snapshot) users(p *page, name string, of func(vrrp.Instance) []vrrp.Track) {
	p.line("Tracking instances :")
	for _, in := range s.Config.Instances {
		for _, t := range of(in) {
			if t.Name == name {
				w, r := s.weightOf(t)
				p.item("%s, weight %d%s", in.Name, w, reverse(r))
			}
		}
	}
}

func (s Snapshot) scripts(p *page) {
	if len(s.Config.Scripts) > 0 {
		p.section("VRRP Scripts")
	}
	for _, c := range s.Config.Scripts {
		st := s.Scripts[c.Name]
		p.object("VRRP Script", c.Name)
		p.key("Command", scriptCommand(c))
		p.key("Interval", fmt.Sprintf("%g sec", c.Interval.Seconds()))
		p.key("Timeout", fmt.Sprintf("%g sec", c.Timeout.Seconds()))
		p.key("Weight", itoa(c.Weight)+reverse(c.Reverse))
		p.key("Rise", c.Rise)
		p.key("Fall", c.Fall)
		initial := "unknown"
		if c.InitFail && !st.Known {
			initial = "failed"
		}
		p.key("Init state", initial)
		p.key("Status", scriptStatus(st))
		s.users(p, c.Name, func(in vrrp.Instance) []vrrp.Track { return in.TrackScripts })
		state := "idle"
		if st.Running {
			state = "running"
		}
		p.key("State", state)
	}
}

func scriptStatus(s Script) string {
	switch {
	case !s.Known:
		return "INIT"
	case s.Good:
		return "GOOD"
	}
	return "BAD"
}

func able(on bool) string {
	if on {
		return "enabled"
	}
	return "disabled"
}

func yes(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

func triple(on *bool) string {
	switch {
	case on == nil:
		return "unset"
	case *on:
		return "on"
	}
	return "off"
}
