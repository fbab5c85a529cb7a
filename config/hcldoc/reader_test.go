package hcldoc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config/tree"
)

func outline(nodes []tree.Node) string {
	var parts []string
	for _, n := range nodes {
		s := ""
		if n.No {
			s = "no "
		}
		if n.Def != nil {
			s += n.Def.Name
		}
		var args []string
		for _, a := range n.Args {
			args = append(args, a.Text)
		}
		if len(args) > 0 {
			s += fmt.Sprintf("(%s)", strings.Join(args, ","))
		}
		if len(n.Kids) > 0 {
			s += "{" + outline(n.Kids) + "}"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func TestSpellings(t *testing.T) {
	for text, want := range map[string]string{
		`node = "a"`:                             `node(a)`,
		`global { max` + `conn = 5 }`:            `global{maxconn(5)}`,
		`frontend "w" { timeout_client = "5s" }`: `frontend(w){timeout client(5s)}`,
		"frontend \"w\" {\n timeout {\n client = 5\n http-request = \"1s\"\n }\n}":                    `frontend(w){timeout client(5) timeout http-request(1s)}`,
		"frontend \"w\" {\n option = [\"httplog\", \"forwardfor header X\"]\n}":                       `frontend(w){option httplog option forwardfor{header(X)}}`,
		"frontend \"w\" {\n option_httplog = true\n option_dontlognull = false\n}":                    `frontend(w){option httplog no option dontlognull}`,
		"backend \"b\" {\n server \"s\" {\n check = true\n address = \"a:1\"\n weight = 2\n }\n}":     `backend(b){server(s,a:1){check weight(2)}}`,
		"backend \"b\" {\n server = [\"s a:1 check weight 2\", \"t a:2\"]\n}":                         `backend(b){server(s,a:1){check weight(2)} server(t,a:2)}`,
		"backend \"b\" {\n stick_table {\n type = \"ip\"\n size = \"1m\"\n }\n stick-on = \"src\"\n}": `backend(b){stick-table{type(ip) size(1m)} stick on(src)}`,
		"vrrp_instance \"V\" {\n virtual_ipaddress = [\"10.0.0.1 dev eth0\"]\n}":                      `vrrp_instance(V){virtual_ipaddress{(10.0.0.1,dev,eth0)}}`,
		"vrrp_instance \"V\" {\n notify = [\"/a\", \"b c\"]\n notify_stop = \"/a b\"\n}":              `vrrp_instance(V){notify(/a,b c) notify_stop(/a b)}`,
		"vrrp_instance \"V\" {\n authentication {\n auth_type = \"PASS\"\n }\n smtp_alert = true\n}":  `vrrp_instance(V){authentication{auth_type(PASS)} smtp_alert(on)}`,
		"node \"lb1\" {\n router_id = \"x\"\n}\nports {\n rpc = 1\n}":                                 `node(lb1){router_id(x)} ports{rpc(1)}`,
		"vrrp_instance \"V\" {\n preempt_delay = 2 + 3\n}":                                            `vrrp_instance(V){preempt_delay(5)}`,
		"global_defs {\n router_id = \"a\" // why\n /* x */ vrrp_strict = true # y\n}":                `global_defs{router_id(a) vrrp_strict(on)}`,
		"frontend \"w\" {\n acl = [\"a path_beg /a#b 'c d'\"]\n}":                                     `frontend(w){acl(a,path_beg,/a#b,c d)}`,
		"global_defs {\n router_id = \"$${x} %%{y}\"\n}":                                              `global_defs{router_id(${x} %{y})}`,
	} {
		nodes, ps := Read("x.hcl", []byte(text+"\n"))
		if len(ps) > 0 {
			t.Errorf("%q: %v", text, ps)
		}
		if got := outline(nodes); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"nodee = \"x\"":                                              "1:1: error: unknown keyword 'nodee' outside any section (did you mean 'node'?)",
		"frontent \"x\" {\n}":                                        "1:1: error: unknown keyword 'frontent' outside any section (did you mean 'frontend'?)",
		"frontend {\n}":                                              "1:1: error: 'frontend' needs a name (write frontend \"name\" {)",
		"frontend \"a\" \"b\" {\n}":                                  "1:15: error: surplus name 'b'",
		"global {\n maxconn = x\n}":                                  "2:12: error: variables are not supported yet (put text in quotes)",
		"global {\n maxconn = \"${x}\"\n}":                           "2:13: error: templates (${) are not supported yet (write $${ or %%{ for the characters themselves)",
		"global {\n maxconn = null\n}":                               "2:12: error: a string or a number is wanted here, not null",
		"global {\n maxconn = [1]\n}":                                "2:12: error: a string or a number is wanted here, not tuple",
		"global {\n maxconn = 1e9\n}":                                "2:12: error: the number is too large or written with an exponent",
		"global {\n daemon = 3\n}":                                   "2:11: error: 'daemon' is not a boolean (true or false)",
		"global = 3":                                                 "1:1: error: 'global' is a block (write global { ... })",
		"vrrp_instance \"V\" {\n authentication = 1\n}":              "2:2: error: 'authentication' is a block (write authentication { ... })",
		"vrrp_instance \"V\" {\n virtual_ipaddress {\n }\n}":         "2:2: error: 'virtual_ipaddress' is not a block (write virtual_ipaddress = ...)",
		"backend \"b\" {\n server \"s\" {\n }\n}":                    "2:2: error: 'server' needs address",
		"backend \"b\" {\n server = [\"s 'a\"]\n}":                   "2:15: error: unmatched quote",
		"backend \"b\" {\n option = [\"httpchek\"]\n}":               "2:13: error: unknown keyword 'option httpchek' in backend (did you mean 'option_httpchk'?)",
		"x = " + strings.Repeat("[", 100) + strings.Repeat("]", 100): "1:37: error: more than 32 brackets inside each other",
		"x = --------1":                                              "1:6: error: more than one minus sign",
		"x = a ? b : c":                                              "1:7: error: \"?\" is not supported yet",
	} {
		_, ps := Read("x.hcl", []byte(text+"\n"))
		var got []string
		for _, p := range ps {
			got = append(got, strings.TrimPrefix(p.Error(), "x.hcl:"))
		}
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("%q:\n got %s\nwant %s", text, g, want)
		}
	}
}

func TestBrokenHCLHasAPlace(t *testing.T) {
	for _, text := range []string{"a = ", "a {", "}", "a = \"x", "a = [1,", "\x00", "a b c", "a = 1 2", "ä = 1 (", "global { daemon =", "global { daemon = ( }"} {
		_, ps := Read("x.hcl", []byte(text))
		if !ps.HasErrors() {
			t.Errorf("%q is accepted", text)
		}
		for _, p := range ps {
			if p.Pos.Line != 1 || p.Pos.Col < 1 || p.Pos.Col > len(text)+1 {
				t.Errorf("%q: %s", text, p.Error())
			}
		}
	}
}
