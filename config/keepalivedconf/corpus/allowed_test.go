package corpus

// deliberate are the files of which Reeve says something else than keepalived 2.2.7, and why that is meant.
var deliberate = map[string]string{
	"debug-bare":                     "debug without a level, as keepalived's own examples have it, means level 0; keepalived stops reading",
	"vrrp-rsync-group":               "vrrp_rsync_group is understood as vrrp_sync_group",
	"globals-garp-interval-zero":     "0 means no pause, which is what keepalived does after it refused it",
	"globals-iptables":               "the rules are made with nftables, as keepalived does without iptables",
	"globals-smtp-port":              "an smtp_server that can't be understood costs no more than the mail: the usual port is taken",
	"garp-refresh-fraction":          "a fraction of a second is understood",
	"globals-process-priority-range": "the priority of the process is not touched, so its value does not matter",
	"bfd":                            "there is no BFD: a file that counts on it is not accepted in silence",
}

// notYet are the files with words that are not supported yet.
var notYet = map[string]string{
	"virtual-server": "virtual_server",
}
