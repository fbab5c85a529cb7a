package words

import "strings"

// keepalivedUnused are the words of global_defs that are read and mean nothing here.
func keepalivedUnused() []Word {
	var out []Word
	for _, l := range []struct {
		note string
		typ  Type
		lvs  bool
		text string
	}{
		{noProc, Line, false, `vrrp_priority vrrp_rt_priority vrrp_rlimit_rttime vrrp_no_swap vrrp_cpu_affinity checker_priority checker_rt_priority
			checker_rlimit_rttime checker_no_swap checker_cpu_affinity bfd_priority bfd_rt_priority bfd_rlimit_rttime bfd_no_swap
			bfd_cpu_affinity max_auto_priority min_auto_priority_delay`},
		{noNames, Line, false, `process_names vrrp_process_name checker_process_name lvs_process_name bfd_process_name`},
		{noBufs, Line, false, `vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force
			vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force lvs_netlink_cmd_rcv_bufs
			lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force
			process_monitor_rcv_bufs process_monitor_rcv_bufs_force`},
		{noLVS, Line, true, `lvs_sync_daemon lvs_flush lvs_flush_on_stop lvs_timeouts lvs_notify_fifo lvs_notify_fifo_script checker_log_all_failures
			no_checker_emails rs_init_notifies smtp_alert_checker nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark`},
		{noAgent, Line, false, `snmp_socket enable_snmp_vrrp enable_snmp_keepalived enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_checker
			snmp_name`},
		{noDBus, Line, false, `enable_dbus dbus_service_name`},
		{noFiles, Line, false, `config_save_dir tmp_config_directory`},
	} {
		for w := range strings.FieldsSeq(l.text) {
			out = append(out, Word{Name: w, Dialect: Keepalived, In: []string{"global_defs"}, Type: l.typ, Status: Accepted, Note: l.note, LVS: l.lvs,
				Doc: "A word of keepalived's own machinery."})
		}
	}
	for _, a := range [][2]string{{"vrrp_rlimit_rtime", "vrrp_rlimit_rttime"}, {"checker_rlimit_rtime", "checker_rlimit_rttime"},
		{"bfd_rlimit_rtime", "bfd_rlimit_rttime"}, {"lvs_flush_onstop", "lvs_flush_on_stop"}} {
		out = append(out, Word{Name: a[0], Dialect: Keepalived, In: []string{"global_defs"}, Type: Line, Status: Alias, Note: a[1], Class: tolerated})
	}
	for _, l := range []struct{ scope, text string }{
		{"global_defs", `vrrp_delay_after_boot json_version json_dump_file state_dump_file stats_dump_file set_supplementary_groups
			use_symlink_paths vrrp_owner_ignore_adverts`},
		{"vrrp_instance", `no_virtual_ipaddress timer_expired_backup thread_timer_expired v3_checksum_as_v2 owner_ignore_adverts`},
	} {
		for w := range strings.FieldsSeq(l.text) {
			out = append(out, Word{Name: w, Dialect: Keepalived, In: []string{l.scope}, Type: Line, Status: Accepted, Class: tolerated,
				Note: "words that keepalived has since 2.3 are not followed yet", Doc: "A word of newer releases of keepalived."})
		}
	}
	return out
}

// keepalivedLater are the words that keepalived has and this release does not: they are refused by name.
func keepalivedLater() []Word {
	var out []Word
	for _, l := range []struct {
		scope, note string
		lvs         bool
		text        string
	}{
		{"keepalived", "", true, `virtual_server virtual_server_group SSL`},
		{"keepalived", noBFD, false, `bfd_instance`},
		{"vrrp_instance", noBFD, false, `track_bfd`},
		{"vrrp_sync_group", noBFD, false, `track_bfd`},
		{"authentication", "", false, `mode active_key time_window anti_replay`},
	} {
		for w := range strings.FieldsSeq(l.text) {
			out = append(out, Word{Name: w, Dialect: Keepalived, In: []string{l.scope}, Type: Line, Status: NotYet, Note: l.note, LVS: l.lvs})
		}
	}
	return out
}
