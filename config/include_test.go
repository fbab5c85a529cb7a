package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIncludedFilesTravel: what ReadFiles found is all that Load needs, also when the files are gone, and conditions and
// positions go with it.
func TestIncludedFilesTravel(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"k.conf": "include parts/*.conf\n$N=${NUMBER}0\nvrrp_instance V {\n interface eth0\n virtual_router_id 5\n @lb1 priority ${N}\n @^lb1 priority 50\n" +
			" virtual_ipaddress {\n  10.0.0.5/24\n }\n @lb2 include lb2.words\n @lb3 include nosuch.words\n}\n",
		"parts/a.conf": "$NUMBER=15\n",
		"parts/b.conf": "global_defs {\n router_id b\n}\n",
		"lb2.words":    "nopreempt\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, ps := ReadFiles([]string{filepath.Join(dir, "k.conf")})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		priority  int
		noPreempt bool
		warnings  int
	}{"lb1": {150, false, 0}, "lb2": {50, true, 0}, "lb3": {50, false, 1}, "lb4": {50, false, 0}} {
		d, _, ps := Load(files, Options{ConfigID: id})
		if ps.HasErrors() || len(ps) != want.warnings {
			t.Errorf("%s: %v", id, ps)
			continue
		}
		if in := d.VRRP.Instances[0]; in.Priority != want.priority || in.NoPreempt != want.noPreempt || d.VRRP.Global.RouterID != "b" {
			t.Errorf("%s: priority %d, nopreempt %v, router id %s", id, in.Priority, in.NoPreempt, d.VRRP.Global.RouterID)
		}
	}
}

// TestProblemOfAVariable: a wrong value is told at the line that uses it, and where it is written.
func TestProblemOfAVariable(t *testing.T) {
	_, _, ps := Load([]File{{Name: "k.conf", Content: []byte("$P=high\nvrrp_instance V {\n interface eth0\n virtual_router_id 5\n priority $P\n" +
		" virtual_ipaddress {\n  10.0.0.5/24\n }\n}\n")}})
	if len(ps) != 1 || !strings.HasPrefix(ps[0].Error(), "k.conf:5:11: error: 'high' ") || !strings.Contains(ps[0].Error(), "written at k.conf:1") {
		t.Error(ps)
	}
}
