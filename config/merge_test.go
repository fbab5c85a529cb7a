package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/vrrp"
)

func TestForIsWhatTheNodeWrote(t *testing.T) {
	d := mustLoad(t, "lb1=classic-pair/lb1.conf", "lb2=classic-pair/lb2.conf", "classic-pair/haproxy.cfg")
	for _, node := range []string{"lb1", "lb2"} {
		own := mustLoad(t, "classic-pair/"+node+".conf", "classic-pair/haproxy.cfg")
		wantEqual(t, d.For(node), own.For(node))
	}
	if got := d.For("lb9").VRRP.Instances[0].Interface; got != "eth0" {
		t.Errorf("a node that nobody named has interface %q, want the first one's", got)
	}
	if d.VRRP.Instances[0].State != "MASTER" || d.VRRP.Instances[0].Addresses[0].Dev != "eth0" {
		t.Error("For changed the Document it was asked for")
	}
}

func TestMasterHasNoNopreempt(t *testing.T) {
	d := Document{VRRP: vrrp.Config{Instances: []vrrp.Instance{{Name: "a", State: "MASTER", NoPreempt: true, PreemptDelay: time.Second},
		{Name: "b", State: "BACKUP", NoPreempt: true}}}}
	got := d.For("x").VRRP.Instances
	if got[0].NoPreempt || got[0].PreemptDelay != 0 || !got[1].NoPreempt {
		t.Errorf("got %+v", got)
	}
}

// TestMergeNamesWhatElseDiffers: by design only some words differ from node to node.
func TestMergeNamesWhatElseDiffers(t *testing.T) {
	one := vi("V", "eth0", 5, "10.0.0.1", "priority 100\nnotify \"/n a\"")
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"priority", "priority 100", "priority 90", ""},
		{"interface", "eth0", "eth1", ""},
		{"notify argument", "/n a", "/n b", ""},
		{"notify command", "/n a", "/m a", "vrrp_instance V / notify"},
		{"VRID", "router_id 5", "router_id 6", `vrrp_instance V / virtual_router_id: b says "6", a says "5" at a.conf:`},
		{"address", "10.0.0.1", "10.0.0.2", "vrrp_instance V / virtual_ipaddress 1"},
		{"instance", "vrrp_instance V", "vrrp_instance W", "vrrp_instance V: a has it, b has not"},
	} {
		files := []File{{Name: "a.conf", Node: "a", Content: []byte(one)}, {Name: "b.conf", Node: "b", Content: []byte(strings.Replace(one, c.from, c.to, 1))}}
		d, _, ps := Load(files)
		if (c.want == "") != !ps.HasErrors() {
			t.Errorf("%s: %v", c.name, ps.Err())
		}
		if c.want != "" && !strings.Contains(ps.Err().Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, ps.Err(), c.want)
		}
		if by := len(d.Nodes); c.want == "" && c.name != "nothing" && by != 2 {
			t.Errorf("%s: %d overrides, want 2", c.name, by)
		}
	}
}

// TestDifferencesAreNamedAtTheirWords: the message of a difference leads to the word itself in both files; where one file
// does not say the word, to the section that could.
func TestDifferencesAreNamedAtTheirWords(t *testing.T) {
	const a = `global_defs {
  vrrp_garp_master_delay 3
}
vrrp_instance V {
  interface eth0
  virtual_router_id 5
  advert_int 1
  authentication {
    auth_type PASS
    auth_pass one
  }
  promote_secondaries
  garp_master_delay 4
  notify "/n a"
  virtual_ipaddress {
    10.0.0.1/24
  }
}
`
	for _, c := range []struct{ name, from, to, at, other string }{
		{"VRID", "virtual_router_id 5", "virtual_router_id 6", "b.conf:6:21", "a.conf:6:21"},
		{"another line", "  virtual_router_id 5", "\n\n    virtual_router_id 6", "b.conf:8:23", "a.conf:6:21"},
		{"a word of a block", "auth_pass one", "auth_pass two", "b.conf:10:15", "a.conf:10:15"},
		{"a word with a dot in its field", "delay 4", "delay 5", "b.conf:13:21", "a.conf:13:21"},
		{"a global word", "delay 3", "delay 6", "b.conf:2:26", "a.conf:2:26"},
		{"a command", "/n a", "/m a", "b.conf:14:3", "a.conf:14:3"},
		{"an address", "10.0.0.1", "10.0.0.2", "b.conf:16:5", "a.conf:16:5"},
		{"only there", "  promote_secondaries\n", "", "b.conf:4:1", "a.conf:12:3"},
	} {
		files := []File{{Name: "a.conf", Node: "a", Content: []byte(a)}, {Name: "b.conf", Node: "b", Content: []byte(strings.Replace(a, c.from, c.to, 1))}}
		_, _, ps := Load(files)
		err := ps.Err()
		if err == nil || !strings.HasPrefix(err.Error(), c.at+": error: ") || !strings.Contains(err.Error(), " at "+c.other+" ") {
			t.Errorf("%s: %v, want it at %s and %s", c.name, err, c.at, c.other)
		}
	}
}

func TestDefaultsReachTheProxiesThatFollow(t *testing.T) {
	d, ps := parseText(t, "a.cfg", `global
 log 127.0.0.1 local0
defaults
 mode http
 log global
 option httplog
 retries 7
 balance source
 timeout client 1s
frontend f
 bind :1
 no log
 log stdout daemon
 default_backend b
backend b
 balance roundrobin
defaults
 timeout client 2s
listen l
 bind :2
`)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	f, l, b, lb := d.Proxy.Frontends[0], d.Proxy.Frontends[1], d.Proxy.Backends[0], d.Proxy.Backends[1]
	if f.Mode != proxy.HTTP || f.LogFormat != proxy.LogHTTP || len(f.Log) != 1 || f.Log[0].Address != "stdout" || f.Timeouts.Client != time.Second {
		t.Errorf("frontend: %+v", f)
	}
	if b.Retries != 7 || b.Balance != proxy.RoundRobin || len(b.Log) != 1 || b.Log[0].Address != "127.0.0.1:514" || b.Timeouts.Client != 0 {
		t.Errorf("backend: %+v", b)
	}
	if l.Mode != proxy.TCP || l.Timeouts.Client != 2*time.Second || l.DefaultBackend != "l" || lb.Retries != 3 || len(lb.Log) != 0 {
		t.Errorf("listen, after defaults began anew: %+v %+v", l, lb)
	}
}

func TestNodeSettings(t *testing.T) {
	_, n, ps := Load([]File{{Name: "n.hcl", Content: []byte(`node = "lb1"
bind = "10.0.0.1"
bootstrap_expect = 3
retry_join = ["a", "b:7301"]
http_token = "t"
witness = true
memory_max = 512
log_level = "debug"
ports {
  rpc = 1
}
tls {
  ca_file = "ca"
}
`)}})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if n.Name != "lb1" || n.Bind != "10.0.0.1" || n.BootstrapExpect != 3 || !slices.Equal(n.RetryJoin, []string{"a", "b:7301"}) || n.HTTPToken != "t" ||
		!n.Witness || n.MemoryMax != 512 || n.LogLevel != "debug" || n.Ports != (Ports{RPC: 1}) || n.TLS == nil || n.TLS.CAFile != "ca" {
		t.Errorf("%+v", n)
	}
}

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.cfg", "a.hcl", "c.conf", "d.txt", "x=y.cfg"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, ps := ReadFiles([]string{dir, "lb1=" + filepath.Join(dir, "c.conf"), filepath.Join(dir, "x=y.cfg"), filepath.Join(dir, "gone.cfg")})
	var got []string
	for _, f := range files {
		got = append(got, f.Node+":"+filepath.Base(f.Name)+":"+string(f.Content))
	}
	want := []string{":a.hcl:a.hcl", ":b.cfg:b.cfg", ":c.conf:c.conf", ":x=y.cfg:x=y.cfg", "lb1:c.conf:c.conf", ":x=y.cfg:x=y.cfg"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(ps) != 1 || !strings.HasSuffix(ps[0].Error(), "gone.cfg: error: no such file or directory") {
		t.Errorf("problems: %v", ps)
	}
}

func TestDiffIsReadable(t *testing.T) {
	a := mustLoad(t, "classic-pair/site.hcl")
	content, err := os.ReadFile("testdata/classic-pair/site.hcl")
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Replace(content, []byte("weight  = 3"), []byte("weight  = 4"), 1)
	content = bytes.Replace(content, []byte(`server "spare"`), []byte(`server "extra"`), 1)
	content = bytes.Replace(content, []byte("priority          = 110"), []byte("priority          = 120"), 1)
	b, ps := parseText(t, "site.hcl", string(content))
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.String())
	}
	want := []string{"~ backend app / server app1 / weight: 3 -> 4", "- backend app / server spare", "+ backend app / server extra",
		"~ vrrp_instance VI_1 / priority: 110 -> 120"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !a.Equal(a.For("lb1")) && len(a.Nodes) == 0 {
		t.Error("a Document without overrides is not equal to its node's view")
	}
}

// TestEveryFieldExists: the table's fields are fields of the settings.
func TestEveryFieldExists(t *testing.T) {
	targets := map[string]any{"global": proxy.Global{}, "frontend": proxy.Frontend{}, "backend": proxy.Backend{}, "server": serverState{}, "bind": proxy.Bind{},
		"cookie": proxy.Cookie{}, "stick-table": proxy.StickTable{}, "stick": proxy.StickRule{}, "forwardfor": proxy.ForwardFor{},
		"global_defs": vrrp.Global{}, "vrrp_script": vrrp.Script{}, "vrrp_instance": vrrp.Instance{}, "authentication": vrrp.Instance{},
		"native": Node{}, "ports": Node{}, "tls": TLS{}, "override": Override{}, "override-instance": InstanceOverride{}}
	for _, w := range Words() {
		for _, scope := range w.In {
			target, ok := targets[scope]
			if !ok || w.Field == "" {
				continue
			}
			typ := reflect.TypeOf(target)
			for name := range strings.SplitSeq(w.Field, ".") {
				for typ.Kind() == reflect.Pointer {
					typ = typ.Elem()
				}
				f, ok := typ.FieldByName(name)
				if !ok {
					t.Errorf("%s %s: no field %s", scope, w.Name, w.Field)
					break
				}
				typ = f.Type
			}
			if _, _, err := parse(w, w.Default, words.HCL); w.Default != "" && err != nil {
				t.Errorf("%s %s: the default is refused: %v", scope, w.Name, err)
			}
		}
	}
}

func TestDiffPrintsWhatANodeHasOtherwise(t *testing.T) {
	const web = "frontend \"web\" {\n bind = [\"127.0.0.2:80\"]\n mode = \"tcp\"\n default_backend = \"app\"\n}\nbackend \"app\" {\n mode = \"tcp\"\n}\n"
	a, _, ps := Load([]File{{Name: "a.hcl", Content: []byte(web)}})
	b, _, more := Load([]File{{Name: "b.hcl", Content: []byte(web + "node \"lb2\" {\n frontend \"web\" {\n  bind = [\"127.0.0.3:80\"]\n }\n}\n")}})
	if ps.HasErrors() || more.HasErrors() {
		t.Fatal(ps, more)
	}
	got := Diff(a, b)
	if len(got) != 1 || got[0].Path != "node lb2" || !strings.Contains(got[0].New, "frontend web bind") || strings.ContainsAny(got[0].New, "{}") || strings.Contains(got[0].New, "b.hcl") {
		t.Errorf("%+v", got)
	}
}

// A first configuration is compared with what a node without one has: defaults are no difference.
func TestDiffWithNothing(t *testing.T) {
	empty, _, ps := Load(nil)
	b, _, more := Load([]File{{Name: "b.hcl", Content: []byte("backend \"app\" {\n mode = \"tcp\"\n}\n")}})
	if got := Diff(empty, b); len(got) != 1 || got[0].Path != "backend app" || ps.HasErrors() || more.HasErrors() {
		t.Errorf("%+v %v %v", got, ps, more)
	}
}
