package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// processChecks: a script that only asks whether a program runs.
func (l *look) processChecks() {
	for _, s := range l.doc.VRRP.Scripts {
		how, program := processCheck(s)
		if how == "" {
			continue
		}
		name := program
		if name == "" {
			name = "NAME"
		}
		l.warn(s.Pos, fmt.Sprintf("vrrp_track_process { process %s } sees it end at once and starts nothing; to know whether it answers, ask it", name),
			"vrrp_script '%s' starts a program every %s to ask by %s whether another one runs: one that hangs runs, too", s.Name, s.Interval, how)
	}
}

// processCheck finds out how a script looks for a process, and which.
func processCheck(s vrrp.Script) (how, program string) {
	if s.Shell == "" {
		return lookFor(s.Command)
	}
	for _, part := range strings.FieldsFunc(s.Shell, func(r rune) bool { return strings.ContainsRune(";&|(){}`\n", r) }) {
		ws := strings.Fields(part)
		for len(ws) > 0 && (slices.Contains([]string{"if", "!", "then", "exec", "$", "while"}, ws[0]) || strings.Contains(ws[0], "=")) {
			ws = ws[1:]
		}
		if how, program = lookFor(ws); how != "" {
			return how, program
		}
	}
	return "", ""
}

// lookFor judges one command.
func lookFor(argv []string) (how, program string) {
	if len(argv) == 0 {
		return "", ""
	}
	if sh := path.Base(argv[0]); (sh == "sh" || sh == "bash" || sh == "dash") && len(argv) == 3 && argv[1] == "-c" {
		return processCheck(vrrp.Script{Shell: argv[2]})
	}
	var options, names []string
	zero := false
	for i := 1; i < len(argv); i++ {
		a := argv[i]
		switch {
		case a == "-0" || a == "-s0" || a == "--signal=0":
			zero = true
		case (a == "-s" || a == "--signal" || a == "-n") && i+1 < len(argv) && argv[i+1] == "0":
			zero, i = true, i+1
		case strings.HasPrefix(a, "-"):
			options = append(options, a)
		case strings.HasPrefix(a, ">") || strings.HasPrefix(a, "2>") || strings.HasPrefix(a, "<"):
		default:
			names = append(names, strings.Trim(a, `'"`))
		}
	}
	if len(names) > 0 {
		program = names[len(names)-1]
	}
	switch cmd := path.Base(argv[0]); cmd {
	case "killall", "pkill":
		if zero {
			return cmd + " -0", program
		}
	case "kill":
		if zero {
			return "kill -0", "" // of a pid
		}
	case "pidof", "pgrep":
		if cmd == "pgrep" && slices.Contains(options, "-f") {
			program = "" // a pattern of the whole command line
		}
		return cmd, program
	}
	return "", ""
}

// intervals: the next run is due while the former may still go on.
func (l *look) intervals() {
	for _, s := range l.doc.VRRP.Scripts {
		if s.Timeout > s.Interval {
			l.warn(s.Pos, "write a timeout of at most the interval",
				"vrrp_script '%s' may run for %s and is due every %s: runs that are due meanwhile are left out, and a failure is known that much later", s.Name, s.Timeout, s.Interval)
		}
	}
}

// flaps: one run that is late moves the address, the next one moves it back.
func (l *look) flaps() {
	for _, s := range l.doc.VRRP.Scripts {
		if s.Rise <= 1 && s.Fall <= 1 && s.Interval <= time.Second {
			l.warn(s.Pos, "write fall 2 and rise 2", "vrrp_script '%s' decides by one run, every %s: one that is slow moves the address, and the next one moves it back", s.Name, s.Interval)
		}
	}
}

// writable: what everybody may write is run by everybody's leave. Machine knows more; here names have to do.
func (l *look) writable() {
	for _, c := range commands(&l.doc.VRRP) {
		for _, f := range files(c.argv) {
			if dir := open(f); dir != "" {
				l.warn(c.pos, "keep scripts where only root writes, as in /etc/reeve", "%s is in %s, where everybody may write: who puts another there is run%s", f, dir, c.as())
			}
		}
	}
	for i := range l.views { // arguments of notify may differ from node to node
		for _, c := range commands(&l.views[i].VRRP) {
			for _, f := range files(c.argv) {
				if dir := open(f); dir != "" {
					l.warn(c.pos, "keep scripts where only root writes, as in /etc/reeve", "%s is in %s, where everybody may write: who puts another there is run%s", f, dir, c.as())
				}
			}
		}
	}
}

func open(file string) string {
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		if strings.HasPrefix(path.Clean(file), dir+"/") {
			return dir
		}
	}
	return ""
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
