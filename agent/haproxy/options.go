package haproxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Options is haproxy's command line.
type Options struct {
	Files      []string // -f and what follows --, in order; directories are read for their *.cfg
	Check      bool     // -c: say what is wrong with the files and end
	Dir        string   // -C: change to it before the files are read
	Daemon     bool     // -D: go into the background
	Quiet      bool     // -q: nothing is printed, not even mistakes
	Verbose    bool     // -V: the opposite, the stronger of the two
	Debug      bool     // -d: log in detail
	Workers    bool     // -W, -Ws: HUP reloads, as it does with a master
	ZeroWarn   bool     // -dW: a warning is as good as an error
	Foreground bool     // -db: never into the background
	Name       string   // -L: the node's name; "": the host's
	MaxConn    int      // -n: in place of global maxconn; 0: as the files say
	ProxyConn  int      // -N: for proxies without maxconn; 0: as the files say
	PIDFile    string   // -p: in place of global pidfile
	MemoryMax  int64    // -m, in bytes; 0: no limit

	Version  int // 1: -v, 2: -vv
	Usage    bool
	Notices  []string // what of the command line has no meaning here; each is said once
	Refusals []string // what is not done and can't be passed over
}

// notice notes what is passed over.
func (o *Options) notice(text string) {
	if text != "" && !slices.Contains(o.Notices, text) {
		o.Notices = append(o.Notices, text)
	}
}

// withArgument are the options that take the next word.
var withArgument = map[string]func(*Options, string){
	"-f": func(o *Options, v string) { o.Files = append(o.Files, v) },
	"-C": func(o *Options, v string) { o.Dir = v },
	"-L": func(o *Options, v string) { o.Name = v },
	"-n": func(o *Options, v string) { o.MaxConn = number(v) },
	"-N": func(o *Options, v string) { o.ProxyConn = number(v) },
	"-p": func(o *Options, v string) { o.PIDFile = v },
	"-m": func(o *Options, v string) { o.MemoryMax = int64(number(v)) << 20 },
	"-S": func(o *Options, v string) {
		o.notice("-S has no meaning here: there is no master whose socket could be opened")
	},
	"-x": func(o *Options, v string) {
		o.notice("-x has no meaning here: a reload (USR2) changes the configuration in place and hands no sockets on")
	},
	"-cc": func(o *Options, v string) { o.refuse("-cc (conditions) is not supported yet") },
}

func (o *Options) refuse(text string) { o.Refusals = append(o.Refusals, text) }

// number reads a number as haproxy does: what is none counts as not given.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1<<31-1 {
		return 0
	}
	return n
}

// bare are the options that stand alone.
var bare = map[string]func(*Options){
	"-c":  func(o *Options) { o.Check = true },
	"-D":  func(o *Options) { o.Daemon = true },
	"-q":  func(o *Options) { o.Quiet = true },
	"-V":  func(o *Options) { o.Verbose = true },
	"-d":  func(o *Options) { o.Debug, o.Foreground = true, true },
	"-db": func(o *Options) { o.Foreground = true },
	"-dW": func(o *Options) { o.ZeroWarn = true },
	"-W":  func(o *Options) { o.Workers = true },
	"-Ws": func(o *Options) { o.Workers = true },
	"-v":  func(o *Options) { o.Version = 1 },
	"-vv": func(o *Options) { o.Version = 2 },
	// Switches of other pollers and of memory debugging: nothing of theirs is here.
	"-dD": nil, "-dG": nil, "-dL": nil, "-dM": nil, "-dR": nil, "-dS": nil, "-dV": nil, "-de": nil, "-dk": nil, "-dp": nil, "-dr": nil, "-ds": nil,
}

// Parse reads haproxy's command line, each option a word of its own. argv[0] is the program. What is no option, and an
// option without its argument, asks for the usage, as haproxy has it.
func Parse(argv []string) Options {
	var o Options
	args := argv[min(1, len(argv)):]
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			o.Files = append(o.Files, args...)
			return o
		}
		if word == "-sf" || word == "-st" {
			args = args[pids(args):]
			o.refuse(fmt.Sprintf("%s is not supported yet: send USR2 to the process that runs, it reads its files again in place", word))
			continue
		}
		if set, ok := withArgument[word]; ok {
			if len(args) == 0 {
				o.Usage = true
				return o
			}
			set(&o, args[0])
			args = args[1:]
			continue
		}
		set, ok := bare[word]
		switch {
		case ok && set != nil:
			set(&o)
		case ok, strings.HasPrefix(word, "-dM"), strings.HasPrefix(word, "-dr"):
			o.notice(word + " has no meaning here")
		default:
			o.Usage = true
			return o
		}
		if o.Version > 0 {
			return o
		}
	}
	return o
}

// pids counts the numbers in front.
func pids(args []string) int {
	n := 0
	for n < len(args) && number(args[n]) > 0 {
		n++
	}
	return n
}
