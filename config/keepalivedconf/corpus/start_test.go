package corpus

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/keepalivedt"
)

// dies are the files with which keepalived 2.2.7 -P does not start, tried one by one: all others it runs with, mistakes or
// not.
var dies = strings.Fields(`grammar-brace-after-scalar grammar-missing-argument grammar-one-line-instance
	include-all-strict include-must-match-braces include-must-match-wildcard include-must-match
	interface-loopback interface-missing interface-unknown mcast-src-ip-family notify-nothing strict-no-vip
	track-interface-unknown variable-after-use vip-dev-unknown vip-none-version-3
	security-interface-missing security-interface-unknown security-vrid-missing
	vrid-missing vrid-range vrid-twice vrid-word vrid-zero`)

// refused are files that keepalived runs with and Reeve does not, and why.
var refused = map[string]string{
	"bfd": "there is no BFD",
}

// lenient are files that keepalived dies of and Reeve runs with, and why.
var lenient = map[string]string{
	"mcast-src-ip-family": "the source address is left out, its family does not win over that of the addresses",
	"strict-no-vip":       "an instance without addresses does no harm to the others",
	"vip-none-version-3":  "the same",
}

// TestStart: in place of keepalived Reeve starts with what keepalived starts with, and with nothing else (bare debug apart).
func TestStart(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	m := machine()
	m.Insecure = nil // whose the files of this machine are does not matter here
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".conf")
		read, _ := config.ReadFiles([]string{f})
		read[0].Format = "keepalived"
		_, ps, _ := keepalivedt.Test(read, config.Options{ConfigID: "lb1", VRRPOnly: true, Tolerant: true}, m)
		want := slices.Contains(dies, name) && lenient[name] == "" || refused[name] != ""
		if ps.HasErrors() != want {
			var all strings.Builder
			for _, p := range ps {
				fmt.Fprintf(&all, "\n\t[%s] %s", p.Kind(), p.Error())
			}
			t.Errorf("%s: refused %v, want %v%s", name, ps.HasErrors(), want, all.String())
		}
	}
}
