package command

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"

	"github.com/reeve-lb/reeve/agent/classic"
	"github.com/reeve-lb/reeve/internal/version"
)

// keepalivedName is the name by which the program is called to be keepalived.
const keepalivedName = "keepalived"

// asKeepalived runs the keepalived personality when the program was called by its name, or as `reeve keepalived`. Its
// command line is keepalived's, in which no flag of this program has a place.
func asKeepalived(argv []string, out, errOut io.Writer) (code int, ok bool) {
	switch {
	case filepath.Base(argv[0]) == keepalivedName:
		out = errOut // where keepalived prints its help
	case len(argv) > 1 && argv[1] == keepalivedName:
		argv = argv[1:]
	default:
		return 0, false
	}
	o, err := classic.Parse(argv)
	switch {
	case err != nil:
		fmt.Fprintln(errOut, err)
		return 1, true
	case o.Version:
		printKeepalivedVersion(errOut)
		return 0, true
	case o.Help:
		fmt.Fprintln(out, keepalivedLeaf().Help())
		return 0, true
	}
	return runKeepalived(o, errOut), true
}

// printKeepalivedVersion says first what exporters look for: the version spoken, then what is in it.
func printKeepalivedVersion(w io.Writer) {
	fmt.Fprintf(w, "Keepalived v%s (Reeve %s)\n\n", classic.Spoken, version.Version)
	fmt.Fprintf(w, "This is Reeve, which runs keepalived's configuration and goes by its command line.\nBuilt with %s for %s/%s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintln(w, "Config options:  NFTABLES VRRP VRRP_AUTH VRRP_VMAC JSON SYSTEMD_NOTIFY")
}

// keepalivedLeaf is the page of the personality; its options are keepalived's own, which no flag set can parse.
func keepalivedLeaf() *leaf {
	return &leaf{
		name: keepalivedName, args: "[OPTION...]", short: "Be keepalived: its command line, files and signals",
		long: "Runs a keepalived.conf on one node as keepalived runs it: no cluster, no port, the routers elect. A binary or link of the " +
			"name keepalived does the same, so that units and scripts go on working. Without -n it goes into the background; " +
			"the command ends when the daemon is ready, with 0, or with what kept it from starting.\n" +
			"HUP reads the file again (one that can't run changes nothing), TERM and INT stop, USR1 writes /tmp/keepalived.data, " +
			"USR2 /tmp/keepalived.stats, and the signals that --signum=JSON and --signum=STATS_CLEAR name write /tmp/keepalived.json " +
			"and clear the counters." + classic.Usage() + "\nAn option that has no meaning here is accepted, and said once in the log.",
		run: func(c *call) error {
			code, _ := asKeepalived(append([]string{keepalivedName}, c.args...), c.out, c.errOut)
			if code != 0 {
				return errSilent
			}
			return nil
		},
	}
}
