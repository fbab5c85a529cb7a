package keepalivedt

import (
	"errors"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
)

// fake is a machine with eth0, root, and /bin/good and /bin/bad, of which others may change the second.
func fake() Machine {
	missing := errors.New("not found")
	return Machine{
		Interface: func(name string) bool { return name == "eth0" },
		User: func(name string) error {
			if name != "root" {
				return missing
			}
			return nil
		},
		Program: func(name string) error {
			if name != "/bin/good" && name != "/bin/bad" {
				return missing
			}
			return nil
		},
		Insecure: func(program string) error {
			if program == "/bin/bad" {
				return errors.New("anybody may write to /bin/bad")
			}
			return nil
		},
	}
}

// instance is a file with one instance and the words given, after some lines before it.
func instance(before, words string) string {
	return before + "\nvrrp_instance V {\n interface eth0\n virtual_router_id 5\n virtual_ipaddress {\n 10.0.0.5/24\n }\n" + words + "\n}\n"
}

const secure = "global_defs {\n enable_script_security\n script_user root\n}\n"

func TestAnswers(t *testing.T) {
	script := func(words string) string { return "vrrp_script s {\n" + words + "\n}\n" }
	const track = "track_script {\n s\n}"
	for _, c := range []struct {
		name, text string
		code       int
		told       string // a part of the problem that decides
		starts     bool
	}{
		{"nothing wrong", instance("", ""), 0, "", true},
		{"no such interface", instance("", "track_interface {\n eth1\n}"), 5, "there is no interface 'eth1'", false},
		{"an interface that may come", instance("global_defs {\n dynamic_interfaces\n}", "track_interface {\n eth1\n}"), 0, "", true},
		{"an address elsewhere", instance("", "virtual_ipaddress_excluded {\n 10.0.0.6/24 dev eth1\n}"), 5, "there is no interface 'eth1'", false},
		{"nobody checks scripts", instance("", `notify "/bin/good"`), 6, "nobody checks who may change them", true},
		{"scripts that are not there need no check", instance("", `notify "/bin/none"`), 0, "", true},
		{"an interface is missing before scripts are checked", instance("", "notify \"/bin/bad\"\ntrack_interface {\n eth1\n}"), 5, "no interface", false},
		{"a checked script", instance(secure+script(`script "/bin/good"`), track), 0, "", true},
		{"a script of others", instance(secure+script(`script "/bin/bad"`), track), 6, "anybody may write", true},
		{"a notify script of others", instance(secure, `notify_stop "/bin/bad x"`), 6, "anybody may write", true},
		{"a script that is not there", instance(secure+script(`script "/bin/none"`), track), 5, "not found", true},
		{"one that nobody tracks", instance(secure+script(`script "/bin/none"`), ""), 0, "", true},
		{"a notify script that is not there", instance(secure, `notify "/bin/none"`), 0, "", true},
		{"a user who is not there", instance(secure+script("script \"/bin/good\"\nuser nobody"), track), 5, "no user 'nobody'", true},
		{"a missing parameter hides all", instance("", "notify \"/bin/bad\"\npriority"), 2, "needs a value", false},
	} {
		for _, tolerant := range []bool{false, true} {
			files := []config.File{{Name: "k.conf", Content: []byte(c.text), Format: "keepalived"}}
			_, ps, code := Test(files, config.Options{ConfigID: "x", Tolerant: tolerant}, fake())
			if code != c.code {
				t.Errorf("%s, tolerant %v: %d, want %d: %v", c.name, tolerant, code, c.code, ps)
			}
			if !strings.Contains(said(ps), c.told) {
				t.Errorf("%s: %q is not in %s", c.name, c.told, said(ps))
			}
			if tolerant && ps.HasErrors() == c.starts {
				t.Errorf("%s: starts %v, want %v: %v", c.name, !ps.HasErrors(), c.starts, ps)
			}
		}
	}
}

func said(ps source.Problems) string {
	var all []string
	for _, p := range ps {
		all = append(all, p.Error())
	}
	return strings.Join(all, "\n")
}

// TestNobodyAsked: without functions nothing is said of the machine.
func TestNobodyAsked(t *testing.T) {
	doc, _, ps := config.Load([]config.File{{Name: "k.conf", Content: []byte(instance(secure, "notify \"/bin/bad\" nobody\ntrack_interface {\n eth7\n}")), Format: "keepalived"}})
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	if ps := Look(doc, Machine{}); len(ps) > 0 {
		t.Error(ps)
	}
}
