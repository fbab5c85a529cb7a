package command

import (
	"regexp"
	"strings"
	"testing"
)

// TestKeepalivedByName: a program called keepalived is keepalived, whatever its folder; reeve is only when told so.
func TestKeepalivedByName(t *testing.T) {
	for _, argv := range [][]string{{"keepalived", "-v"}, {"/usr/sbin/keepalived", "--version"}, {"/usr/bin/reeve", "keepalived", "-v"}} {
		var out strings.Builder
		code, ok := asKeepalived(argv, &strings.Builder{}, &out)
		if code != 0 || !ok {
			t.Errorf("%q: %d, %v", argv, code, ok)
		}
		first, rest, _ := strings.Cut(out.String(), "\n")
		if !regexp.MustCompile(`^Keepalived v2\.2\.7 `).MatchString(first) || !strings.Contains(rest, " JSON") {
			t.Errorf("%q: an exporter finds no version, or no JSON: %s", argv, out.String())
		}
	}
	for _, argv := range [][]string{{"reeve"}, {"reeve", "version"}, {"reeve", "vip", "keepalived"}, {"/srv/keepalived/reeve", "-v"}} {
		if _, ok := asKeepalived(argv, &strings.Builder{}, &strings.Builder{}); ok {
			t.Errorf("%q is taken for keepalived", argv)
		}
	}
}

// TestKeepalivedSays: help explains every option, and what is no option is refused with keepalived's words and code.
func TestKeepalivedSays(t *testing.T) {
	var out strings.Builder
	if code, _ := asKeepalived([]string{"keepalived", "-h"}, &strings.Builder{}, &out); code != 0 || !strings.Contains(out.String(), "--use-file=ARG") {
		t.Errorf("-h: %d %s", code, out.String())
	}
	out.Reset()
	if code, _ := asKeepalived([]string{"keepalived", "--bogus"}, &strings.Builder{}, &out); code != 1 || out.String() != "Unknown option --bogus\n" {
		t.Errorf("--bogus: %d %q", code, out.String())
	}
	out.Reset()
	if code, _ := asKeepalived([]string{"keepalived", "--signum=TDATA"}, &strings.Builder{}, &out); code != 1 || out.String() != "Unknown sigfunc TDATA\n" {
		t.Errorf("--signum: %d %q", code, out.String())
	}
}
