package config

import (
	"strings"
	"testing"
)

const goodProxy = " timeout connect 1s\n timeout client 1s\n timeout server 1s\n"

// TestProblemsHaveTheirPlace: one mistake, one message, at the word that is wrong. The first line of each text names the
// format.
func TestProblemsHaveTheirPlace(t *testing.T) {
	defaults := "defaults\n mode http\n" + goodProxy // 5 lines
	for _, c := range []struct{ name, text, want string }{
		{"a.cfg", defaults + "frontend f\n bind :1\n default_backend nope\nbackend nopf\n",
			"a.cfg:8:18: error: there is no backend 'nope' (did you mean 'nopf'?)"},
		{"a.cfg", defaults + "frontend f\n bind :1\n acl a path_beg /\n use_backend b if !aa\nbackend b\n",
			"a.cfg:9:19: error: there is no acl 'aa' in 'f' (did you mean 'a'?)"},
		{"a.cfg", defaults + "backend b\nbackend b\n", "a.cfg:7:1: error: backend 'b' was already defined at a.cfg:6:1"},
		{"a.cfg", defaults + "listen l\n bind :1\nlisten l\n bind :2\n", "a.cfg:8:1: error: frontend 'l' was already defined at a.cfg:6:1"},
		{"a.cfg", defaults + "frontend f\n bind :1\n bind *:1\n", "a.cfg:8:7: error: 0.0.0.0:1 is listened on already at a.cfg:7:7"},
		{"a.cfg", defaults + "frontend f\n bind :1\n default_backend b\nbackend b\n mode tcp\n",
			"a.cfg:8:18: error: frontend 'f' is in http mode and backend 'b' in tcp mode (write mode http in both)"},
		{"a.cfg", defaults + "backend b\n stick on src\n",
			"a.cfg:7:11: error: backend 'b' has no stick-table (write stick-table type ip size 1m expire 30m)"},
		{"a.cfg", defaults + "backend b\n cookie C insert\n server s 127.0.0.1:1\n",
			"a.cfg:7:2: warning: no server of backend 'b' has a value for the cookie 'C' (write cookie VALUE on the servers' lines)"},
		{"a.cfg", "listen l\n bind :1\n timeout connect 1s\n",
			"a.cfg:1:1: warning: listen 'l' has no timeout: client, server (write timeout client 30s)"},
		{"a.cfg", defaults + "frontend f\n default_backend b\nbackend b\n", "a.cfg:6:1: warning: frontend 'f' listens nowhere (write bind *:80)"},
		{"a.cfg", defaults + "backend b\n server s :80", "a.cfg:7:14: error: the last line has no line feed (the file may have been cut short)\n" +
			"a.cfg:7:11: error: ':80' is no address of a server (ADDRESS:PORT or NAME:PORT)"},
		{"a.cfg", defaults + "backend b\n server s 300.1.1.1:80\n", "a.cfg:7:11: error: '300.1.1.1:80' is no address of a server (ADDRESS:PORT or NAME:PORT)"},
		{"a.cfg", defaults + "backend b\n option httpchk GET health\n", "a.cfg:7:21: error: 'health' is no URI for a check (a path, as in /health)"},
		{"a.cfg", "frontend f\n balance roundrobin\n bind :1\n timeout client 1s\n",
			"a.cfg:2:2: warning: 'balance' has no effect in a frontend (it belongs in defaults, backend, listen)"},
		{"a.cfg", "global\n nbproc 2\n", "a.cfg:2:2: warning: 'nbproc' has no effect: there is one process with nbthread event loops"},
		{"a.cfg", "defaults\n contimeout 5000\n", "a.cfg:2:2: warning: 'contimeout' is an old name (write 'timeout connect')"},
		{"a.cfg", "bakend b\n server s 1\n", "a.cfg:1:1: error: unknown keyword 'bakend' outside any section (did you mean 'backend'?)"},
		{"a.cfg", "global\n stats timeout 30s\n maxconn 0\n", "a.cfg:2:2: warning: 'stats timeout' has no effect: there is no Runtime API socket to time out\n" +
			"a.cfg:3:10: error: '0' is no value for 'maxconn' (a number from 1 to 2147483647)"},

		{"k.conf", "vrrp_instance V {\n interface e\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n",
			"k.conf:1:1: error: vrrp_instance 'V' has no virtual_router_id (write virtual_router_id 1..255, the same on all machines)"},
		{"k.conf", "vrrp_instance V {\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n",
			"k.conf:1:1: error: vrrp_instance 'V' has no interface (write interface eth0)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "") + vi("W", "e", 5, "10.0.0.2", ""),
			"k.conf:11:19: error: vrrp_instance 'W' has virtual_router_id 5 on e, as has 'V' at k.conf:1:1 (each virtual router of an interface has its own number)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "") + vi("V", "e", 6, "10.0.0.2", ""), "k.conf:9:1: error: vrrp_instance 'V' was already defined at k.conf:1:1"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "advert_int 0.5"),
			"k.conf:7:12: error: '0.5' is no time for 'advert_int' (whole seconds; VRRP version 2 knows no parts of them)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "advert_int 1.5"),
			"k.conf:7:12: error: '1.5' is no time for 'advert_int' (whole seconds; VRRP version 2 knows no parts of them)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "advert_int 1s"), "k.conf:7:12: error: '1s' is no time for 'advert_int' (a number of seconds)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "state MASTER\npriority 9\nnopreempt"),
			"k.conf:9:1: warning: state MASTER cancels nopreempt in vrrp_instance 'V' (write state BACKUP on all machines)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "authentication {\nauth_type PASS\nauth_pass 123456789\n}"),
			"k.conf:9:11: warning: only the first 8 bytes of auth_pass are used (keepalived does the same)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "authentication {\nauth_type PASS\n}"),
			"k.conf:8:11: error: vrrp_instance 'V' has auth_type PASS and no auth_pass (write auth_pass on a line of its own)"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1 10.0.0.2", ""), "k.conf:5:10: error: surplus word '10.0.0.2' after an address (one address per line)"},
		{"k.conf", vi("V", "e", 5, "fe80::1%e", ""), "k.conf:5:1: error: 'fe80::1%e' is no address (ADDRESS[/LENGTH] [dev IF] [label L])"},
		{"k.conf", vi("V", "waytoolonginterface", 5, "10.0.0.1", ""),
			"k.conf:2:11: error: 'waytoolonginterface' can't be the name of an interface (at most 15 bytes, as in eth0)"},
		{"k.conf", "global_defs {\n smtp_alert\n smtp_server x\n}\n",
			"k.conf:1:1: warning: smtp_alert is set, but no mail is sent without a server and recipients (write smtp_server HOST and notification_email { ... })"},
		{"k.conf", vi("V", "e", 5, "10.0.0.1", "virtual_routes {\n10.7.0.0/16 dev e vrf red\n}"),
			"k.conf:8:19: warning: 'vrf' of a route is not followed: it does not go to that VRF's table (write its table: 'table N')"},
		{"k.conf", "global_defs {\n random_seed 7\n}\n", "k.conf:2:2: warning: 'random_seed' has no effect: ${_RANDOM} is another number at every reading"},
		{"k.conf", "http {\n}\n", "k.conf: error: nginx.conf is not supported yet"},
		{"x.hcl", "node \"a\" {\n vrrp_instance \"V\" {\n priority = 5\n }\n}\n", "x.hcl:2:2: error: node 'a': there is no vrrp_instance 'V'"},
		{"x.yaml", "", "x.yaml: error: unknown kind of file (files end in .hcl, .cfg (haproxy.cfg) or .conf (keepalived.conf))"},
		{"x.hcl", "encrypt = \"short\"\n", "x.hcl:1:12: error: 'encrypt' is no key: 16, 24 or 32 bytes in base64 (what `reeve keygen` prints)"},
	} {
		_, ps := parseText(t, c.name, c.text)
		var got []string
		for _, p := range ps {
			got = append(got, p.Error())
		}
		wanted := strings.Split(c.want, "\n")
		if len(got) == 2 && len(wanted) == 2 && got[0] == wanted[1] {
			got[0], got[1] = got[1], got[0]
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s:\n%s\n got %s\nwant %s", c.name, c.text, strings.Join(got, "\n     "), c.want)
		}
	}
}

// vi is an instance in eight lines less one: the address in line 5, more in line 7.
func vi(name, dev string, vrid int, address, more string) string {
	return "vrrp_instance " + name + " {\ninterface " + dev + "\nvirtual_router_id " + itoa(vrid) + "\nvirtual_ipaddress {\n" + address + "\n}\n" + more + "\n}\n"
}

func TestStockFileIsAccepted(t *testing.T) {
	files, ps := ReadFiles([]string{"/etc/haproxy/haproxy.cfg"})
	if len(ps) > 0 {
		t.Fatalf("package haproxy: %v", ps)
	}
	_, _, ps = Load(files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	var warned []string
	for _, p := range ps {
		warned = append(warned, strings.Fields(p.Text)[0])
	}
	for _, w := range []string{"'chroot'", "'stats"} {
		if !strings.Contains(strings.Join(warned, " "), w) {
			t.Errorf("no warning about %s among %v", w, warned)
		}
	}
}

func TestValidateOfADocumentFromElsewhere(t *testing.T) {
	d := mustLoad(t, "classic-pair/site.hcl")
	if ps := Validate(d); ps.HasErrors() {
		t.Errorf("a good document: %v", ps)
	}
	d.VRRP.Instances[0].VirtualRouterID = 300
	d.VRRP.Instances[0].Priority = 0
	d.VRRP.Instances[0].AdvertInt = 1
	d.Proxy.Frontends[0].DefaultBackend = "gone"
	d.Proxy.Backends[0].Servers[0].Check = "gone"
	if n := len(Validate(d)); n != 5 {
		t.Errorf("%d problems, want 5: %v", n, Validate(d))
	}
}
