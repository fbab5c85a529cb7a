// Package keepalivedt answers as `keepalived -t` does: what a configuration says, held against the machine that is to run
// it.
package keepalivedt

import (
	"strings"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/keepalivedconf"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// Machine is what has to be asked of the machine. A function that is nil is not asked.
type Machine struct {
	Interface func(name string) bool     // is there such an interface?
	User      func(name string) error    // of /etc/passwd
	Program   func(name string) error    // can it be run? A name without a slash is looked for in PATH
	Insecure  func(program string) error // why root must not run it
}

// Test is the answer to files: the Document that keepalived would run, all problems, and the exit code of `keepalived -t`
// (see keepalivedconf.TestAnswer). With opts.Tolerant the Document is what keepalived makes of the mistakes, and the
// problems that it runs with are warnings.
func Test(files []config.File, opts config.Options, m Machine) (config.Document, source.Problems, int) {
	doc, _, ps := config.Load(files, opts)
	for _, p := range Look(doc, m) {
		if opts.Tolerant && p.Kind() < source.ClassFatal {
			p.Class, p.Severity = p.Kind(), source.Warning
		}
		ps = append(ps, p)
	}
	ps.Sort()
	return doc, ps, keepalivedconf.TestAnswer(ps)
}

// Look holds a Document against the machine. With these problems keepalived does not start (ClassFatal), or starts without
// a script (ClassTolerated), or runs one that others may change (ClassSecurity).
func Look(doc config.Document, m Machine) source.Problems {
	l := look{m: m, c: &doc.VRRP}
	l.interfaces()
	l.scripts()
	l.unchecked()
	return l.ps
}

type look struct {
	m  Machine
	c  *vrrp.Config
	ps source.Problems

	gone bool // an interface is missing
}

func (l *look) interfaces() {
	if l.m.Interface == nil || l.c.Global.DynamicInterfaces {
		return
	}
	for i := range l.c.Instances {
		in := &l.c.Instances[i]
		l.iface(in.Interface, in.Pos)
		for _, t := range in.TrackInterfaces {
			l.iface(t.Name, t.Pos)
		}
		for _, list := range [][]vrrp.Address{in.Addresses, in.Excluded} {
			for _, a := range list {
				l.iface(a.Dev, a.Pos)
			}
		}
	}
}

func (l *look) iface(name string, at source.Pos) {
	if name != "" && !l.m.Interface(name) {
		l.ps.Errorf(at, "dynamic_interfaces waits for it", "there is no interface '%s' on this machine", name)
		l.ps.As(source.ClassFatal)
		l.gone = true
	}
}

// scripts looks at all that instances run. Without instances nothing is run.
func (l *look) scripts() {
	g := &l.c.Global
	l.user(g.ScriptUser, "script_user", g.Pos)
	for _, s := range l.c.Scripts {
		l.user(s.User, "vrrp_script '"+s.Name+"'", s.Pos)
		if s.Shell == "" && len(s.Command) > 0 && l.tracked(s.Name) {
			l.program(s.Command[0], "vrrp_script '"+s.Name+"'", s.Pos, source.ClassTolerated)
		}
	}
	for _, c := range l.commands() { // keepalived passes in silence over one that can't be run
		l.program(c.Argv[0], "notify", c.Pos, source.ClassSilent)
	}
}

// runs reports whether a program is there.
func (l *look) runs(name string) bool { return l.m.Program == nil || l.m.Program(name) == nil }

// unchecked: instances with scripts of any kind, tracked or not, and nobody asked who may change them. keepalived gets as
// far as that when all interfaces are there.
func (l *look) unchecked() {
	if l.c.Global.EnableScriptSecurity || len(l.c.Instances) == 0 || l.gone {
		return
	}
	at, found := source.Pos{}, false
	for _, s := range l.c.Scripts {
		argv := s.Command
		if s.Shell != "" {
			argv = strings.Fields(s.Shell)
		}
		if len(argv) > 0 && l.runs(argv[0]) {
			at, found = s.Pos, true
		}
	}
	for _, c := range l.commands() {
		if l.runs(c.Argv[0]) {
			at, found = c.Pos, true
		}
	}
	if found {
		l.ps.Warnf(at, "write enable_script_security in global_defs", "scripts are run, but nobody checks who may change them")
		l.ps.As(source.ClassSecurity)
	}
}

// commands are those of all states.
func (l *look) commands() []*vrrp.Command {
	var out []*vrrp.Command
	add := func(n *vrrp.Notifies) {
		for _, c := range []*vrrp.Command{&n.Master, &n.Backup, &n.Fault, &n.Stop, &n.Deleted, &n.MasterRxLower, &n.Any} {
			if len(c.Argv) > 0 {
				out = append(out, c)
			}
		}
	}
	for i := range l.c.Instances {
		add(&l.c.Instances[i].Notifies)
	}
	for i := range l.c.SyncGroups {
		add(&l.c.SyncGroups[i].Notifies)
	}
	return out
}

// tracked reports whether anybody runs a script.
func (l *look) tracked(name string) bool {
	for i := range l.c.Instances {
		for _, t := range l.c.Instances[i].TrackScripts {
			if t.Name == name {
				return true
			}
		}
	}
	for i := range l.c.SyncGroups {
		for _, t := range l.c.SyncGroups[i].TrackScripts {
			if t.Name == name {
				return true
			}
		}
	}
	return false
}

func (l *look) user(user, what string, at source.Pos) {
	name, _, _ := strings.Cut(user, ":")
	if name == "" || l.m.User == nil {
		return
	}
	if err := l.m.User(name); err != nil {
		l.ps.Errorf(at, "", "%s: there is no user '%s' on this machine", what, name)
	}
}

// program: a command must be there, and with enable_script_security nobody but root may change it.
func (l *look) program(name, what string, at source.Pos, missing source.Class) {
	if l.m.Program != nil {
		if err := l.m.Program(name); err != nil {
			l.ps.Warnf(at, "", "%s: %s", what, err)
			l.ps.As(missing)
			return
		}
	}
	if l.m.Insecure == nil || l.gone {
		return
	}
	if err := l.m.Insecure(name); err != nil {
		l.ps.Warnf(at, "", "%s: %s", what, err)
		l.ps.As(source.ClassSecurity)
	}
}
