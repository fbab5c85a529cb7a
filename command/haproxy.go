package command

import (
	"io"
	"path/filepath"

	"github.com/reeve-lb/reeve/agent/haproxy"
)

// haproxyName is the name by which the program is called to be haproxy.
const haproxyName = "haproxy"

// asHAProxy runs the haproxy personality when the program was called by its name, or as `reeve haproxy`. Its command line
// is haproxy's, in which no flag of this program has a place.
func asHAProxy(argv []string, out, errOut io.Writer) (code int, ok bool) {
	switch {
	case filepath.Base(argv[0]) == haproxyName:
	case len(argv) > 1 && argv[1] == haproxyName:
		argv = argv[1:]
		if len(argv) == 2 && (argv[1] == "-h" || argv[1] == "-help" || argv[1] == "--help") {
			return 0, false // the page of the subcommand tells more than haproxy's usage
		}
	default:
		return 0, false
	}
	return runHAProxy(haproxy.Parse(argv), out, errOut), true
}

// haproxyLeaf is the page of the personality; its options are haproxy's own, which no flag set can parse.
func haproxyLeaf() *leaf {
	return &leaf{
		name: haproxyName, args: "-f FILE [OPTION...]", short: "Be haproxy: its command line, files and signals",
		long: "Runs a haproxy.cfg on one node as haproxy runs it: no cluster, no port but those of the file. A binary or link of the " +
			"name haproxy does the same, so that units and scripts go on working. It stays in the foreground.\n" +
			"TERM and INT end at once, USR1 lets connections end first (at most hard-stop-after), USR2 reads the files again in " +
			"place, without dropping a connection or a counter (files that can't run change nothing), and so does HUP with -W; without " +
			"it HUP tells the state of the servers." + haproxy.Usage + "\nAn option that has no meaning here is accepted, and said once.",
		run: func(c *call) error {
			if code, _ := asHAProxy(append([]string{haproxyName}, c.args...), c.out, c.errOut); code != 0 {
				return errSilent
			}
			return nil
		},
	}
}
