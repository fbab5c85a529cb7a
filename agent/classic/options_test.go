package classic

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]func(*Options){
		"":                          func(*Options) {},
		"-f /a.conf":                func(o *Options) { o.File = "/a.conf" },
		"-f/a.conf":                 func(o *Options) { o.File = "/a.conf" },
		"--use-file=/a.conf":        func(o *Options) { o.File = "/a.conf" },
		"--use-file /a.conf":        func(o *Options) { o.File = "/a.conf" },
		"--use /a.conf":             func(o *Options) { o.File = "/a.conf" },
		"-nlD":                      func(o *Options) { o.Foreground, o.Console, o.Detail = true, true, true },
		"-nlDf/a.conf":              func(o *Options) { o.Foreground, o.Console, o.Detail, o.File = true, true, true, "/a.conf" },
		"-nf /a.conf":               func(o *Options) { o.Foreground, o.File = true, "/a.conf" },
		"--dont-fork --log-console": func(o *Options) { o.Foreground, o.Console = true, true },
		"--dont-f --log-c --log-d":  func(o *Options) { o.Foreground, o.Console, o.Detail = true, true, true },
		"--vrrp":                    func(o *Options) { o.VRRPOnly = true },
		"--vrrp_pid=/p":             func(o *Options) { o.VRRPPIDFile = "/p" },
		"-P -C":                     func(o *Options) { o.VRRPOnly, o.CheckOnly = true, true },
		"--all -G -d -x -a -e -m": func(o *Options) {
			o.All, o.NoSyslog, o.DumpConf, o.SNMP = true, true, true, true
			o.Addresses, o.AllConfig, o.CoreDump = true, true, true
		},
		"-p /1 -r /2 -c /3 -b /4":  func(o *Options) { o.PIDFile, o.VRRPPIDFile, o.CheckersPIDFile, o.BFDPIDFile = "/1", "/2", "/3", "/4" },
		"-S 3":                     func(o *Options) { o.Facility = 19 },
		"-S local7":                func(o *Options) { o.Facility = 23 },
		"--log-facility=user":      func(o *Options) { o.Facility = 1 },
		"-u 022":                   func(o *Options) { o.Umask = new(0o22) },
		"-u 0x12":                  func(o *Options) { o.Umask = new(0o22) },
		"-t":                       func(o *Options) { o.Test = true },
		"-t/log":                   func(o *Options) { o.Test, o.TestLog = true, "/log" },
		"--config-test=/log -f /a": func(o *Options) { o.Test, o.TestLog, o.File = true, "/log", "/a" },
		"-i lb1 -s red":            func(o *Options) { o.ConfigID, o.Namespace = "lb1", "red" },
		"--signum=JSON":            func(o *Options) { o.Signum = "JSON" },
		"-v":                       func(o *Options) { o.Version = true },
		"-help --bogus":            func(o *Options) { o.Help = true },
		"--help":                   func(o *Options) { o.Help = true },
		"-g /log --flush-log-file": func(o *Options) { o.LogFile = "/log" },
		"-B --no-mem-check":        func(*Options) {},
		"-- -n":                    func(o *Options) { o.Notices = []string{`the argument "-n" is not understood and passed over`} },
		"stray -n": func(o *Options) {
			o.Foreground = true
			o.Notices = []string{`the argument "stray" is not understood and passed over`}
		},
		"-S nonsense": func(o *Options) {
			o.Notices = []string{"-S nonsense: want local0 to local7, user or daemon; daemon is taken"}
		},
		"-u nonsense":               func(o *Options) { o.Notices = []string{"-u nonsense: not a umask, the default is taken"} },
		"-I -I --dont-release-ipvs": func(o *Options) { o.Notices = []string{"-I has no meaning here: no IPVS topology is managed yet"} },
		"-f -n":                     func(o *Options) { o.File = "-n" },
	} {
		argv := append([]string{"keepalived"}, strings.Fields(line)...)
		expect := Options{Argv: argv, File: DefaultFile, Facility: facilityDaemon}
		want(&expect)
		got, err := Parse(argv)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if diff := cmp.Diff(expect, got); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"--bogus":   "Unknown option --bogus",
		"-Z":        "Unknown option -Z",
		"-nZ":       "Unknown option -Z",
		"--log":     "Unknown option --log",
		"-f":        "Missing parameter for option -f",
		"-nf":       "Missing parameter for option -f",
		"--pid":     "Missing parameter for option --pid",
		"--vrrp=x":  "option --vrrp takes no argument",
		"-T a b":    "genhash is not part of this program",
		"--=x":      "Unknown option --",
		"-n --\x00": "Unknown option --\x00",
		"-\x00":     "Unknown option -\x00",
	} {
		_, err := Parse(append([]string{"keepalived"}, strings.Fields(line)...))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// TestOptionsOfKeepalived: no option of keepalived 2.2.7 is left out, and every one is explained.
func TestOptionsOfKeepalived(t *testing.T) {
	letters := "fPCBlDSGuXVIRndprTcabxAsmMeitvh"
	names := strings.Fields("use-file vrrp check no_bfd all log-console log-detail log-facility no-syslog umask release-vips " +
		"dont-release-vrrp dont-release-ipvs dont-respawn dont-fork dump-conf pid vrrp_pid genhash checkers_pid " +
		"address-monitoring bfd_pid snmp snmp-agent-socket namespace core-dump core-dump-pattern all-config config-id signum " +
		"config-test version help")
	have := map[string]bool{}
	for _, s := range specs() {
		have[s.long] = true
		letters = strings.ReplaceAll(letters, string(s.letter), "")
		if meanings[s.long] == "" {
			t.Errorf("--%s is not explained", s.long)
		}
		if !strings.Contains(Usage(), "--"+s.long) {
			t.Errorf("--%s is not in the usage", s.long)
		}
	}
	for _, n := range names {
		if !have[n] {
			t.Errorf("--%s is not there", n)
		}
	}
	if letters != "" {
		t.Errorf("letters -%s are not there", letters)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"-nlDf /a", "--use-file=/a -t", "-t/log --sig=JSON", "-- --", "-", "--", "-S 9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, _ = Parse(append([]string{"keepalived"}, strings.Fields(line)...))
	})
}
