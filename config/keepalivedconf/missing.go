package keepalivedconf

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// mild are the words that keepalived complains of and passes over when their argument is missing. After any other that
// needs one it reads no further.
var mild = fields(map[string]string{
	"keepalived": "instance net_namespace",
	"global_defs": `router_id notification_email_from default_interface dbus_service_name lvs_sync_daemon lvs_timeouts
		notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script lvs_notify_fifo lvs_notify_fifo_script
		reload_time_file script_user startup_script startup_script_timeout shutdown_script shutdown_script_timeout
		snmp_name snmp_socket tmp_config_directory vrrp_garp_extra_if vrrp_ipsets vrrp_iptables vrrp_vmac_garp_intvl
		vrrp_priority checker_priority bfd_priority vrrp_rt_priority checker_rt_priority bfd_rt_priority
		vrrp_cpu_affinity checker_cpu_affinity bfd_cpu_affinity min_auto_priority_delay vrrp_rx_bufs_policy
		vrrp_rx_bufs_multiplier vrrp_netlink_cmd_rcv_bufs vrrp_netlink_monitor_rcv_bufs lvs_netlink_cmd_rcv_bufs
		lvs_netlink_monitor_rcv_bufs process_monitor_rcv_bufs`,
	"track_file":         "file weight",
	"vrrp_track_process": "weight",
	"vrrp_instance":      "garp_extra_if kernel_rx_buf_size old_unicast_checksum use_ipvlan vmac_garp_intvl",
})

func fields(in map[string]string) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for scope, list := range in {
		out[scope] = map[string]bool{}
		for w := range strings.FieldsSeq(list) {
			out[scope][w] = true
		}
	}
	return out
}

// arguments are how many words a keyword of one line has at least and at most.
func arguments(n tree.Node, scope string) (least, most int) {
	least, most = 1, 1
	switch n.Def.Type {
	case words.Flag:
		least, most = 0, 0
	case words.Bool:
		least = 0
	case words.Script:
		if scope != "vrrp_script" {
			most = 3 // a user and a group
		}
	case words.Line:
		return len(n.Def.Args), max(len(n.Args), len(n.Def.Args))
	}
	if n.Def.Bare {
		least = 0
	}
	return least, most
}

// lacking says that an argument is missing.
func (r *reader) lacking(n tree.Node, scope string) {
	r.ps.Errorf(n.Pos, "", "%s needs a value", tree.Quote(n.Def.Name))
	r.ps.As(source.ClassParameter)
	if mild[scope][n.Def.Name] {
		r.ps.As(source.ClassTolerated)
	}
}

// lost raises the class of surplus words that are keywords which the block is not complete without: keepalived says
// nothing of the words, but of what it then misses.
func (r *reader) lost(nodes []tree.Node, scope string, first int) {
	needed := map[string]source.Class{}
	switch scope {
	case "vrrp_instance":
		needed["interface"], needed["virtual_router_id"] = source.ClassFatal, source.ClassFatal
	case "authentication":
		needed["auth_pass"] = source.ClassTolerated
	}
	for _, n := range nodes {
		delete(needed, n.Def.Name)
	}
	for _, n := range nodes {
		for _, w := range n.Torn {
			class := needed[w]
			for i := first; class != 0 && i < len(r.ps); i++ {
				if p := &r.ps[i]; p.Class == source.ClassSilent && p.Pos.Line == n.Pos.Line && p.Pos.File == n.Pos.File {
					p.Class = max(p.Class, class)
				}
			}
		}
	}
}
