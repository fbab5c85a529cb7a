package command

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestAgentRefuses: what an agent can't start with is told in lines of their own, nothing runs, 1.
func TestAgentRefuses(t *testing.T) {
	bad, dir := write(t, "haproxy.cfg", badCfg), t.TempDir()
	notDir := write(t, "file", "x")
	key := strings.TrimSpace(run(t, "keygen").out)
	for name, c := range map[string]struct {
		args  []string
		says  []string
		lines int // 0: several
	}{
		"a broken file":             {[]string{"-dev", bad}, []string{bad + ":5:5: ", bad + ":7:13: ", "default_backend"}, 0},
		"a file that is not there":  {[]string{"-dev", filepath.Join(dir, "none.cfg")}, []string{"none.cfg", "no such file"}, 1},
		"no place for its state":    {[]string{"-encrypt", key}, []string{"data_dir", "-data-dir"}, 1},
		"no key":                    {[]string{"-data-dir", filepath.Join(dir, "a"), "-bootstrap-expect=3"}, []string{"reeve keygen"}, 1},
		"half a key":                {[]string{"-data-dir", filepath.Join(dir, "b"), "-encrypt=c2hvcnQ="}, []string{"key", "reeve keygen"}, 1},
		"an open door":              {[]string{"-dev", "-http-addr=0.0.0.0:7500"}, []string{"-http-addr 0.0.0.0:7500", "token"}, 1},
		"an address that is none":   {[]string{"-dev", "-bind=lo"}, []string{`-bind "lo"`}, 1},
		"a level that is none":      {[]string{"-dev", "-log-level=loud"}, []string{"loud", "debug"}, 1},
		"a data_dir that is a file": {[]string{"-data-dir", notDir, "-encrypt", key}, []string{notDir}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := program(t, append([]string{"agent"}, c.args...)...)
			r.bad(t, c.says...)
			if c.lines > 0 && strings.Count(r.err, "\n") != c.lines {
				t.Errorf("%d lines, want %d:\n%s", strings.Count(r.err, "\n"), c.lines, r.err)
			}
			if strings.Contains(r.err, key) {
				t.Errorf("the key is told: %s", r.err)
			}
		})
	}
}
