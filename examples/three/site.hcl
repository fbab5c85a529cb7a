# One configuration for three nodes on one machine: what is the same everywhere, and the one thing that is not.
# The two servers are those of the first example: go run ./examples/first

frontend "web" {
  mode            = "http"
  bind            = ["127.0.0.2:8080"]
  option          = ["forwardfor"]
  default_backend = "app"
  timeout {
    client = "30s"
  }
}

backend "app" {
  mode    = "http"
  balance = "roundrobin"
  option  = ["httpchk GET /health", "redispatch"]
  timeout {
    connect = "2s"
    server  = "30s"
  }
  stick_table {
    type   = "ip"
    size   = "10k"
    expire = "10m"
  }
  stick_on = "src"
  server   = ["one 127.0.0.1:8081 check inter 500", "two 127.0.0.1:8082 check inter 500"]
}

# Nodes on machines of their own bind the same addresses. These share one machine, where a port has one holder.
node "lb2" {
  frontend "web" {
    bind = ["127.0.0.3:8080"]
  }
}

node "lb3" {
  frontend "web" {
    bind = ["127.0.0.4:8080"]
  }
}
