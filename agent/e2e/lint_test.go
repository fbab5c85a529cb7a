package e2e

import (
	"strings"
	"testing"
)

// TestApplyLints: what only all nodes together show, and what only a node's machine knows, is told by plan and apply with a
// name, stops nothing, and is silent by its name.
func TestApplyLints(t *testing.T) {
	s := newSite(t, 2)
	s.up()
	for i, name := range s.names {
		text := strings.Replace(keepalivedConf(i+1), "vrrp_instance VI_1 {\n", "vrrp_instance VI_1 {\n    garp_master_delay 0\n    notify \"/no/such/script\"\n", 1)
		if text == keepalivedConf(i+1) {
			t.Fatal("the site's files have changed: nothing to write to")
		}
		s.write(name+".conf", text)
	}
	said := func(args ...string) string {
		p := s.lab.Start(s.hosts["lb2"], append(append([]string{s.bin()}, args...), s.files()...)...)
		<-p.Done()
		if p.Err() != nil {
			t.Errorf("%q: %v", args, p.Err())
		}
		return p.Output()
	}
	const once, missing = "[garp-once]\n", "there is no /no/such/script on this machine (every node needs it) [script-not-runnable]\n"
	for _, args := range [][]string{{"plan"}, {"apply"}} {
		out := said(args...)
		if !strings.Contains(out, once) {
			t.Errorf("%q does not say %q: %s", args, once, out)
		}
		for _, n := range s.names {
			if !strings.Contains(out, "node "+n+": ") || strings.Count(out, missing) != len(s.names) {
				t.Errorf("%q does not say of %s that the script is missing: %s", args, n, out)
			}
		}
	}
	if out := said("plan", "-ignore=garp-once", "-ignore=script-not-runnable"); strings.Contains(out, once) || strings.Contains(out, missing) {
		t.Errorf("silenced, and yet: %s", out)
	}
}
