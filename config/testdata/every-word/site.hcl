global_defs {
  router_id                        = "lb1"
  vrrp_mcast_group4                = "224.0.0.19"
  vrrp_mcast_group6                = "ff02::13"
  vrrp_skip_check_adv_addr         = true
  vrrp_check_unicast_src           = true
  vrrp_garp_master_delay           = "4s"
  vrrp_garp_master_repeat          = 3
  vrrp_garp_master_refresh         = "1m"
  vrrp_garp_master_refresh_repeat  = 2
  vrrp_garp_lower_prio_delay       = "1s"
  vrrp_garp_lower_prio_repeat      = 2
  vrrp_garp_interval               = "1ms"
  vrrp_gna_interval                = "2ms"
  vrrp_lower_prio_no_advert        = true
  vrrp_higher_prio_send_advert     = true
  vrrp_down_timer_adverts          = 4
  vrrp_startup_delay               = "5500ms"
  vrrp_notify_priority_changes     = true
  log_unknown_vrids                = true
  default_interface                = "eth0"
  vmac_prefix                      = "vm"
  vmac_addr_prefix                 = "va"
  nftables                         = "filter"
  nftables_priority                = -5
  nftables_counters                = true
  enable_script_security           = true
  startup_script                   = ["/etc/keepalived/up", "now"]
  startup_script_timeout           = "20s"
  shutdown_script                  = ["/etc/keepalived/down"]
  shutdown_script_timeout          = "30s"
  notify_fifo_script               = ["/etc/keepalived/all", "x"]
  vrrp_notify_fifo_script          = ["/etc/keepalived/vrrp"]
  fifo_write_vrrp_states_on_reload = true
  notification_email               = ["ops@example.org", "night@example.org"]
  notification_email_from          = "lb@example.org"
  smtp_connect_timeout             = "7s"
  smtp_helo_name                   = "lb1.example.org"
  smtp_alert                       = true
  smtp_alert_vrrp                  = false
  no_email_faults                  = true
  process_name                     = "reeve1"
  data_use_instance                = true
  reload_check_config              = true
  reload_time_file                 = "/etc/keepalived/when"
  reload_repeat                    = true
  net_namespace                    = "blue"
  instance                         = "one"
  use_pid_dir                      = true
  startup_script_user              = "root"
  vrrp_garp_extra_if               = "all 100s"
  script_user                      = "keepalived_script"
  dynamic_interfaces               = "allow_if_changes"
  smtp_server                      = "192.0.2.25 2525"
  notify_fifo                      = "/run/all.fifo root adm"
  vrrp_notify_fifo                 = "/run/vrrp.fifo"
  reload_file                      = "/run/reload"
  umask                            = "027"
}

interface_up_down_delays = ["eth0 0.5 2"]

static_ipaddress = ["10.3.0.1/24 dev eth0 scope link track_group T"]

static_routes = ["10.4.0.0/16 via 10.0.0.9 dev eth0 track_group T"]

static_rules = ["from 10.3.0.0/24 table 7 preference 300"]

track_group "T" {
  group = ["VI_1"]
}

vrrp_script "chk" {
  script    = ["/usr/bin/curl", "-sf", "http://127.0.0.1/"]
  interval  = "2s"
  timeout   = "3s"
  rise      = 2
  fall      = 3
  init_fail = true
  reverse   = true
  weight    = -60
  user      = "nobody nogroup"
}

vrrp_track_process "haproxy" {
  process         = "/usr/sbin/haproxy -W"
  param_match     = "partial"
  full_command    = true
  quorum          = 2
  fork_delay      = "500ms"
  terminate_delay = "1500ms"
  reverse         = true
  weight          = 20
  quorum_max      = 9
}

track_file "lever" {
  file      = "/etc/keepalived/lever"
  reverse   = true
  weight    = 2
  init_file = "3 overwrite"
}

vrrp_sync_group "G" {
  group                      = ["VI_1", "VI_6"]
  sync_group_tracking_weight = true
  notify_master              = ["/n", "master"]
  notify_backup              = ["/n"]
  notify_fault               = ["/n"]
  notify_stop                = ["/n"]
  notify                     = ["/n"]
  smtp_alert                 = false
  notify_priority_changes    = true
  notify_master_user         = "root"
  track_script               = ["chk weight 5 noreverse"]
  track_interface            = ["eth2 weight 10 reverse"]
  track_process              = ["haproxy"]
  track_file                 = ["lever weight -1"]
}

garp_group {
  garp_interval = "10ms"
  gna_interval  = "20ms"
  interfaces    = ["eth0", "eth1"]
}

vrrp_instance "VI_1" {
  state                      = "BACKUP"
  interface                  = "eth0"
  virtual_router_id          = 51
  priority                   = 120
  advert_int                 = "2s"
  mcast_src_ip               = "10.0.0.1"
  track_src_ip               = true
  unicast_ttl                = 254
  unicast_fault_no_peer      = true
  check_unicast_src          = true
  vmac_xmit_base             = true
  use_vmac_addr              = true
  accept                     = false
  strict_mode                = false
  skip_check_adv_addr        = false
  promote_secondaries        = true
  down_timer_adverts         = 5
  lower_prio_no_advert       = false
  higher_prio_send_advert    = false
  preempt_delay              = "4500ms"
  dont_track_primary         = true
  garp_master_delay          = "1s"
  garp_master_repeat         = 2
  garp_master_refresh        = "30s"
  garp_master_refresh_repeat = 3
  garp_lower_prio_delay      = "2s"
  garp_lower_prio_repeat     = 0
  notify_deleted             = ["/n", "deleted"]
  notify_master_rx_lower_pri = ["/n", "lower"]
  notify_priority_changes    = false
  debug                      = 3
  notify_master              = ["/n", "master", "x"]
  notify_backup              = ["/n", "backup"]
  notify_fault               = ["/n", "fault"]
  notify_stop                = ["/n", "stop"]
  notify                     = ["/n", "any"]
  smtp_alert                 = true
  notify_master_user         = "root adm"
  authentication {
    auth_type = "PASS"
    auth_pass = "secret"
  }
  unicast_peer         = ["10.0.0.2 min_ttl 200 max_ttl 254", "10.0.0.3"]
  old_unicast_checksum = "never"
  use_vmac             = "v51 02:00:00:00:00:51"
  virtual_ipaddress = [
    "10.0.0.100/24 brd + dev eth0 scope global label eth0:1",
    "10.0.0.101/24 use_vmac no_track noprefixroute preferred_lft forever",
  ]
  virtual_ipaddress_excluded = [
    "10.0.0.102 peer 10.0.0.103/24",
    "2001:db8::100/64 home -nodad mngtmpaddr autojoin preferred_lft 0",
  ]
  virtual_routes = [
    "src 10.0.0.100 to 10.5.0.0/16 via 10.0.0.9 dev eth0 scope global table 5 metric 3 mtu 1400",
    "default table 5 nexthop via 10.0.0.8 dev eth0 weight 2 nexthop via 10.0.0.9 dev eth1 onlink",
    "blackhole 10.6.0.0/16 no_track",
  ]
  virtual_rules = ["from 10.0.0.100 fwmark 0x10/0xff table 5 preference 301 no_track"]
  garp_extra_if = "50s"
}

vrrp_instance "VI_6" {
  interface         = "eth1"
  virtual_router_id = 6
  priority          = 90
  advert_int        = "250ms"
  native_ipv6       = true
  mcast_dst_ip      = "ff02::99"
  accept            = true
  nopreempt         = true
  use_ipvlan        = "iv6 private"
  virtual_ipaddress = ["fe80::6/64", "2001:db8::6/64"]
  track_script      = ["chk"]
  track_interface   = ["eth0 weight -20"]
  notify_deleted    = []
}
