# The same in Reeve's own words.
global {
  log      = ["127.0.0.1:514 local0 info"]
  maxconn  = 20000
  nbthread = 2
  daemon   = true
  user     = "haproxy"
  group    = "haproxy"
}

frontend "web" {
  mode    = "http"
  bind    = ["10.0.0.100:80 name vips", "10.0.0.101:80 name vips"]
  maxconn = 10000
  log     = "global"
  option  = ["httplog", "dontlognull", "forwardfor except 127.0.0.0/8"]
  timeout {
    client       = "30s"
    http-request = "10s"
  }
  acl             = ["images path_beg -i /img /static", "shop path_beg /shop"]
  use_backend     = ["static if images !shop || images"]
  default_backend = "app"
}

backend "app" {
  mode    = "http"
  log     = ["global"]
  balance = "roundrobin"
  retries = 2
  option  = ["forwardfor except 127.0.0.0/8", "redispatch", "httpchk GET /health 'HTTP/1.1\r\nHost: www.example.org'"]
  timeout {
    connect      = 5000
    server       = "30s"
    http_request = "10s"
    check        = "3s"
  }
  cookie "SRV" {
    insert   = true
    indirect = true
    nocache  = true
  }
  server "app1" {
    address = "10.0.1.11:8080"
    cookie  = "a1"
    weight  = 3
    maxconn = 200
    check   = true
    inter   = "2s"
    rise    = 2
    fall    = 3
  }
  server "app2" {
    address = "10.0.1.12:8080"
    cookie  = "a2"
    check   = true
  }
  server "spare" {
    address = "10.0.1.13:8080"
    backup  = true
  }
}

backend "static" {
  mode    = "http"
  log     = ["global"]
  balance = "source"
  retries = 2
  option  = ["forwardfor except 127.0.0.0/8", "redispatch"]
  timeout {
    connect      = "5s"
    server       = "30s"
    http_request = "10s"
    check        = "3s"
  }
  stick_table {
    type   = "ip"
    size   = "1m"
    expire = "30m"
  }
  stick_on = "src"
  server   = ["img1 10.0.1.21:80 check fall 5", "img2 img2.example.org:80 check port 8081"]
}

listen "stats" {
  mode    = "http"
  log     = ["global"]
  bind    = ["*:8404"]
  retries = 2
  option  = ["httplog", "dontlognull", "forwardfor except 127.0.0.0/8", "redispatch"]
  timeout {
    connect      = "5s"
    client       = "30s"
    server       = "30s"
    http_request = "10s"
    check        = "3s"
  }
  stats {
    uri     = "/stats"
    refresh = 10
    auth    = ["admin:secret"]
  }
}

global_defs {
  router_id                = "lb1"
  vrrp_garp_master_refresh = 60
  enable_script_security   = true
  script_user              = "root"
}

vrrp_script "chk_haproxy" {
  script   = ["/usr/bin/pgrep", "-x", "haproxy"]
  interval = 2
  weight   = -20
  rise     = 2
  fall     = 2
}

vrrp_script "chk_port" {
  script  = "</dev/tcp/127.0.0.1/80"
  timeout = "3s"
}

vrrp_instance "VI_1" {
  state             = "MASTER"
  interface         = "eth0"
  virtual_router_id = 51
  priority          = 110
  advert_int        = 1
  authentication {
    auth_type = "PASS"
    auth_pass = "s3cret"
  }
  virtual_ipaddress          = ["10.0.0.100/24 dev eth0 label eth0:web", "10.0.0.101/24 dev eth0"]
  virtual_ipaddress_excluded = ["10.0.9.1 dev eth1"]
  track_script               = ["chk_haproxy", "chk_port weight -30"]
  track_interface            = ["eth1 weight 10"]
  notify_master              = "/etc/keepalived/notify.sh master lb1"
  notify                     = ["/etc/keepalived/notify.sh", "any"]
  garp_master_delay          = 3
}

node "lb1" {
  router_id = "lb1"
  vrrp_instance "VI_1" {
    state           = "MASTER"
    interface       = "eth0"
    priority        = 110
    devs            = ["eth0", "eth0", "eth1"]
    track_interface = ["eth1 weight 10"]
    notify_master   = "/etc/keepalived/notify.sh master lb1"
  }
}

node "lb2" {
  router_id = "lb2"
  vrrp_instance "VI_1" {
    state           = "BACKUP"
    interface       = "ens3"
    priority        = 100
    devs            = ["ens3", "ens3", "ens4"]
    track_interface = ["ens4 weight 10"]
    notify_master   = "/etc/keepalived/notify.sh master lb2"
  }
}
