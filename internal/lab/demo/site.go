package demo

import (
	"fmt"
	"strings"
)

// backendName is the backend, and the table of its clients.
const backendName = "web"

// proxyFile is the haproxy.cfg of the demo for these servers.
func proxyFile(vips []vip, servers []server) string {
	var b strings.Builder
	b.WriteString(`defaults
    mode http
    retries 3
    option redispatch
    timeout connect 1s
    timeout client 30s
    timeout server 30s

frontend shop
`)
	for _, v := range vips {
		fmt.Fprintf(&b, "    bind %s\n", v.target())
	}
	fmt.Fprintf(&b, `    default_backend %[1]s

backend %[1]s
    balance roundrobin
    stick-table type ip size 100k expire 30m
    stick on src
    option httpchk GET /
`, backendName)
	for _, s := range servers {
		fmt.Fprintf(&b, "    server %s %s:80 check inter 1s\n", s.name, s.addr)
	}
	return b.String()
}

// addressFile is who shall hold which address, in HCL: an instance for each, and the node that prefers it.
func addressFile(vips []vip) string {
	var b strings.Builder
	for i, v := range vips {
		fmt.Fprintf(&b, `vrrp_instance %q {
  interface         = "eth0"
  virtual_router_id = %d
  priority          = 100
  advert_int        = 1
  virtual_ipaddress = ["%s/32"]
}

`, v.instance, 51+i, v.addr)
	}
	for _, v := range vips {
		fmt.Fprintf(&b, `node %q {
  vrrp_instance %q {
    priority = 150
  }
}

`, v.prefers, v.instance)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// files is the whole configuration.
func (s *stage) files(servers []server) []File {
	return []File{
		{Name: "web.cfg", Content: proxyFile(s.vips, servers)},
		{Name: "addresses.hcl", Content: addressFile(s.vips)},
	}
}
