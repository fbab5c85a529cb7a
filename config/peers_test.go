package config

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests of this file ask the programs whose files are read here (packages haproxy and keepalived) what they think of
// them. Where Reeve decides otherwise, the table says why.

const cfgHead = `global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
`

const cfgTail = `
backend other
    server s 127.0.0.1:1
`

var haproxyCases = []struct {
	name, text string
	why        string // Reeve decides otherwise because
}{
	{name: "plain", text: "frontend f\n bind 127.0.0.1:1\n default_backend other"},
	{name: "unknown keyword", text: "frontend f\n bind :1\n frobnicate"},
	{name: "no such backend", text: "frontend f\n bind :1\n default_backend nowhere"},
	{name: "no such backend in a rule", text: "frontend f\n bind :1\n acl a path_beg /\n use_backend nowhere if a"},
	{name: "no such acl", text: "frontend f\n bind :1\n use_backend other if nothing"},
	{name: "condition", text: "frontend f\n bind :1\n acl a path_beg -i /x /y\n acl b path_beg -- -z\n use_backend other if a !b or b\n use_backend other unless ! a"},
	{name: "if without a name", text: "frontend f\n bind :1\n use_backend other if", why: "a condition that was forgotten is no condition"},
	{name: "rule without condition", text: "frontend f\n bind :1\n use_backend other"},
	{name: "acl without a value", text: "frontend f\n bind :1\n acl a path_beg\n default_backend other"},
	{name: "acl with an unknown test", text: "frontend f\n bind :1\n acl a path_bog /"},
	{name: "port too large", text: "frontend f\n bind :65536"},
	{name: "port zero", text: "frontend f\n bind :0"},
	{name: "no port", text: "frontend f\n bind 127.0.0.1"},
	{name: "two addresses", text: "frontend f\n bind 127.0.0.1:1,127.0.0.2:2 name n"},
	{name: "IPv6", text: "frontend f\n bind [::1]:1\n bind :::2"},
	{name: "unknown bind word", text: "frontend f\n bind :1 naem x"},
	{name: "bind name without a value", text: "frontend f\n bind :1 name"},
	{name: "server in a frontend", text: "frontend f\n bind :1\n server s 127.0.0.1:1"},
	{name: "balance in a frontend", text: "frontend f\n bind :1\n balance roundrobin"},
	{name: "bind in a backend", text: "backend b\n bind :1", why: "HAProxy ignores the address with a warning; an address that nobody listens on is a mistake"},
	{name: "use_backend in a backend", text: "backend b\n use_backend other"},
	{name: "timeout client in a backend", text: "backend b\n timeout client 3s"},
	{name: "retries in a frontend", text: "frontend f\n bind :1\n retries 3"},
	{name: "frontend without a bind", text: "frontend f\n default_backend other"},
	{name: "weight 256", text: "backend b\n server s 127.0.0.1:1 weight 256"},
	{name: "weight 257", text: "backend b\n server s 127.0.0.1:1 weight 257"},
	{name: "weight -1", text: "backend b\n server s 127.0.0.1:1 weight -1"},
	{name: "wieght", text: "backend b\n server s 127.0.0.1:1 wieght 1"},
	{name: "weight without a value", text: "backend b\n server s 127.0.0.1:1 weight", why: "HAProxy reads the missing value as 0"},
	{name: "check", text: "backend b\n option httpchk GET /x\n server s 127.0.0.1:1 check inter 1s rise 1 fall 1 port 80 fastinter 5 downinter 1m"},
	{name: "rise 0", text: "backend b\n server s 127.0.0.1:1 check rise 0"},
	{name: "inter 0", text: "backend b\n server s 127.0.0.1:1 check inter 0"},
	{name: "same server twice", text: "backend b\n server s 127.0.0.1:1\n server s 127.0.0.1:2"},
	{name: "same backend twice", text: "backend other\n server s 127.0.0.1:1"},
	{name: "same frontend twice", text: "frontend f\n bind :1\nfrontend f\n bind :2"},
	{name: "frontend and backend of a name", text: "frontend other\n bind :1\n default_backend other"},
	{name: "server port too large", text: "backend b\n server s 127.0.0.1:70000"},
	{name: "server without an address", text: "backend b\n server s"},
	{name: "server name with a comma", text: "backend b\n server s,t 127.0.0.1:1", why: "Reeve's statistics do not need the rule"},
	{name: "time 5x", text: "backend b\n timeout server 5x"},
	{name: "time 1.5s", text: "backend b\n timeout server 1.5s"},
	{name: "time overflow", text: "backend b\n timeout server 25d"},
	{name: "time just fits", text: "backend b\n timeout server 24d"},
	{name: "time in us", text: "backend b\n timeout server 1us"},
	{name: "time negative", text: "backend b\n timeout server -1"},
	{name: "time empty", text: "backend b\n timeout server"},
	{name: "unknown timeout", text: "backend b\n timeout serve 1s"},
	{name: "balance unknown", text: "backend b\n balance bestest"},
	{name: "balance source", text: "backend b\n balance source"},
	{name: "mode unknown", text: "backend b\n mode htttp"},
	{name: "cookie", text: "backend b\n cookie C insert indirect nocache\n server s 127.0.0.1:1 cookie x"},
	{name: "cookie bad word", text: "backend b\n cookie C insert indirekt"},
	{name: "stick", text: "backend b\n stick-table type ip size 1m expire 30m\n stick on src"},
	{name: "stick elsewhere", text: "backend b\n stick on src table t\nbackend t\n stick-table type ip size 1k"},
	{name: "stick on no table", text: "backend b\n stick on src"},
	{name: "stick on unknown table", text: "backend b\n stick on src table nowhere"},
	{name: "stick-table without a size", text: "backend b\n stick-table type ip"},
	{name: "stick-table unknown type", text: "backend b\n stick-table type ipp size 1"},
	{name: "stats", text: "listen s\n bind :1\n stats enable\n stats uri /s\n stats refresh 5\n stats realm a\\ b\n stats auth a:b"},
	{name: "stats unknown", text: "listen s\n bind :1\n stats urri /s"},
	{name: "log", text: "frontend f\n bind :1\n log global\n log 127.0.0.1 local0 info err\n log stdout format raw daemon"},
	{name: "log unknown facility", text: "frontend f\n bind :1\n log 127.0.0.1 local9"},
	{name: "log unknown level", text: "frontend f\n bind :1\n log 127.0.0.1 local0 loud"},
	{name: "no log", text: "frontend f\n bind :1\n no log"},
	{name: "no option", text: "frontend f\n bind :1\n no option dontlognull\n no option forwardfor"},
	{name: "no option tcpka", text: "frontend f\n bind :1\n no option tcpka"},
	{name: "no option httplog", text: "frontend f\n bind :1\n no option httplog"},
	{name: "no maxconn", text: "frontend f\n bind :1\n no maxconn"},
	{name: "unknown option", text: "frontend f\n bind :1\n option htplog"},
	{name: "forwardfor", text: "frontend f\n bind :1\n option forwardfor except 10.0.0.0/8 header X-C if-none"},
	{name: "forwardfor except nonsense", text: "frontend f\n bind :1\n option forwardfor except 10.0.0.0/99"},
	{name: "redispatch", text: "backend b\n option redispatch 2\n retries 3"},
	{name: "redispatch nonsense", text: "backend b\n option redispatch often", why: "HAProxy reads it as 0"},
	{name: "quotes", text: "frontend f\n bind \":1\" name 'a b'"},
	{name: "unmatched quote", text: "frontend f\n bind :1 name 'a b"},
	{name: "bad escape", text: "frontend f\n bind :1 name a\\xg1"},
	{name: "comment glued to a word", text: "frontend f\n bind :1# a comment"},
	{name: "empty word", text: "frontend f\n acl x path_beg \"\" /a\n bind :1", why: "HAProxy up to 3.2 ignores the rest of the line; later ones refuse it as well"},
	{name: "too many words", text: "frontend f\n bind :1\n acl a path_beg" + strings.Repeat(" /x", 64)},
	{name: "keyword before a section", text: "", why: ""},
	{name: "frontend without a name", text: "frontend\n bind :1"},
	{name: "bad character in a name", text: "frontend a/b\n bind :1"},
	{name: "surplus word", text: "backend b\n balance roundrobin\n mode http tcp"},
	{name: "http frontend, tcp backend", text: "frontend f\n bind :1\n default_backend t\nbackend t\n mode tcp"},
	{name: "tcp frontend, http backend", text: "frontend f\n mode tcp\n bind :1\n default_backend other", why: "the upgrade of a TCP connection to HTTP is not supported yet"},
	{name: "httplog in tcp mode", text: "frontend f\n mode tcp\n option httplog\n bind :1"},
	{name: "maxconn nonsense", text: "frontend f\n bind :1\n maxconn many", why: "HAProxy reads it as 0"},
	{name: "retries nonsense", text: "backend b\n retries many", why: "HAProxy reads it as 0"},
	{name: "old names", text: "backend b\n contimeout 5000\n srvtimeout 5000", why: "HAProxy up to 2.0 knew them, and files of those days still run"},
	{name: "known and not supported", text: "frontend f\n bind :1\n mode http\n http-request set-mark 1 if { path /x }", why: "not supported yet"},
	{name: "same address twice", text: "frontend f\n bind 127.0.0.1:1\nfrontend g\n bind 127.0.0.1:1", why: "HAProxy notices at the start, or never where SO_REUSEPORT hides it"},
	{name: "HTTP/2 to servers", text: "frontend f\n mode http\n bind :1\n default_backend b\nbackend b\n mode http\n server s 127.0.0.1:1 proto h2 send-proxy\n" +
		" server t 127.0.0.1:1 ssl verify none alpn h2,http/1.1 send-proxy-v2 ws h2\n server u 127.0.0.1:1 ssl verify none proto h2 ws auto\n server v 127.0.0.1:1 ws h1"},
	{name: "PROXY protocol", text: "frontend f\n bind :1 accept-proxy\nbackend b\n server s 127.0.0.1:1 send-proxy\n server t 127.0.0.1:1 send-proxy-v2 check-send-proxy"},
	{name: "unix sockets", text: "frontend f\n bind /tmp/reeve-x mode 660 user root group root\n bind unix@/tmp/reeve-y\n bind abns@z\nbackend b\n server s /tmp/x\n server t unix@/tmp/x\n server u abns@x"},
	{name: "unix socket without a path", text: "backend b\n server s unix@", why: "a server without a name is a mistake"},
	{name: "mode of a unix socket", text: "frontend f\n bind /tmp/reeve-x mode rw"},
	{name: "bind words", text: "frontend f\n bind :1 transparent interface lo backlog 5\n bind :::1 v4v6\n bind :::2 v6only"},
	{name: "range of ports", text: "frontend f\n bind 127.0.0.1:10-20"},
	{name: "range of ports backwards", text: "frontend f\n bind 127.0.0.1:20-10"},
	{name: "families", text: "frontend f\n bind ipv4@127.0.0.1:1\n bind ipv6@:2\n bind ipv6@::1:3"},
	{name: "wrong family", text: "frontend f\n bind ipv4@::1:1"},
	{name: "offset of a port", text: "backend b\n server s 127.0.0.1:+1\n server t 127.0.0.1:-1"},
	{name: "check at the client's port", text: "backend b\n server s 127.0.0.1 check"},
	{name: "source", text: "backend b\n source 127.0.0.1:10 usesrc clientip\n server s 127.0.0.1:1 source 127.0.0.1:10-20 usesrc client\n server t 127.0.0.1:1 source 127.0.0.2 interface lo"},
	{name: "range of ports of a backend", text: "backend b\n source 127.0.0.1:10-20"},
	{name: "source nonsense", text: "backend b\n source 300.0.0.1"},
	{name: "usesrc nonsense", text: "backend b\n source 0.0.0.0 usesrc me"},
	{name: "usesrc without source", text: "backend b\n server s 127.0.0.1:1 usesrc client"},
	{name: "socket options", text: "listen l\n bind :1\n option tcpka\n option clitcpka\n option srvtcpka\n option nolinger\n option splice-auto\n option tcp-smart-accept\n no option clitcpka"},
	{name: "server at the client's port", text: "backend b\n server s 127.0.0.1"},
}

func TestHAProxyAgrees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range haproxyCases {
		content := cfgHead + c.text + "\n" + cfgTail
		if c.name == "keyword before a section" {
			content = "bind :1\n" + content
		}
		code, out := run(t, dir, "haproxy.cfg", content, "haproxy", "-c", "-f")
		theirs := code != 1
		_, ps := parseText(t, "haproxy.cfg", content)
		compare(t, c.name, c.why, !ps.HasErrors(), theirs, ps.Err(), out)
	}
}

func TestHAProxyAcceptsTheCorpus(t *testing.T) {
	for _, file := range []string{"testdata/classic-pair/haproxy.cfg", "/etc/haproxy/haproxy.cfg"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content = []byte(strings.ReplaceAll(string(content), "img2.example.org", "127.0.0.1"))
		if code, out := run(t, t.TempDir(), "haproxy.cfg", string(content), "haproxy", "-c", "-f"); code == 1 {
			t.Errorf("haproxy refuses %s:\n%s", file, out)
		}
		if _, ps := parseText(t, "haproxy.cfg", string(content)); ps.HasErrors() {
			t.Errorf("%s is refused:\n%v", file, ps.Err())
		}
	}
}

// compare holds Reeve's verdict against the other program's.
func compare(t *testing.T, name, why string, ours, theirs bool, err error, out string) {
	t.Helper()
	verdict := map[bool]string{true: "accepts", false: "refuses"}
	switch {
	case ours == theirs && why != "":
		t.Errorf("%s: both say the same, the reason is out of date: %s", name, why)
	case ours != theirs && why == "":
		t.Errorf("%s: Reeve %s and the other %s:\n%v\n%s", name, verdict[ours], verdict[theirs], err, out)
	}
}

// run gives a file to a program and returns its exit code and what it said.
func run(t *testing.T, dir, name, content, program string, args ...string) (int, string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, append(args, path)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s (package %s): %v", program, program, err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}
