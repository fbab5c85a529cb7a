package words

import "github.com/reeve-lb/reeve/internal/source"

const (
	tolerated = source.ClassTolerated
	fatal     = source.ClassFatal
	// maxRepeat: frames of a burst. keepalived has no bound; nobody waits for a million frames.
	maxRepeat = 1000
)

var keepalivedGlobal = []Word{
	{Name: "router_id", Type: String, Field: "RouterID", Doc: "Label in mails and dumps, never on the wire. Default: the host's name."},
	{Name: "vrrp_version", Type: Enum, Enum: []string{"", "", "2", "3"}, Field: "Version", Default: "2", Doc: "Version of VRRP that instances speak; those with IPv6 addresses always 3."},
	{Name: "vrrp_mcast_group4", Type: Addr, Field: "McastGroup4", Default: "224.0.0.18", Doc: "Multicast group of the adverts."},
	{Name: "vrrp_mcast_group6", Type: Addr, Field: "McastGroup6", Default: "ff02::12", Doc: "Multicast group of IPv6 adverts."},
	{Name: "vrrp_skip_check_adv_addr", Type: Bool, Field: "SkipCheckAdvAddr", Doc: "Do not compare the address list of an advert from the same source as the one before."},
	{Name: "vrrp_check_unicast_src", Type: Bool, Field: "CheckUnicastSrc", Doc: "Drop unicast adverts of who is no peer."},
	{Name: "vrrp_strict", Type: Bool, Field: "Strict", Doc: "Hold to the letter of the RFC: no authentication, no unicast, and who does not own the addresses does not answer at them."},
	{Name: "vrrp_garp_master_delay", Type: Duration, Max: 86400, Field: "GarpMasterDelay", Default: "5s", Doc: "Time from becoming master to the second burst of gratuitous ARP; 0: no second burst."},
	{Name: "vrrp_garp_master_repeat", Type: Int, Min: 1, Max: maxRepeat, Floor: true, Field: "GarpMasterRepeat", Default: "5", Doc: "Frames of a burst."},
	{Name: "vrrp_garp_master_refresh", Type: Duration, Max: 1 << 24, Field: "GarpMasterRefresh", Default: "0", Doc: "Time between announcements while master; 0: none."},
	{Name: "vrrp_garp_master_refresh_repeat", Type: Int, Min: 1, Max: maxRepeat, Floor: true, Field: "GarpMasterRefreshRept", Default: "1", Doc: "Frames of such an announcement."},
	{Name: "vrrp_garp_lower_prio_delay", Type: Duration, Max: 86400, Field: "GarpLowerPrioDelay", Doc: "As vrrp_garp_master_delay, after a lower advert. Default: the same."},
	{Name: "vrrp_garp_lower_prio_repeat", Type: Int, Max: maxRepeat, Field: "GarpLowerPrioRepeat", Doc: "As vrrp_garp_master_repeat, after a lower advert. Default: the same."},
	{Name: "vrrp_garp_interval", Type: Duration, Max: 4294, Field: "GarpInterval", Default: "0", Doc: "Pause between two gratuitous ARPs on an interface; 0: none."},
	{Name: "vrrp_gna_interval", Type: Duration, Max: 4294, Field: "GnaInterval", Default: "0", Doc: "Pause between two neighbour advertisements on an interface; 0: none."},
	{Name: "vrrp_garp_extra_if", Type: Line, Args: []string{"time"}, Doc: "`vrrp_garp_extra_if [all] TIME`: announce addresses on other interfaces than the instance's that often; without `all` on virtual ones only."},
	{Name: "vrrp_vmac_garp_intvl", Type: Line, Status: Alias, Note: "vrrp_garp_extra_if", Class: tolerated},
	{Name: "vmac_garp_intvl", Dialect: HCL, Type: Line, Status: Alias, Note: "vrrp_garp_extra_if"},
	{Name: "vrrp_min_garp", Type: Bool, Field: "MinGarp", Doc: "One frame instead of two bursts."},
	{Name: "vrrp_lower_prio_no_advert", Type: Bool, Field: "LowerPrioNoAdvert", Doc: "Do not answer a lower advert."},
	{Name: "vrrp_higher_prio_send_advert", Type: Bool, Field: "HigherPrioSendAdvert", Doc: "Answer a higher advert before yielding."},
	{Name: "vrrp_down_timer_adverts", Type: Int, Min: 1, Max: 100, Field: "DownTimerAdverts", Default: "3", Doc: "Adverts that may be missing before a master counts as gone."},
	{Name: "vrrp_startup_delay", Type: Duration, Max: 4294, Field: "StartupDelay", Default: "0", Doc: "Wait that long after the start before instances begin."},
	{Name: "vrrp_notify_priority_changes", Type: Bool, Field: "NotifyPriorityChanges", Doc: "Write changes of the priority to the FIFOs too."},
	{Name: "log_unknown_vrids", Type: Flag, Field: "LogUnknownVRIDs", Doc: "Log adverts of virtual routers that are not ours."},
	{Name: "dynamic_interfaces", Type: Line, Doc: "`dynamic_interfaces [allow_if_changes]`: interfaces may be missing, come and go (FAULT until they are there)."},
	{Name: "default_interface", Type: String, Field: "DefaultInterface", Default: "", Doc: "Interface of static addresses that name none. Default: eth0."},
	{Name: "disable_local_igmp", Type: Flag, Field: "DisableLocalIGMP", Doc: "No IGMP reports for 224.0.0.0/24 at all."},
	{Name: "vmac_prefix", Type: String, Field: "VMACPrefix", Doc: "How names of macvlans begin. Default: vrrp."},
	{Name: "vmac_addr_prefix", Type: String, Field: "VMACAddrPrefix", Doc: "The same for macvlans of addresses on other interfaces. Default: vmac_prefix."},
	{Name: "nftables", Type: String, Bare: true, Field: "Nftables", Doc: "Table of the firewall rules that vmac and strict need. Default: keepalived."},
	{Name: "nftables_priority", Type: Int, Min: -1 << 31, Max: 1<<31 - 1, Field: "NftablesPriority", Doc: "Priority of its chains. Default: -1."},
	{Name: "nftables_counters", Type: Flag, Field: "NftablesCounters", Doc: "Its rules count packets."},
	{Name: "nftables_ifindex", Type: Flag, Status: Accepted, Note: "rules name interfaces by name", Doc: "Rules name interfaces by number."},
	{Name: "vrrp_iptables", Dialect: Keepalived, Type: Line, Doc: "`vrrp_iptables [IN [OUT]]`: taken for nftables; chains of iptables are left alone."},
	{Name: "vrrp_ipsets", Type: Line, Status: Accepted, Note: "rules are in nftables, which needs no ipsets", Class: tolerated, Doc: "Sets for the rules of no_accept."},

	{Name: "script_user", Type: Line, Doc: "`script_user USER [GROUP]`: who runs scripts that do not say."},
	{Name: "enable_script_security", Type: Bool, Field: "EnableScriptSecurity", Doc: "Refuse to run as root what others than root may change."},
	{Name: "startup_script", Type: Script, Field: "Startup", Doc: "Command to run once before instances begin."},
	{Name: "startup_script_timeout", Type: Duration, Min: 1, Max: 1000, Field: "Startup.Timeout", Default: "10s", Doc: "Longest run of it."},
	{Name: "shutdown_script", Type: Script, Field: "Shutdown", Doc: "Command to run once after they ended."},
	{Name: "shutdown_script_timeout", Type: Duration, Min: 1, Max: 1000, Field: "Shutdown.Timeout", Default: "10s", Doc: "Longest run of it."},
	{Name: "notify_fifo", Type: Line, Args: []string{"path"}, Doc: "`notify_fifo PATH [USER [GROUP]]`: a named pipe that every transition is written to, one a line."},
	{Name: "notify_fifo_script", Type: Script, Field: "FIFO.Script", Doc: "Command that reads it; it gets the path as its last argument."},
	{Name: "vrrp_notify_fifo", Type: Line, Args: []string{"path"}, Doc: "The same for instances and groups alone."},
	{Name: "vrrp_notify_fifo_script", Type: Script, Field: "VRRPFIFO.Script", Doc: "Command that reads it."},
	{Name: "fifo_write_vrrp_states_on_reload", Type: Flag, Field: "FIFOStatesOnReload", Doc: "Write all states again at a reload."},

	{Name: "notification_email", Type: Strings, Field: "Mail.To", Doc: "Who gets mails."},
	{Name: "notification_email_from", Type: String, Field: "Mail.From", Doc: "Sender of mails. Default: the user at this host."},
	{Name: "smtp_server", Type: Line, Args: []string{"host"}, Doc: "`smtp_server HOST [PORT]`: where mails go. Without it, or without notification_email, none are sent."},
	{Name: "smtp_connect_timeout", Type: Duration, Min: 1, Max: 4294, Floor: true, Field: "Mail.ConnectTimeout", Default: "30s", Doc: "Longest wait for the mail server, to connect and for each answer."},
	{Name: "smtp_helo_name", Type: String, Field: "Mail.HeloName", Doc: "Name given to the mail server. Default: the host's name."},
	{Name: "smtp_alert", Type: Bool, Field: "Mail.Alert", Doc: "Mail by default."},
	{Name: "smtp_alert_vrrp", Type: Bool, Field: "Mail.AlertVRRP", Doc: "Mail for instances and groups by default."},
	{Name: "no_email_faults", Type: Bool, Field: "Mail.NoFaults", Doc: "No mail for faults."},
	{Name: "enable_traps", Type: Flag, Field: "SNMP.EnableTraps", Doc: "Send SNMP traps: to the trap_sink of `snmp { }`."},

	{Name: "process_name", Type: String, Bare: true, Field: "ProcessName", Doc: "Name of the process."},
	{Name: "data_use_instance", Type: Bool, Field: "DataUseInstance", Doc: "The names of dumps carry `instance` and `net_namespace`."},
	{Name: "reload_check_config", Type: Line, Field: "ReloadCheckConfig", Doc: "Look at a configuration before a reload. That is so in any case: a broken one changes nothing."},
	{Name: "reload_time_file", Type: String, Field: "ReloadTimeFile", Doc: "File with the time of the next reload: `HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`, with an optional Z."},
	{Name: "reload_repeat", Type: Flag, Field: "ReloadRepeat", Doc: "Leave that file, and reload every day."},
	{Name: "reload_file", Type: String, Bare: true, Doc: "File that is there while the configuration is read."},
	{Name: "include_check", Type: Line, Status: Accepted, Note: "a file that is missing is said in any case", Doc: "Which includes have to be there."},
	{Name: "umask", Type: Line, Args: []string{"mask"}, Doc: "Mask of files that are made: a number (022), or bits as IWGRP|IWOTH."},
	{Name: "random_seed", Type: Int, Field: "RandomSeed", Status: Accepted, Note: "${_RANDOM} is another number at every reading", Doc: "Beginning of ${_RANDOM}."},

	{Name: "net_namespace", Dialect: HCL, Type: String, Field: "NetNamespace", Doc: "Network namespace to run in; it can't change at a reload."},
	{Name: "instance", Dialect: HCL, Type: String, Field: "InstanceName", Doc: "Name of this one of several daemons on a machine."},
	{Name: "use_pid_dir", Dialect: HCL, Type: Flag, Field: "UsePIDDir", Doc: "Pid files in a directory of their own."},
	{Name: "linkbeat_use_polling", Dialect: HCL, Type: Flag, Status: Accepted, Note: noPoll, Doc: "Ask interfaces for their state."},
}

// keepalivedUsers are HCL's words for what follows a quoted command in keepalived.conf.
func keepalivedUsers() []Word {
	var out []Word
	for _, rows := range [][]Word{keepalivedGlobal, keepalivedGroups, keepalivedInstance} {
		for _, w := range rows {
			if w.Type == Script {
				out = append(out, Word{Name: w.Name + "_user", Dialect: HCL, In: w.In, Type: Line, Args: []string{"user"}, Field: w.Field + ".User",
					Doc: "`USER [GROUP]`: who runs it. Default: script_user."})
			}
		}
	}
	return out
}
