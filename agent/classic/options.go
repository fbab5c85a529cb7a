package classic

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// DefaultFile is the configuration that keepalived reads when nobody names one.
const DefaultFile = "/etc/keepalived/keepalived.conf"

// Options is keepalived's command line.
type Options struct {
	Argv      []string // as typed, the program's name first
	File      string   // -f
	ConfigID  string   // -i: what @ID compares with; "": the host's name up to the first dot
	AllConfig bool     // -e: a file that is missing is an error
	VRRPOnly  bool     // -P
	CheckOnly bool     // -C: checkers alone, of which there are none yet
	All       bool     // --all: what every child of keepalived would leave, its pid file

	Foreground bool // -n
	Console    bool // -l
	Detail     bool // -D
	NoSyslog   bool // -G
	Facility   int  // -S: the syslog facility's number
	LogFile    string
	Umask      *int
	DumpConf   bool // -d
	SNMP       bool // -x
	Addresses  bool // -a: log what happens to addresses
	Namespace  string
	CoreDump   bool // -m

	PIDFile, VRRPPIDFile, CheckersPIDFile, BFDPIDFile string // "": keepalived's places

	Test    bool   // -t
	TestLog string // "": stderr

	Signum        string // --signum: print the number and end
	Version, Help bool

	Notices []string // what of the command line has no meaning here, or was not understood; each said once
}

// said is an error in keepalived's own words, which scripts look for.
type said string

// Error implements error.
func (s said) Error() string { return string(s) }

func saidf(format string, args ...any) error { return said(fmt.Sprintf(format, args...)) }

// flagSpec is one option: its letter (0: none), its long name, whether it takes an argument, and what it does.
type flagSpec struct {
	letter byte
	long   string
	arg    argument
	set    func(o *Options, value string) error
}

type argument int

const (
	none argument = iota
	required
	optional // only attached: -tFILE, --config-test=FILE
)

func on(field func(*Options) *bool) func(*Options, string) error {
	return func(o *Options, _ string) error { *field(o) = true; return nil }
}

func text(field func(*Options) *string) func(*Options, string) error {
	return func(o *Options, v string) error { *field(o) = v; return nil }
}

// idle is an option that is taken and changes nothing; why is said once at the start.
func idle(why string) func(*Options, string) error {
	return func(o *Options, _ string) error { o.notice(why); return nil }
}

func (o *Options) notice(text string) {
	if text != "" && !slices.Contains(o.Notices, text) {
		o.Notices = append(o.Notices, text)
	}
}

// specs lists every option of keepalived 2.2, in the order of its help.
func specs() []flagSpec {
	return []flagSpec{
		{'f', "use-file", required, text(func(o *Options) *string { return &o.File })},
		{'P', "vrrp", none, on(func(o *Options) *bool { return &o.VRRPOnly })},
		{'C', "check", none, on(func(o *Options) *bool { return &o.CheckOnly })},
		{'B', "no_bfd", none, idle("")}, // there is no BFD to leave out
		{0, "all", none, on(func(o *Options) *bool { return &o.All })},
		{'l', "log-console", none, on(func(o *Options) *bool { return &o.Console })},
		{'D', "log-detail", none, on(func(o *Options) *bool { return &o.Detail })},
		{'S', "log-facility", required, setFacility},
		{'g', "log-file", required, text(func(o *Options) *string { return &o.LogFile })},
		{0, "flush-log-file", none, idle("")}, // every line is written at once
		{'G', "no-syslog", none, on(func(o *Options) *bool { return &o.NoSyslog })},
		{'u', "umask", required, setUmask},
		{'X', "release-vips", none, idle("-X has no meaning here: addresses are always released when the state changes")},
		{'V', "dont-release-vrrp", none, idle("-V is not done: addresses are taken off at the end, or two hosts would have them")},
		{'I', "dont-release-ipvs", none, idle("-I has no meaning here: no IPVS topology is managed yet")},
		{'R', "dont-respawn", none, idle("-R has no meaning here: there are no children to start again")},
		{'n', "dont-fork", none, on(func(o *Options) *bool { return &o.Foreground })},
		{'d', "dump-conf", none, on(func(o *Options) *bool { return &o.DumpConf })},
		{'p', "pid", required, text(func(o *Options) *string { return &o.PIDFile })},
		{'r', "vrrp_pid", required, text(func(o *Options) *string { return &o.VRRPPIDFile })},
		{'T', "genhash", none, func(*Options, string) error { return errors.New("genhash is not part of this program") }},
		{'c', "checkers_pid", required, text(func(o *Options) *string { return &o.CheckersPIDFile })},
		{'a', "address-monitoring", none, on(func(o *Options) *bool { return &o.Addresses })},
		{'b', "bfd_pid", required, text(func(o *Options) *string { return &o.BFDPIDFile })},
		{'x', "snmp", none, on(func(o *Options) *bool { return &o.SNMP })},
		{'A', "snmp-agent-socket", required, idle("-A has no meaning here: traps are sent by themselves, without a master agent")},
		{'s', "namespace", required, text(func(o *Options) *string { return &o.Namespace })},
		{'m', "core-dump", none, on(func(o *Options) *bool { return &o.CoreDump })},
		{'M', "core-dump-pattern", optional, func(o *Options, _ string) error {
			o.CoreDump = true
			o.notice("-M: core_pattern is left as it is, it is every program's; core dumps are on")
			return nil
		}},
		{'e', "all-config", none, on(func(o *Options) *bool { return &o.AllConfig })},
		{'i', "config-id", required, text(func(o *Options) *string { return &o.ConfigID })},
		{0, "signum", required, text(func(o *Options) *string { return &o.Signum })},
		{'t', "config-test", optional, func(o *Options, v string) error { o.Test, o.TestLog = true, v; return nil }},
		{0, "perf", optional, idle("--perf has no meaning here")},
		{0, "no-mem-check", none, idle("")},
		{0, "debug", optional, idle("--debug has no meaning here: -D logs in detail")},
		{'v', "version", none, on(func(o *Options) *bool { return &o.Version })},
		{'h', "help", none, on(func(o *Options) *bool { return &o.Help })},
	}
}

// facilities by syslog's numbers (RFC 5424 section 6.2.1).
const (
	facilityUser   = 1
	facilityDaemon = 3
	facilityLocal0 = 16
)

func setFacility(o *Options, v string) error {
	digit := strings.TrimPrefix(v, "local")
	switch {
	case v == "user":
		o.Facility = facilityUser
	case v == "daemon":
		o.Facility = facilityDaemon
	case len(digit) == 1 && digit[0] >= '0' && digit[0] <= '7':
		o.Facility = facilityLocal0 + int(digit[0]-'0')
	default:
		o.notice(fmt.Sprintf("-S %s: want local0 to local7, user or daemon; daemon is taken", v))
	}
	return nil
}

func setUmask(o *Options, v string) error {
	n, err := strconv.ParseUint(v, 0, 9)
	if err != nil {
		o.notice(fmt.Sprintf("-u %s: not a umask, the default is taken", v))
		return nil
	}
	mask := int(n)
	o.Umask = &mask
	return nil
}

// Parse reads keepalived's command line as getopt_long does: letters may be run together, a long name may be cut short
// while it stays clear which one is meant, an argument may be attached. argv[0] is the program.
func Parse(argv []string) (Options, error) {
	o := Options{Argv: argv, File: DefaultFile, Facility: facilityDaemon}
	args := argv[min(1, len(argv)):]
	all := specs()
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		var err error
		switch {
		case word == "--":
			o.strangers(args)
			return o, nil
		case strings.HasPrefix(word, "--"):
			args, err = parseLong(&o, all, word[2:], args)
		case len(word) > 1 && word[0] == '-':
			args, err = parseLetters(&o, all, word[1:], args)
		default:
			o.strangers([]string{word})
		}
		if err != nil || o.Help || o.Version { // the last two are answered as soon as they are met
			return o, err
		}
	}
	return o, nil
}

// strangers are words that no option asked for; keepalived passes over them.
func (o *Options) strangers(words []string) {
	for _, w := range words {
		o.notice(fmt.Sprintf("the argument %q is not understood and passed over", w))
	}
}

func parseLong(o *Options, all []flagSpec, word string, rest []string) ([]string, error) {
	name, value, attached := strings.Cut(word, "=")
	var found []flagSpec
	for _, s := range all {
		if s.long == name {
			found = []flagSpec{s}
			break
		}
		if name != "" && strings.HasPrefix(s.long, name) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return rest, saidf("Unknown option --%s", name)
	}
	s := found[0]
	switch {
	case s.arg == none && attached:
		return rest, fmt.Errorf("option --%s takes no argument", s.long)
	case s.arg == required && !attached:
		if len(rest) == 0 {
			return rest, saidf("Missing parameter for option --%s", s.long)
		}
		value, rest = rest[0], rest[1:]
	}
	return rest, s.set(o, value)
}

func parseLetters(o *Options, all []flagSpec, letters string, rest []string) ([]string, error) {
	for letters != "" {
		c := letters[0]
		letters = letters[1:]
		at := slices.IndexFunc(all, func(s flagSpec) bool { return s.letter == c })
		if c == 0 || at < 0 {
			return rest, saidf("Unknown option -%c", c)
		}
		s := all[at]
		value := ""
		switch {
		case s.arg == none:
		case letters != "":
			value, letters = letters, ""
		case s.arg == required && len(rest) == 0:
			return rest, saidf("Missing parameter for option -%c", c)
		case s.arg == required:
			value, rest = rest[0], rest[1:]
		}
		if err := s.set(o, value); err != nil || o.Help || o.Version {
			return rest, err
		}
	}
	return rest, nil
}

// Signums are the words of --signum with the signals that this daemon listens to.
var signums = map[string]int{
	"STOP": int(sigStop), "RELOAD": int(sigReload), "DATA": int(sigData), "STATS": int(sigStats),
	"STATS_CLEAR": int(sigStatsClear), "JSON": int(sigJSON),
}

// hostLabel is the host's name up to the first dot, what @ID compares with by default.
func hostLabel() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	label, _, _ := strings.Cut(name, ".")
	return label
}
