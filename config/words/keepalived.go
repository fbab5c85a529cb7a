package words

import "github.com/reeve-lb/reeve/internal/source"

// The sections of keepalived.conf, and what stands outside of them.
var keepalivedTop = []Word{
	{Name: "global_defs", Type: Block, Sub: "global_defs", Doc: "Settings of every instance. Blocks add up, the last value wins."},
	{Name: "static_ipaddress", Type: Lines, Doc: "Addresses that are there from the start to the end, whoever is master: as in virtual_ipaddress, with `track_group G`. Without `dev` on default_interface."},
	{Name: "static_routes", Type: Lines, Doc: "Routes that are there from the start to the end, as in virtual_routes."},
	{Name: "static_rules", Type: Lines, Doc: "Rules that are there from the start to the end, as in virtual_rules."},
	{Name: "track_group", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "track_group", Doc: "Instances that go to FAULT with a static address, route or rule that names the group."},
	{Name: "interface_up_down_delays", Type: Lines, Doc: "`IF DOWN [UP]`, one a line, in seconds: how long a link has to be down (and up) before that counts."},
	{Name: "linkbeat_interfaces", Type: Lines, Status: Accepted, Note: noPoll, Doc: "Interfaces to ask for their state."},
	{Name: "linkbeat_use_polling", Type: Flag, Status: Accepted, Note: noPoll, Doc: "Ask interfaces for their state."},
	{Name: "net_namespace", Type: String, Field: "NetNamespace", Doc: "Network namespace to run in; it can't change at a reload."},
	{Name: "net_namespace_ipvs", Type: String, Status: Accepted, Note: noLVS, Doc: "Network namespace of IPVS."},
	{Name: "namespace_with_ipsets", Type: Flag, Status: Accepted, Note: "no ipsets are made", Doc: "Make ipsets in a namespace too."},
	{Name: "instance", Type: String, Field: "InstanceName", Doc: "Name of this one of several daemons on a machine: in pid files, logs and `${_INSTANCE}`."},
	{Name: "use_pid_dir", Type: Flag, Field: "UsePIDDir", Doc: "Pid files in a directory of their own."},
	{Name: "child_wait_time", Type: Int, Max: 4294, Status: Accepted, Note: "there are no children to wait for", Doc: "How long the end waits for children."},
	{Name: "vrrp_script", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "vrrp_script", Doc: "A command that says by its exit status whether something is well."},
	{Name: "vrrp_track_process", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "vrrp_track_process", Doc: "A program that has to run, without a command that looks for it."},
	{Name: "track_file", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "track_file", Doc: "A file with a number in it, which times the weight is added to the priority."},
	{Name: "vrrp_track_file", Type: Line, Status: Alias, Note: "track_file"},
	{Name: "vrrp_sync_group", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "vrrp_sync_group", Doc: "Instances that are master together or not at all."},
	{Name: "vrrp_rsync_group", Type: Line, Status: Alias, Class: source.ClassSilent, Note: "vrrp_sync_group"},
	{Name: "garp_group", Type: Block, Sub: "garp_group", Doc: "Interfaces of one switch, whose announcements are paced together."},
	{Name: "vrrp_instance", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "vrrp_instance", Doc: "A set of addresses that one machine of several carries."},
}

// Why words are accepted without an effect.
const (
	noPoll  = "the kernel tells of every change of a link"
	noProc  = "process priorities and locks stay as they are"
	noBufs  = "socket buffers have their usual size"
	noLVS   = "there are no virtual servers yet"
	noBFD   = "there is no BFD"
	noDBus  = "there is no D-Bus interface; the HTTP API and `reeve vip` say the same"
	noAgent = "there is no SNMP agent; traps go to the trap_sink of snmp { }"
	noFiles = "configurations are not copied to files of their own"
	noNames = "there is one process, named reeve"
)

var keepalivedScript = []Word{
	{Name: "script", Type: Script, Doc: "The command. It runs without a shell unless it needs one (redirections, pipes, `;`, `&&`, `$`, patterns)."},
	{Name: "shell", Dialect: HCL, Type: String, Field: "Shell", Doc: "A line for `/bin/sh -c`, in place of `script`."},
	{Name: "interval", Type: Duration, Min: 1, Max: 86400, Floor: true, Field: "Interval", Default: "1s", Doc: "Time between two runs."},
	{Name: "timeout", Type: Duration, Min: 1, Max: 86400, Floor: true, Field: "Timeout", Doc: "Longest run; more is a failure. Default: the interval."},
	{Name: "weight", Type: Line, Args: []string{"weight"}, Doc: "`weight N [reverse]`: added to the priority while the script succeeds (N > 0) or fails (N < 0), -253..253. 0: failure is FAULT; 0 reverse: success is."},
	{Name: "rise", Type: Int, Min: 1, Max: 1<<31 - 1, Field: "Rise", Default: "1", Doc: "Successes in a row that make it good."},
	{Name: "fall", Type: Int, Min: 1, Max: 1<<31 - 1, Field: "Fall", Default: "1", Doc: "Failures in a row that make it bad."},
	{Name: "user", Type: Line, Args: []string{"user"}, Doc: "`user USER [GROUP]`: who runs it."},
	{Name: "init_fail", Type: Flag, Field: "InitFail", Doc: "Bad until it has been good `rise` times."},
	{Name: "reverse", Dialect: HCL, Type: Flag, Field: "Reverse", Doc: "The weight counts the other way round."},
}

var keepalivedProcess = []Word{
	{Name: "process", Type: Line, Args: []string{"process"}, Doc: "`process NAME [PARAMETER...]`: the program, with what it was started with if that matters."},
	{Name: "param_match", Type: Enum, Enum: []string{"", "initial", "partial", "exact"}, Field: "ParamMatch", Doc: "How parameters are compared: the first ones, the beginning of the last one, or all. `exact` without parameters: none."},
	{Name: "full_command", Type: Flag, Field: "FullCommand", Doc: "Compare the whole command line instead of the program's name."},
	{Name: "weight", Type: Line, Args: []string{"weight"}, Doc: "`weight N [reverse]`, -254..254: as in vrrp_script. Default 0, as keepalived 2.2 has it (its manual says 1)."},
	{Name: "quorum", Type: Int, Min: 1, Max: 65535, Field: "Quorum", Default: "1", Doc: "Least number of such processes."},
	{Name: "quorum_max", Type: Int, Max: 65535, Doc: "Greatest number of such processes; 0: it must not run."},
	{Name: "fork_delay", Type: Duration, Max: 3600, Field: "ForkDelay", Default: "0", Doc: "Wait that long after the quorum is there before it counts."},
	{Name: "terminate_delay", Type: Duration, Max: 3600, Field: "TerminateDelay", Default: "0", Doc: "Wait that long after the quorum is lost before it counts."},
	{Name: "delay", Dialect: Keepalived, Type: Duration, Max: 3600, Doc: "Both delays."},
	{Name: "reverse", Dialect: HCL, Type: Flag, Field: "Reverse", Doc: "The weight counts the other way round."},
}

var keepalivedFile = []Word{
	{Name: "file", Type: String, Field: "Path", Doc: "The file."},
	{Name: "weight", Type: Line, Args: []string{"weight"}, Doc: "`weight N [reverse]`, -254..254: what the number in the file is multiplied by. 0: a number other than 0 is FAULT. Default 1."},
	{Name: "init_file", Type: Line, Doc: "`init_file [VALUE] [overwrite]`: written at the start if the file is not there, or in any case."},
	{Name: "reverse", Dialect: HCL, Type: Flag, Field: "Reverse", Doc: "The weight counts the other way round."},
}

// tracking is where the words stand that instances and groups share.
var tracking = []string{"vrrp_sync_group", "vrrp_instance"}

var keepalivedGroups = []Word{
	{Name: "group", In: []string{"vrrp_sync_group", "track_group"}, Type: Strings, Field: "Members", Doc: "The instances."},
	{Name: "track_script", In: tracking, Type: Lines, Field: "TrackScripts", Doc: "`NAME [weight N [reverse|noreverse]]`, one a line: scripts that change the priority."},
	{Name: "track_interface", In: tracking, Type: Lines, Field: "TrackInterfaces", Doc: "`IF [weight N [reverse]]`, one a line: interfaces that must be up (weight 0) or change the priority."},
	{Name: "track_process", In: tracking, Type: Lines, Field: "TrackProcesses", Doc: "`NAME [weight N [reverse|noreverse]]`, one a line: a vrrp_track_process."},
	{Name: "track_file", In: tracking, Type: Lines, Field: "TrackFiles", Doc: "`NAME [weight N [reverse|noreverse]]`, one a line: a track_file."},
	{Name: "sync_group_tracking_weight", Type: Flag, Field: "TrackingWeight", Doc: "Members may have trackers with weights of their own."},
	{Name: "global_tracking", Type: Flag, Status: Accepted, Note: "what the group tracks counts for every member, always", Class: tolerated, Doc: "Old word for trackers of the group."},
	{Name: "notify_master", In: tracking, Type: Script, Field: "Notifies.Master", Doc: "Command to run on becoming master, and `user [group]` after it if it stands in quotes."},
	{Name: "notify_backup", In: tracking, Type: Script, Field: "Notifies.Backup", Doc: "Command to run on becoming backup."},
	{Name: "notify_fault", In: tracking, Type: Script, Field: "Notifies.Fault", Doc: "Command to run on a fault."},
	{Name: "notify_stop", In: tracking, Type: Script, Field: "Notifies.Stop", Doc: "Command to run at the end."},
	{Name: "notify", In: tracking, Type: Script, Field: "Notifies.Any", Doc: "Command to run on every change; gets INSTANCE or GROUP, name, state and priority."},
	{Name: "smtp_alert", In: tracking, Type: Bool, Field: "SMTPAlert", Doc: "Mail on every change. Default: what global_defs say."},
	{Name: "notify_priority_changes", In: []string{"vrrp_sync_group"}, Type: Bool, Field: "PriorityChanges", Doc: "Say changes of the priority too. Default: vrrp_notify_priority_changes."},
	{Name: "garp_interval", In: []string{"garp_group"}, Type: Duration, Max: 4294, Field: "GarpInterval", Default: "0", Doc: "Pause between two gratuitous ARPs."},
	{Name: "gna_interval", In: []string{"garp_group"}, Type: Duration, Max: 4294, Field: "GnaInterval", Default: "0", Doc: "Pause between two neighbour advertisements."},
	{Name: "interface", In: []string{"garp_group"}, Dialect: Keepalived, Type: String, Doc: "The interface."},
	{Name: "interfaces", In: []string{"garp_group"}, Type: Strings, Field: "Interfaces", Doc: "The interfaces."},
}
