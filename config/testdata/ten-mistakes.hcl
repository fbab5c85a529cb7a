global {
  maxconn = "many"
}

frontend "web" {
  mode            = "http"
  bind            = ["*:80", "*:99999"]
  default_backend = "ap"
  timeout {
    client = "30x"
  }
}

backend "app" {
  mode    = "http"
  balance = "log-hash"
  timeout {
    connect = "5s"
    server  = "30s"
  }
  server "a" {
    address = "10.0.0.1:80"
    wieght  = 3
    check   = "perhaps"
  }
}

vrrp_instance "VI_1" {
  interface         = "eth0"
  virtual_router_id = 256
  priority          = 100
  virtual_ipaddress = ["10.1.1.300/32"]
  election          = clustre
  use_vmacs         = true
}
