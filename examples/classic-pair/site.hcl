# The classic pair in one file: what haproxy.cfg, lb1.conf and lb2.conf say together.
global {
  log     = ["127.0.0.1 local0"]
  maxconn = 4000
}

frontend "web" {
  mode            = "http"
  bind            = ["*:80"]
  log             = "global"
  option          = ["httplog", "dontlognull"]
  acl             = ["is_api path_beg -i /api/"]
  use_backend     = ["api if is_api"]
  default_backend = "app"
  timeout {
    client = "50s"
  }
}

backend "app" {
  mode    = "http"
  log     = "global"
  balance = "roundrobin"
  cookie  = "SRV insert indirect nocache"
  option  = ["httpchk GET /health", "forwardfor", "redispatch"]
  retries = 3
  timeout {
    connect = "5s"
    server  = "50s"
  }
  server = [
    "app1 192.0.2.21:8080 cookie app1 check inter 2s rise 2 fall 3",
    "app2 192.0.2.22:8080 cookie app2 check inter 2s rise 2 fall 3",
    "spare 192.0.2.23:8080 check backup",
  ]
}

backend "api" {
  mode        = "http"
  log         = "global"
  balance     = "roundrobin"
  stick_table = "type ip size 100k expire 30m"
  stick_on    = "src"
  option      = ["httpchk GET /health", "forwardfor", "redispatch"]
  retries     = 3
  timeout {
    connect = "5s"
    server  = "50s"
  }
  server = [
    "api1 192.0.2.31:8080 check inter 2s rise 2 fall 3",
    "api2 192.0.2.32:8080 check inter 2s rise 2 fall 3",
  ]
}

vrrp_script "chk_web" {
  script   = "/usr/bin/curl -fsS -m 1 -o /dev/null http://127.0.0.1/"
  interval = 2
  weight   = -60
  fall     = 2
  rise     = 2
}

vrrp_instance "VI_1" {
  state             = "MASTER"
  interface         = "eth0"
  virtual_router_id = 51
  priority          = 150
  advert_int        = 1
  authentication {
    auth_type = "PASS"
    auth_pass = "reeve"
  }
  virtual_ipaddress = ["192.0.2.10/24"]
  track_script      = ["chk_web"]
}

node "lb1" {
  router_id = "lb1"
}

node "lb2" {
  router_id = "lb2"
  vrrp_instance "VI_1" {
    state    = "BACKUP"
    priority = 100
  }
}
