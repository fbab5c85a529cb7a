package classic

import (
	"fmt"
	"strings"
)

// meanings are the options in words, by their long names.
var meanings = map[string]string{
	"use-file": "read this FILE (default " + DefaultFile + ")", "vrrp": "VRRP alone: pass over virtual_server",
	"check": "checkers alone: no VRRP", "no_bfd": "no BFD; there is none", "all": "also the pid files of children without configuration",
	"log-console": "log to standard error instead of syslog", "log-detail": "log in detail",
	"log-facility": "syslog facility: local0 to local7, user or daemon (default)", "log-file": "log to this FILE as well",
	"flush-log-file": "accepted: every line is written at once", "no-syslog": "not to syslog",
	"umask": "of the files that are made (default 0177)", "release-vips": "accepted: addresses are always released",
	"dont-release-vrrp": "accepted, not done: addresses are taken off at the end", "dont-release-ipvs": "accepted",
	"dont-respawn": "accepted: there are no children", "dont-fork": "stay in the foreground", "dump-conf": "log the configuration in force",
	"pid": "pid file of the daemon (default /run/keepalived.pid)", "vrrp_pid": "pid file of the VRRP part (default /run/vrrp.pid)",
	"genhash": "not part of this program", "checkers_pid": "pid file of the checkers", "bfd_pid": "pid file of BFD",
	"address-monitoring": "log addresses that come and go", "snmp": "send SNMP traps", "snmp-agent-socket": "accepted: there is no master agent",
	"namespace": "run in this network namespace", "core-dump": "leave a core when the program crashes",
	"core-dump-pattern": "as -m; core_pattern is left alone", "all-config": "a configuration file that is missing is an error",
	"config-id": "what lines that begin with @ID compare with (default: the host's name)",
	"signum":    "print the number of STOP, RELOAD, DATA, STATS, STATS_CLEAR or JSON",
	"config-test": "say what is wrong with the configuration, to FILE if given, and end: 0 nothing, 2 an argument is missing, " +
		"5 mistakes, 6 scripts that are not safe",
	"perf": "accepted", "no-mem-check": "accepted", "debug": "accepted", "version": "print the version", "help": "print this",
}

// Usage lists the options, each with its meaning on lines below it; all lines begin with a blank.
func Usage() string {
	var b strings.Builder
	for _, s := range specs() {
		letter := "    "
		if s.letter != 0 {
			letter = fmt.Sprintf("-%c, ", s.letter)
		}
		long := "--" + s.long
		switch s.arg {
		case required:
			long += "=ARG"
		case optional:
			long += "[=FILE]"
		}
		fmt.Fprintf(&b, "\n  %s%s", letter, long)
		room := 0
		for word := range strings.FieldsSeq(meanings[s.long]) {
			if room -= len(word) + 1; room < 0 {
				b.WriteString("\n         ")
				room = 66 - len(word)
			}
			b.WriteString(" " + word)
		}
	}
	return b.String()
}
