package classic

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// errMissing: there is no configuration file.
var errMissing = errors.New("Config files missing")

// load reads a keepalived.conf as keepalived would: what it complains of and lives with are warnings, what it does not
// start with are errors.
func load(o Options) (vrrp.Config, source.Problems, error) {
	f, err := os.Open(o.File)
	if err != nil {
		return vrrp.Config{}, nil, fmt.Errorf("%w '%s'.", errMissing, o.File)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, config.MaxFileSize+1))
	if err != nil {
		return vrrp.Config{}, nil, fmt.Errorf("%w '%s': %v", errMissing, o.File, err)
	}
	doc, _, ps := config.Load([]config.File{{Name: o.File, Content: content, Format: "keepalived"}}, options(o))
	doc = doc.For(hostLabel())
	c := doc.VRRP
	if o.SNMP {
		c.Global.SNMP.EnableTraps = true
	}
	if o.Namespace != "" {
		c.Global.NetNamespace = o.Namespace
	}
	if o.CheckOnly {
		c.Instances, c.SyncGroups = nil, nil
	}
	return c, ps, nil
}

func options(o Options) config.Options {
	id := o.ConfigID
	if id == "" {
		id = hostLabel()
	}
	return config.Options{ConfigID: id, VRRPOnly: o.VRRPOnly, Tolerant: true}
}

// Exit codes of `keepalived -t` and of a start that fails.
const (
	exitOK         = 0
	exitFailed     = 1 // the command line, or something that has nothing to do with the configuration
	exitConfig     = 2 // a word lacks its argument; at a start, any configuration that can't run
	exitTolerated  = 5 // mistakes; some of them, with -t, a start would fail at
	exitSecurity   = 6 // scripts that others may change, or that nobody asked to check
	exitNoConfig   = 6 // at a start: there is no file
	exitTerminated = 143
)

// testCode is what `-t` answers: the highest class wins, and a missing argument ends the reading.
func testCode(ps source.Problems) int {
	code := exitOK
	for _, p := range ps {
		switch p.Kind() {
		case source.ClassParameter:
			return exitConfig
		case source.ClassSecurity:
			code = max(code, exitSecurity)
		case source.ClassFatal, source.ClassTolerated:
			code = max(code, exitTolerated)
		}
	}
	return code
}

// test is `keepalived -t`: it says what is wrong with the file and starts nothing.
func test(o Options, stderr io.Writer) int {
	out := stderr
	if o.TestLog != "" {
		f, err := os.OpenFile(o.TestLog, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			fmt.Fprintf(stderr, "Unable to open config-test log file %s: %v\n", o.TestLog, errors.Unwrap(err))
			return exitFailed
		}
		defer f.Close()
		out = f
	}
	c, ps, err := load(o)
	if err != nil {
		fmt.Fprintln(out, err)
		if o.AllConfig {
			return exitTolerated
		}
		return exitOK // as keepalived has it
	}
	ps = append(ps, missingInterfaces(c)...)
	ps.Sort()
	for _, p := range ps {
		fmt.Fprintln(out, p.Error())
	}
	return testCode(ps)
}

// missingInterfaces names what the machine does not have. keepalived would not start without it; this daemon does, and
// the instances that need it wait in FAULT.
func missingInterfaces(c vrrp.Config) source.Problems {
	var ps source.Problems
	if c.Global.DynamicInterfaces {
		return nil
	}
	need := func(at source.Pos, what, name string) {
		if name == "" {
			return
		}
		if _, err := net.InterfaceByName(name); err != nil {
			ps.Errorf(at, "", "interface %s for %s doesn't exist", name, what)
			ps.As(source.ClassFatal)
		}
	}
	for _, in := range c.Instances {
		need(in.Pos, "vrrp_instance "+in.Name, in.Interface)
		for _, t := range in.TrackInterfaces {
			need(t.Pos, "track_interface of "+in.Name, t.Name)
		}
	}
	for _, g := range c.SyncGroups {
		for _, t := range g.TrackInterfaces {
			need(t.Pos, "track_interface of "+g.Name, t.Name)
		}
	}
	return ps
}

// say is a problem as a line of the log.
func say(p source.Problem) string { return strings.TrimSpace(p.Error()) }
