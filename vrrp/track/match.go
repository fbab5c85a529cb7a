package track

import (
	"path"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/vrrp"
)

// commLen is what the kernel keeps of a program's name (TASK_COMM_LEN less the zero).
const commLen = 15

// matcher says whether a process is one that a vrrp_track_process means. Pure.
type matcher struct {
	command  string
	args     []string
	argv     bool   // the command line counts, not the name alone
	anyArgs  bool   // whatever the arguments are
	howArgs  string // "", initial, partial, exact
	baseOnly bool   // command has no folder: that of argv[0] does not count
}

func newMatcher(p vrrp.Process) matcher {
	m := matcher{command: p.Command, args: p.Args, howArgs: p.ParamMatch, baseOnly: !strings.Contains(p.Command, "/")}
	m.anyArgs = len(p.Args) == 0 && p.ParamMatch == "" && !p.FullCommand
	m.argv = p.FullCommand || !m.anyArgs || !m.baseOnly || len(p.Command) > commLen
	return m
}

// match judges by the name (comm) and, if m.argv, by the command line.
func (m *matcher) match(comm string, argv []string) bool {
	if !m.argv {
		return comm == m.command
	}
	if len(argv) == 0 || !m.name(argv[0]) && !(m.anyArgs && m.longName(comm, argv[0])) {
		return false
	}
	return m.anyArgs || m.arguments(argv[1:])
}

func (m *matcher) name(argv0 string) bool {
	return argv0 == m.command || m.baseOnly && path.Base(argv0) == m.command
}

// longName is for a script: the kernel names the process after it, and argv[0] is its interpreter.
func (m *matcher) longName(comm, argv0 string) bool {
	return m.baseOnly && len(m.command) > commLen && comm == m.command[:commLen] && !strings.HasPrefix(path.Base(argv0), comm)
}

// arguments compares by param_match: partial: the first ones are these; initial: and the last of them may go on; otherwise
// they are these and no others.
func (m *matcher) arguments(args []string) bool {
	n := len(m.args)
	switch {
	case n == 0 || m.howArgs == "" || m.howArgs == "exact":
		return slices.Equal(args, m.args)
	case len(args) < n || !slices.Equal(args[:n-1], m.args[:n-1]):
		return false
	case m.howArgs == "initial":
		return strings.HasPrefix(args[n-1], m.args[n-1])
	}
	return args[n-1] == m.args[n-1]
}
