package agent

import (
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config"
)

const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// TestSettings: all that is wrong is told at once, and what is right gets its defaults.
func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		in   Settings
		want []string // pieces of the error; none: it is fine
	}{
		"dev needs nothing":           {in: Settings{Dev: true}},
		"a cluster node":              {in: Settings{Node: "lb1", DataDir: "/d", BootstrapExpect: 3}},
		"no data_dir":                 {in: Settings{Node: "lb1"}, want: []string{"data_dir", "-dev"}},
		"several faults":              {in: Settings{Node: "lb1", Bind: "eth0", Advertise: "here", LogLevel: "loud"}, want: []string{"-bind", "-advertise", "-log-level", "data_dir"}},
		"api reachable without token": {in: Settings{Dev: true, HTTPAddr: "0.0.0.0:7500"}, want: []string{"token"}},
		"api by name without token":   {in: Settings{Dev: true, HTTPAddr: "lb1.example:7500"}, want: []string{"token"}},
		"api reachable with a token":  {in: Settings{Dev: true, HTTPAddr: "0.0.0.0:7500", Token: "t"}},
		"api on a unix socket":        {in: Settings{Dev: true, HTTPAddr: "unix:///run/reeve.sock"}},
		"api without a port":          {in: Settings{Dev: true, HTTPAddr: "localhost"}, want: []string{"host:port"}},
		"a negative memory-max":       {in: Settings{Dev: true, MemoryMax: -1}, want: []string{"-memory-max", "MiB"}},
		"a negative bootstrap-expect": {in: Settings{Dev: true, BootstrapExpect: -1}, want: []string{"-bootstrap-expect"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.in.fill()
			if len(c.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not say %q", err, w)
				}
			}
		})
	}
}

// TestFlagsWin: what a file says stands under what a flag says.
func TestFlagsWin(t *testing.T) {
	s := Settings{Node: "flag", RetryJoin: []string{"10.0.0.9"}}
	s.lay(config.Node{Name: "file", DataDir: "/file", MemoryMax: 100, RetryJoin: []string{"10.0.0.1"}, Ports: config.Ports{HTTP: 7600, RPC: 7400}})
	if s.Node != "flag" || s.RetryJoin[0] != "10.0.0.9" {
		t.Errorf("the file won: %+v", s)
	}
	if s.DataDir != "/file" || s.HTTPAddr != "127.0.0.1:7600" || s.RPCPort != 7400 || s.MemoryMax != 100 {
		t.Errorf("the file was not read: %+v", s)
	}
}
