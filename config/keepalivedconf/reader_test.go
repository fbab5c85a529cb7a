package keepalivedconf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config/tree"
)

// outline prints a tree on one line: words, arguments in parentheses, kids in braces.
func outline(nodes []tree.Node) string {
	var parts []string
	for _, n := range nodes {
		s := ""
		if n.Def != nil {
			s = n.Def.Name
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

func TestBraces(t *testing.T) {
	const want = "vrrp_instance(V){authentication{auth_type(PASS) auth_pass(abc)} priority(5)}"
	for name, text := range map[string]string{
		"end of the line":  "vrrp_instance V {\n authentication {\n auth_type PASS\n auth_pass abc\n }\n priority 5\n}",
		"on their own":     "vrrp_instance V\n{\n authentication\n\n{\n auth_type PASS\n auth_pass abc\n }\n priority 5\n}",
		"attached":         "vrrp_instance V{\n authentication{\n auth_type PASS\n auth_pass abc\n}\n priority 5}",
		"around one line":  "vrrp_instance V {\n authentication { auth_type PASS\n auth_pass abc }\n priority 5\n}",
		"comments, CR, ! ": "! x\r\nvrrp_instance V { # y {\r\n authentication { ! z }\r\n auth_type PASS\r\n auth_pass abc!x\r\n }\r\n priority 5 # 6\r\n}\r\n",
		"quotes":           "vrrp_instance \"V\" {\n authentication {\n auth_type \"PASS\"\n auth_pass \"abc\"\n }\n priority 5\n}",
	} {
		nodes, ps := Read("k.conf", []byte(text), Options{})
		if len(ps) > 0 {
			t.Errorf("%s: %v", name, ps)
		}
		if got := outline(nodes); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestLexing(t *testing.T) {
	for text, want := range map[string]string{
		`router_id a\#b`:                      `router_id(a#b)`,
		`router_id "a # b ! c"`:               `router_id(a # b ! c)`,
		`router_id "a"`:                       `router_id(a)`,
		"notification_email {\n a b\n c\n}":   `notification_email(a,b,c)`,
		"vrrp_strict":                         `vrrp_strict`,
		"vrrp_strict off":                     `vrrp_strict(off)`,
		"notification_email { a b }":          `notification_email(a,b)`,
		"router_id x\n\n\n  \t! only comment": `router_id(x)`,
	} {
		nodes, ps := Read("k.conf", []byte("global_defs {\n"+text+"\n}\n"), Options{})
		if len(ps) > 0 {
			t.Errorf("%q: %v", text, ps)
		}
		if got := outline(nodes); got != "global_defs{"+want+"}" {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestCommands: the command, then the user and the group; '...' and "..." and backslashes as in a shell.
func TestCommands(t *testing.T) {
	for text, want := range map[string]string{
		`notify_master "/a b 'c d'"`:           `/a b 'c d'`,
		`notify_master "/a \"b c\""`:           `/a "b c"`,
		`notify_master '/a "b c"'`:             `/a "b c"`,
		`notify_master "/a b" nobody # x`:      `/a b|nobody`,
		`notify_master /a nobody nogroup`:      `/a|nobody|nogroup`,
		`notify_master "/a $X; {b} # c"`:       `/a $X; {b} # c`,
		`notify_master /a\ b`:                  `/a b`,
		`notify_master "/a "'b c'"d"`:          `/a b cd`,
		`notify_master </dev/tcp/127.0.0.1/80`: `</dev/tcp/127.0.0.1/80`,
	} {
		nodes, ps := Read("k.conf", []byte("vrrp_instance V {\n"+text+"\n}\n"), Options{})
		if len(ps) > 0 || len(nodes) != 1 || len(nodes[0].Kids) != 1 {
			t.Errorf("%q: %s %v", text, outline(nodes), ps)
			continue
		}
		var got []string
		for _, a := range nodes[0].Kids[0].Args {
			got = append(got, a.Text)
		}
		if g := strings.Join(got, "|"); g != want || !nodes[0].Kids[0].Shell {
			t.Errorf("%q: %q, want %q", text, g, want)
		}
	}
}

func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"}":                                 "k.conf:1:1: error: '}' closes nothing",
		"frobnicate x":                      "k.conf:1:1: error: unknown keyword 'frobnicate' outside any section",
		"vrrp_instance {\n}":                "k.conf:1:1: error: 'vrrp_instance' needs a name",
		"vrrp_instance V W {\n}":            "k.conf:1:17: error: surplus word 'W' (one keyword per line)",
		"vrrp_instance V\nglobal_defs {\n}": "k.conf:1:1: error: '{' is missing after 'vrrp_instance'",
		"global_defs {\n router_id":         "k.conf:2:2: error: 'router_id' needs a value\nk.conf:1:1: error: 'global_defs' is not closed (a '}' is missing at the end of the file)",
		"vrrp_instance V {\n priority 1\nglobal_defs {\n}":             "k.conf:3:1: error: 'vrrp_instance' opened at k.conf:1:1 is not closed (a '}' is missing before this line)",
		"virtual_server 1.2.3.4 80 {\n real_server {\n x { y }\n }\n}": "k.conf:1:1: error: 'virtual_server' is not supported yet",
		"global_defs {\n router_id {\n a\n }\n}":                       "k.conf:2:2: error: 'router_id' needs a value",
		"global_defs {\n router_id a {\n a\n }\n}":                     "k.conf:2:14: error: 'router_id' takes no block",
		"global_defs {\n router_id \"a\n}":                             "k.conf:2:12: error: unmatched quote",
		"include /x":                                                   "k.conf:1:9: error: '/x' can't be included: there are no other files here",
		"a\x00b":                                                       "k.conf:1:2: error: NUL byte in a text file",
		"global_defs {\n router_id \xff\n}":                            "k.conf:2:12: error: the word is not UTF-8",
		"global_defs {\n election vrrp\n}":                             "k.conf:2:2: error: unknown keyword 'election' in global_defs",
		"vrrp_instance V {\n notify \"/a\" u g x\n}":                   `k.conf:2:18: error: surplus word 'x' after 'notify' (a command with arguments stands in quotes: "COMMAND ARGUMENT")`,
		"vrrp_script V {\n script /a b\n}":                             `k.conf:2:12: error: surplus word 'b' after 'script' (a command with arguments stands in quotes: "COMMAND ARGUMENT")`,
		"vrrp_instance V {\n notify '/a b\n}":                          "k.conf:2:2: error: unmatched quote ' in the command",
		"vrrp_instance V {\n interface ${X}\n}":                        "k.conf:2:12: error: there is no variable '${X}' ($NAME=value has to come before it)",
		"vrrp_instance V {\n interface a\\#b\n}":                       "k.conf:2:13: warning: a comment begins here, as it does for keepalived in spite of the backslash (write the word in quotes)",
	} {
		_, ps := Read("k.conf", []byte(text), Options{})
		var got []string
		for _, p := range ps {
			got = append(got, p.Error())
		}
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("%q:\n got %s\nwant %s", text, g, want)
		}
	}
}
