package config

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
)

var facilities = strings.Fields(`kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2
	local0 local1 local2 local3 local4 local5 local6 local7`)

var levels = strings.Fields(`emerg alert crit err warning notice info debug`)

var logFormats = []string{"rfc3164", "rfc5424", "raw"}

// logTarget reads `log global` or `log TARGET [len N] [format F] FACILITY [MAX [MIN]]`.
func (d *decoder) logTarget(k tree.Node) (proxy.LogTarget, bool) {
	t := proxy.LogTarget{Len: 1024, Format: "rfc3164", Pos: k.Pos}
	const usage = "log TARGET [len N] [format F] FACILITY [MAXLEVEL [MINLEVEL]]"
	ws := k.Args
	if len(ws) == 0 {
		d.errorf(k.Pos, usage, "'log' needs a target")
		return t, false
	}
	t.Address = ws[0].Text
	if t.Address == "global" && len(ws) == 1 {
		return t, true
	}
	if !d.logAddress(&t, ws[0]) {
		return t, false
	}
	ws = ws[1:]
	for len(ws) > 1 && slices.Contains([]string{"len", "format", "sample", "profile"}, ws[0].Text) {
		if !d.logOption(&t, ws[0], ws[1]) {
			return t, false
		}
		ws = ws[2:]
	}
	if len(ws) == 0 {
		d.errorf(k.Args[0].Pos, usage, "the log target has no facility")
		return t, false
	}
	for i, part := range []struct {
		to    *string
		known []string
		name  string
	}{{&t.Facility, facilities, "facility"}, {&t.MaxLevel, levels, "level"}, {&t.MinLevel, levels, "level"}} {
		if i >= len(ws) {
			break
		}
		if !slices.Contains(part.known, ws[i].Text) {
			hint := strings.Join(part.known, " ")
			if c := words.Nearest(ws[i].Text, part.known); c != "" {
				hint = "did you mean '" + c + "'?"
			}
			d.errorf(ws[i].Pos, hint, "unknown log %s %s", part.name, tree.Quote(ws[i].Text))
			return t, false
		}
		*part.to = ws[i].Text
	}
	if len(ws) > 3 {
		d.errorf(ws[3].Pos, "", "surplus word %s after 'log'", tree.Quote(ws[3].Text))
		return t, false
	}
	return t, true
}

func (d *decoder) logOption(t *proxy.LogTarget, name, value tree.Word) bool {
	switch name.Text {
	case "len":
		n, ok := parseInt(value.Text, false)
		if !ok || n < 80 || n > 65535 {
			d.errorf(value.Pos, "a number from 80 to 65535", "%s is no length of a log line", tree.Quote(value.Text))
			return false
		}
		t.Len = int(n)
	case "format":
		if !slices.Contains(logFormats, value.Text) {
			d.errorf(value.Pos, strings.Join(logFormats, ", "), "the log format %s is not supported", tree.Quote(value.Text))
			return false
		}
		t.Format = value.Text
	default:
		d.errorf(name.Pos, "", "'log ... %s' is not supported yet", name.Text)
		return false
	}
	return true
}

// logAddress completes HOST to HOST:514 and leaves paths and stdout alone.
func (d *decoder) logAddress(t *proxy.LogTarget, w tree.Word) bool {
	s := w.Text
	switch {
	case s == "stdout" || s == "stderr" || strings.HasPrefix(s, "/"):
		return true
	case strings.Contains(s, "@"):
		d.errorf(w.Pos, "host, host:port, a socket's path, stdout or stderr", "the log target %s is not supported yet", tree.Quote(s))
		return false
	case !strings.Contains(s, ":"):
		t.Address = net.JoinHostPort(s, "514")
		return true
	}
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	if err != nil || host == "" || perr != nil || n < 1 || n > 65535 {
		d.errorf(w.Pos, "host, host:port, a socket's path, stdout or stderr", "%s is no log target", tree.Quote(s))
		return false
	}
	return true
}
