package lint

import (
	"path"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// command is something that the node runs, and for what.
type command struct {
	what string // vrrp_script 'chk', notify_master of vrrp_instance 'VI_1'
	argv []string
	user string
	pos  source.Pos
}

// as is " as USER", or as what scripts run without a word about it.
func (c command) as() string {
	if c.user == "" {
		return " in its place"
	}
	return " in its place, as " + c.user
}

// commands is everything of a configuration that is run.
func commands(c *vrrp.Config) []command {
	var out []command
	add := func(what string, argv []string, user string, at, otherwise source.Pos) {
		if len(argv) == 0 {
			return
		}
		if user == "" {
			user = c.Global.ScriptUser
		}
		if at.IsZero() {
			at = otherwise
		}
		out = append(out, command{what, argv, user, at})
	}
	for _, s := range c.Scripts {
		argv := s.Command
		if s.Shell != "" {
			argv = []string{"/bin/sh", "-c", s.Shell}
		}
		add("vrrp_script '"+s.Name+"'", argv, s.User, s.Pos, s.Pos)
	}
	notifies := func(of string, n *vrrp.Notifies, pos source.Pos) {
		for _, k := range []struct {
			name string
			cmd  *vrrp.Command
		}{
			{"notify_master", &n.Master}, {"notify_backup", &n.Backup}, {"notify_fault", &n.Fault}, {"notify_stop", &n.Stop},
			{"notify_deleted", &n.Deleted}, {"notify_master_rx_lower_pri", &n.MasterRxLower}, {"notify", &n.Any},
		} {
			add(k.name+" of "+of, k.cmd.Argv, k.cmd.User, k.cmd.Pos, pos)
		}
	}
	for i := range c.Instances {
		notifies("vrrp_instance '"+c.Instances[i].Name+"'", &c.Instances[i].Notifies, c.Instances[i].Pos)
	}
	for i := range c.SyncGroups {
		notifies("vrrp_sync_group '"+c.SyncGroups[i].Name+"'", &c.SyncGroups[i].Notifies, c.SyncGroups[i].Pos)
	}
	g := &c.Global
	for _, k := range []struct {
		name string
		cmd  *vrrp.Command
	}{
		{"startup_script", &g.Startup}, {"shutdown_script", &g.Shutdown}, {"notify_fifo_script", &g.FIFO.Script}, {"vrrp_notify_fifo_script", &g.VRRPFIFO.Script},
	} {
		add(k.name, k.cmd.Argv, k.cmd.User, k.cmd.Pos, g.Pos)
	}
	return out
}

// files are those of a command line that are run: the program, and what an interpreter is given. Names without a slash are
// searched for, which is another story.
func files(argv []string) []string {
	var out []string
	for len(argv) > 0 {
		if strings.HasPrefix(argv[0], "/") {
			out = append(out, argv[0])
		}
		name := strings.TrimRight(path.Base(argv[0]), "0123456789.")
		if !slices.Contains([]string{"sh", "bash", "dash", "python", "perl", "ruby", "env", "timeout", "nice"}, name) {
			return out
		}
		argv = argv[1:]
		if len(argv) > 1 && argv[0] == "-c" { // a line for the shell
			argv = strings.Fields(argv[1])
			continue
		}
		for len(argv) > 0 && !strings.HasPrefix(argv[0], "/") {
			argv = argv[1:]
		}
	}
	return out
}
