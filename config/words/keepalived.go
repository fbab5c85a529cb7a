package words

import "time"

const (
	noMail = "no mail is sent yet"
	noV6   = "IPv6 instances are not run yet"
	noProc = "process priorities and locks stay as they are"
)

var keepalivedTop = []Word{
	{Name: "global_defs", Type: Block, Sub: "global_defs", Doc: "Settings of every instance. Blocks add up, the last value wins."},
	{Name: "vrrp_script", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "vrrp_script", Doc: "A command that says by its exit status whether something is well."},
	{Name: "vrrp_instance", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "vrrp_instance", Doc: "A set of addresses that one machine of several carries."},
}

var keepalivedGlobal = []Word{
	{Name: "router_id", Type: String, Field: "RouterID", Doc: "Label in mails and dumps, never on the wire. Default: the host's name."},
	{Name: "vrrp_version", Type: Enum, Enum: []string{"", "", "2"}, Later: []string{"3"}, Field: "Version", Default: "2", Doc: "Version of VRRP that instances speak."},
	{Name: "vrrp_mcast_group4", Type: Addr, Field: "McastGroup4", Default: "224.0.0.18", Doc: "Multicast group of the adverts."},
	{Name: "vrrp_skip_check_adv_addr", Type: Bool, Field: "SkipCheckAdvAddr", Doc: "Do not compare the address list of an advert from the same source as the one before."},
	{Name: "vrrp_strict", Type: Bool, Field: "Strict", Doc: "Hold to the letter of the RFC."},
	{Name: "vrrp_garp_master_delay", Type: Duration, Unit: time.Second, Max: 86400, Field: "GarpMasterDelay", Default: "5s", Doc: "Time from becoming master to the second burst of gratuitous ARP; 0: no second burst."},
	{Name: "vrrp_garp_master_repeat", Type: Int, Min: 1, Max: 255, Field: "GarpMasterRepeat", Default: "5", Doc: "Frames of a burst."},
	{Name: "vrrp_garp_master_refresh", Type: Duration, Unit: time.Second, Max: 86400, Field: "GarpMasterRefresh", Default: "0", Doc: "Time between announcements while master; 0: none."},
	{Name: "vrrp_garp_master_refresh_repeat", Type: Int, Min: 1, Max: 255, Field: "GarpMasterRefreshRept", Default: "1", Doc: "Frames of such an announcement."},
	{Name: "vrrp_garp_interval", Type: Duration, Unit: time.Second, Max: 4294, Field: "GarpInterval", Default: "0", Doc: "Pause between two frames on an interface; 0: none."},
	{Name: "script_user", Type: Line, Doc: "`script_user USER [GROUP]`: who runs scripts that do not say."},
	{Name: "enable_script_security", Type: Bool, Field: "EnableScriptSecurity", Doc: "Refuse to run as root what others than root may change."},
	{Name: "notification_email", Type: Strings, Field: "Mail.To", Status: Accepted, Note: noMail, Doc: "Who gets mails."},
	{Name: "notification_email_from", Type: String, Field: "Mail.From", Status: Accepted, Note: noMail, Doc: "Sender of mails."},
	{Name: "smtp_server", Type: Line, Args: []string{"host"}, Field: "Mail.Server", Status: Accepted, Note: noMail, Doc: "`smtp_server HOST [PORT]`"},
	{Name: "smtp_connect_timeout", Type: Duration, Unit: time.Second, Max: 86400, Field: "Mail.ConnectTimeout", Default: "0", Status: Accepted, Note: noMail, Doc: "Longest wait for the mail server."},
	{Name: "smtp_helo_name", Type: String, Status: Accepted, Note: noMail, Doc: "Name given to the mail server."},
	{Name: "smtp_alert", Type: Bool, Status: Accepted, Note: noMail, Doc: "Mail by default."},
	{Name: "smtp_alert_vrrp", Type: Bool, Status: Accepted, Note: noMail, Doc: "Mail for instances by default."},
	{Name: "no_email_faults", Type: Bool, Status: Accepted, Note: noMail, Doc: "No mail for faults."},
	{Name: "vrrp_mcast_group6", Type: String, Status: Accepted, Note: noV6, Doc: "Multicast group of IPv6 adverts."},
	{Name: "vrrp_gna_interval", Type: Duration, Unit: time.Second, Max: 4294, Status: Accepted, Note: noV6, Doc: "Pause between two neighbour advertisements."},
	{Name: "vrrp_iptables", Type: Line, Status: Accepted, Note: "no firewall rules are made", Doc: "Chains for the rules of no_accept."},
	{Name: "vrrp_ipsets", Type: Line, Status: Accepted, Note: "no firewall rules are made", Doc: "Sets for the rules of no_accept."},
	{Name: "vrrp_check_unicast_src", Type: Bool, Status: Accepted, Note: "adverts go by multicast only", Doc: "Drop unicast adverts of strangers."},
	{Name: "vrrp_garp_lower_prio_delay", Type: Duration, Unit: time.Second, Max: 86400, Status: Accepted, Note: "the usual announcements follow a lower advert", Doc: "As vrrp_garp_master_delay, after a lower advert."},
	{Name: "vrrp_garp_lower_prio_repeat", Type: Int, Max: 255, Status: Accepted, Note: "the usual announcements follow a lower advert", Doc: "As vrrp_garp_master_repeat, after a lower advert."},
	{Name: "vrrp_min_garp", Type: Bool, Status: Accepted, Note: "the usual announcements are sent", Doc: "One frame instead of a burst."},
	{Name: "vrrp_lower_prio_no_advert", Type: Bool, Status: Accepted, Note: "a lower advert is answered", Doc: "Do not answer a lower advert."},
	{Name: "vrrp_higher_prio_send_advert", Type: Bool, Status: Accepted, Note: "a higher advert is not answered", Doc: "Answer a higher advert before yielding."},
	{Name: "vrrp_priority", Type: Int, Min: -20, Max: 19, Status: Accepted, Note: noProc, Doc: "Nice value."},
	{Name: "vrrp_rt_priority", Type: Int, Max: 99, Status: Accepted, Note: noProc, Doc: "Real-time priority."},
	{Name: "vrrp_rlimit_rttime", Type: Int, Status: Accepted, Note: noProc, Doc: "Limit of real-time CPU use."},
	{Name: "vrrp_rlimit_rtime", Type: Int, Status: Alias, Note: "vrrp_rlimit_rttime"},
	{Name: "vrrp_no_swap", Type: Flag, Status: Accepted, Note: noProc, Doc: "Keep the process in memory."},
	{Name: "vrrp_cpu_affinity", Type: Line, Status: Accepted, Note: noProc, Doc: "CPUs to run on."},
	{Name: "vrrp_process_name", Type: String, Status: Accepted, Note: noProc, Doc: "Name of the process."},
	{Name: "vrrp_rx_bufs_policy", Type: Line, Status: Accepted, Note: "socket buffers have their usual size", Doc: "Size of receive buffers."},
	{Name: "vrrp_rx_bufs_multiplier", Type: Int, Status: Accepted, Note: "socket buffers have their usual size", Doc: "Size of receive buffers."},
	{Name: "vrrp_netlink_cmd_rcv_bufs", Type: Int, Status: Accepted, Note: "socket buffers have their usual size", Doc: "Size of netlink buffers."},
	{Name: "vrrp_netlink_monitor_rcv_bufs", Type: Int, Status: Accepted, Note: "socket buffers have their usual size", Doc: "Size of netlink buffers."},
}

var keepalivedScript = []Word{
	{Name: "script", Type: Script, Doc: "The command. It runs without a shell unless it needs one (redirections, pipes, `;`, `&&`, `$`, patterns)."},
	{Name: "shell", Dialect: HCL, Type: String, Field: "Shell", Doc: "A line for `/bin/sh -c`, in place of `script`."},
	{Name: "interval", Type: Duration, Unit: time.Second, Min: 1, Max: 86400, Field: "Interval", Default: "1s", Doc: "Time between two runs."},
	{Name: "timeout", Type: Duration, Unit: time.Second, Min: 1, Max: 86400, Field: "Timeout", Doc: "Longest run; more is a failure. Default: the interval."},
	{Name: "weight", Type: Line, Args: []string{"weight"}, Doc: "`weight N [reverse]`: added to the priority while the script succeeds (N > 0) or fails (N < 0), -253..253. 0: failure is FAULT."},
	{Name: "rise", Type: Int, Min: 1, Max: 1<<31 - 1, Field: "Rise", Default: "1", Doc: "Successes in a row that make it good."},
	{Name: "fall", Type: Int, Min: 1, Max: 1<<31 - 1, Field: "Fall", Default: "1", Doc: "Failures in a row that make it bad."},
	{Name: "user", Type: Line, Doc: "`user USER [GROUP]`: who runs it."},
	{Name: "init_fail", Type: Flag, Field: "InitFail", Doc: "Bad until it has been good `rise` times."},
	{Name: "reverse", Dialect: HCL, Type: Flag, Field: "Reverse", Doc: "The weight counts the other way round."},
}

var keepalivedInstance = []Word{
	{Name: "state", Type: Enum, Enum: []string{"", "MASTER", "BACKUP"}, Field: "State", Doc: "Almost cosmetic: everybody starts as BACKUP. MASTER cancels nopreempt and preempt_delay."},
	{Name: "interface", Type: String, Field: "Interface", Doc: "Where adverts go, and the addresses unless they say otherwise."},
	{Name: "virtual_router_id", Type: Int, Min: 1, Max: 255, Field: "VirtualRouterID", Doc: "Number of the virtual router, the same on all its machines and different from others of the segment."},
	{Name: "priority", Type: Int, Min: 1, Max: 255, Field: "Priority", Default: "100", Doc: "The highest becomes master. 255 is the address's owner: no weight changes it."},
	{Name: "advert_int", Type: Duration, Unit: time.Second, Max: 255, Field: "AdvertInt", Default: "1s", Doc: "Time between adverts, whole seconds in version 2. The same on all machines."},
	{Name: "version", Type: Enum, Enum: []string{"", "", "2"}, Later: []string{"3"}, Field: "Version", Default: "2", Doc: "Version of VRRP."},
	{Name: "authentication", Type: Block, Sub: "authentication", Doc: "Password of VRRPv2."},
	{Name: "auth_type", In: []string{"authentication"}, Type: Enum, Enum: []string{"", "PASS"}, Later: []string{"AH", "HMAC"}, Field: "AuthType", Doc: "PASS: a plain password."},
	{Name: "auth_pass", In: []string{"authentication"}, Type: String, Field: "AuthPass", Doc: "The password, at most 8 bytes."},
	{Name: "mcast_src_ip", Type: Addr, Field: "McastSrcIP", Doc: "Source address of adverts. Default: the interface's first."},
	{Name: "nopreempt", Type: Flag, Field: "NoPreempt", Doc: "Do not take over from a working master of lower priority."},
	{Name: "preempt_delay", Type: Duration, Unit: time.Second, Max: 1000, Field: "PreemptDelay", Default: "0", Doc: "Wait that long before taking over from a lower master."},
	{Name: "virtual_ipaddress", Type: Lines, Field: "Addresses", Doc: "`ADDRESS[/LEN] [brd X|+|-] [dev IF] [scope S] [label L]`, one a line: what the master carries."},
	{Name: "virtual_ipaddress_excluded", Type: Lines, Field: "Excluded", Doc: "The same, but not listed in adverts."},
	{Name: "track_script", Type: Lines, Field: "TrackScripts", Doc: "`NAME [weight N [reverse]]`, one a line: scripts that change the priority."},
	{Name: "track_interface", Type: Lines, Field: "TrackInterfaces", Doc: "`IF [weight N [reverse]]`, one a line: interfaces that must be up (weight 0) or change the priority."},
	{Name: "dont_track_primary", Type: Flag, Field: "DontTrackPrim", Doc: "The state of the own interface does not matter."},
	{Name: "garp_master_delay", Type: Duration, Unit: time.Second, Max: 86400, Field: "Garp.MasterDelay", Doc: "As vrrp_garp_master_delay."},
	{Name: "garp_master_repeat", Type: Int, Min: 1, Max: 255, Field: "Garp.MasterRepeat", Doc: "As vrrp_garp_master_repeat."},
	{Name: "garp_master_refresh", Type: Duration, Unit: time.Second, Max: 86400, Field: "Garp.MasterRefresh", Doc: "As vrrp_garp_master_refresh."},
	{Name: "garp_master_refresh_repeat", Type: Int, Min: 1, Max: 255, Field: "Garp.RefreshRepeat", Doc: "As vrrp_garp_master_refresh_repeat."},
	{Name: "garp_lower_prio_delay", Type: Duration, Unit: time.Second, Max: 86400, Status: Accepted, Note: "the usual announcements follow a lower advert", Doc: "As garp_master_delay, after a lower advert."},
	{Name: "garp_lower_prio_repeat", Type: Int, Max: 255, Status: Accepted, Note: "the usual announcements follow a lower advert", Doc: "As garp_master_repeat, after a lower advert."},
	{Name: "notify_master", Type: Script, Field: "Notifies.Master.Argv", Doc: "Command to run on becoming master."},
	{Name: "notify_backup", Type: Script, Field: "Notifies.Backup.Argv", Doc: "Command to run on becoming backup."},
	{Name: "notify_fault", Type: Script, Field: "Notifies.Fault.Argv", Doc: "Command to run on a fault."},
	{Name: "notify_stop", Type: Script, Field: "Notifies.Stop.Argv", Doc: "Command to run at the end."},
	{Name: "notify", Type: Script, Field: "Notifies.Any.Argv", Doc: "Command to run on every change; gets INSTANCE, name, state and priority."},
	{Name: "smtp_alert", Type: Bool, Field: "SMTPAlert", Status: Accepted, Note: noMail, Doc: "Mail on every change."},
	{Name: "debug", Type: Int, Max: 4, Field: "Debug", Default: "0", Doc: "How much is logged."},
	{Name: "election", Dialect: HCL, Type: Enum, Enum: []string{"auto", "vrrp", "cluster"}, Field: "Election", Default: "auto", Doc: "Who decides about the address: the cluster's quorum, or VRRP alone (for a router shared with other machines). auto: the cluster if there is one."},
	{Name: "on_quorum_loss", Dialect: HCL, Type: Enum, Enum: []string{"auto", "release", "vrrp"}, Field: "OnQuorumLoss", Default: "auto", Doc: "Without a majority in reach: let go for good (release), or go on by plain VRRP. auto: vrrp with one or two voters, release with three or more."},
	{Name: "vip_lifetime", Dialect: HCL, Type: Duration, Unit: time.Second, Max: 86400, Field: "VIPLifetime", Default: "2s", Doc: "Lifetime the kernel gives the address and that the holder keeps extending, the last line of defence. 0: for ever."},
}
