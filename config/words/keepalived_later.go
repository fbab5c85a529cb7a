package words

import "strings"

// keepalivedLater are the words that keepalived has and this release does not: they are refused by name.
func keepalivedLater() []Word {
	var out []Word
	for _, l := range []struct{ scope, words string }{
		{"keepalived", `virtual_server virtual_server_group vrrp_sync_group static_ipaddress static_routes static_rules track_group vrrp_track_process
			track_file vrrp_track_file garp_group bfd_instance net_namespace net_namespace_ipvs instance use_pid_dir linkbeat_interfaces
			linkbeat_use_polling SSL include includer includem includew includeb includea interface_up_down_delays config_id`},
		{"global_defs", `enable_traps vrrp_notify_fifo vrrp_notify_fifo_script notify_fifo notify_fifo_script lvs_notify_fifo
			lvs_notify_fifo_script vrrp_startup_delay vrrp_delay_after_boot vrrp_down_timer_adverts notify_priority_changes
			lvs_sync_daemon lvs_flush lvs_flush_on_stop lvs_flush_onstop lvs_timeouts default_interface dynamic_interfaces
			reload_check_config include_check reload_time_file reload_repeat reload_file max_auto_priority
			min_auto_priority_delay checker_priority checker_rt_priority checker_no_swap checker_rlimit_rttime
			checker_cpu_affinity bfd_priority bfd_rt_priority bfd_no_swap bfd_rlimit_rttime bfd_cpu_affinity log_unknown_vrids
			checker_log_all_failures no_checker_emails rs_init_notifies smtp_alert_checker startup_script shutdown_script
			startup_script_timeout shutdown_script_timeout snmp_socket enable_snmp_vrrp enable_snmp_keepalived
			enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_checker snmp_name enable_dbus
			dbus_service_name process_names process_name checker_process_name bfd_process_name child_wait_time umask
			random_seed config_save_dir tmp_config_directory nftables nftables_counters nftables_priority nftables_ifindex
			nftables_ipvs nftables_ipvs_start_fwmark data_use_instance vmac_prefix vmac_addr_prefix use_symlink_paths
			json_version json_dump_file state_dump_file stats_dump_file set_supplementary_groups disable_local_igmp
			lvs_netlink_cmd_rcv_bufs lvs_netlink_monitor_rcv_bufs process_monitor_rcv_bufs fifo_write_vrrp_states_on_reload
			vmac_garp_intvl vrrp_vmac_garp_intvl mcast_src_ip linkbeat_use_polling`},
		{"vrrp_instance", `use_vmac use_vmac_addr vmac_xmit_base use_ipvlan native_ipv6 unicast_src_ip unicast_peer unicast_ttl
			unicast_fault_no_peer check_unicast_src old_unicast_checksum virtual_routes virtual_rules no_virtual_ipaddress
			promote_secondaries lvs_sync_daemon_interface accept no_accept strict_mode preempt skip_check_adv_addr
			down_timer_adverts timer_expired_backup thread_timer_expired lower_prio_no_advert higher_prio_send_advert
			track_file track_process track_bfd track_src_ip garp_extra_if garp_intvl gna_intvl kernel_rx_buf_size linkbeat_use_polling
			notify_deleted notify_master_rx_lower_pri notify_priority_changes mcast_dst_ip v3_checksum_as_v2
			owner_ignore_adverts vmac_garp_intvl dont_track_bfd vrf`},
		{"authentication", `mode active_key time_window anti_replay`},
	} {
		for w := range strings.FieldsSeq(l.words) {
			out = append(out, Word{Name: w, Dialect: Keepalived, In: []string{l.scope}, Type: Line, Status: NotYet})
		}
	}
	return out
}
