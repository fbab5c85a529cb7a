package classic

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/keepalivedconf"
	"github.com/reeve-lb/reeve/config/keepalivedt"
	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// read is the file's content, with keepalived's words when it is not there, and what is written in the file beside it.
func read(o Options) ([]config.File, error) {
	content, err := readAll(o.File)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return nil, saidf("Config files missing '%s'.", o.File)
		}
		return nil, saidf("Config files missing '%s': %v", o.File, err)
	}
	main := config.File{Name: o.File, Content: content, Format: "keepalived"}
	main.Gather()
	files := []config.File{main}
	more := beside(o.File)
	switch content, err := readAll(more); {
	case more == o.File:
	case err == nil:
		files = append(files, config.File{Name: more, Content: content, Format: "hcl"})
	case !errors.Is(err, os.ErrNotExist):
		return nil, saidf("Config files missing '%s': %v", more, err)
	}
	return files, nil
}

// beside is the file for what keepalived.conf has no words for (where traps go, webhooks): keepalived.hcl in the same
// directory. keepalived never looks at it.
func beside(file string) string { return strings.TrimSuffix(file, filepath.Ext(file)) + ".hcl" }

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, config.MaxFileSize+1))
}

// load reads a keepalived.conf as keepalived would: what it complains of and lives with are warnings, what it does not
// start with are errors. An interface that is missing is none of them: who needs it waits in FAULT.
func load(o Options) (vrrp.Config, source.Problems, error) {
	files, err := read(o)
	if err != nil {
		return vrrp.Config{}, nil, err
	}
	opts := options(o)
	opts.Tolerant = true
	doc, _, ps := config.Load(files, opts)
	for _, p := range keepalivedt.Look(doc, keepalivedt.Machine{User: userExists, Program: runnable, Insecure: script.Insecure}) {
		p.Severity = source.Warning
		ps = append(ps, p)
	}
	c := doc.For(hostLabel()).VRRP
	if c.Global.RouterID == "" {
		c.Global.RouterID, _ = os.Hostname() // a label, on dumps and mails
	}
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
	return config.Options{ConfigID: id, VRRPOnly: o.VRRPOnly}
}

// Exit codes of the command; those of -t are keepalivedconf's.
const (
	exitOK         = 0
	exitFailed     = 1 // the command line, or something that has nothing to do with the configuration
	exitConfig     = 2 // a configuration that can't run
	exitNoConfig   = 6 // there is no configuration
	exitTerminated = 143
)

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
	files, err := read(o)
	if err != nil {
		fmt.Fprintln(out, err)
		if o.AllConfig {
			return keepalivedconf.TestErrors
		}
		return keepalivedconf.TestOK // as keepalived has it
	}
	_, ps, code := keepalivedt.Test(files, options(o), keepalivedt.Machine{
		Interface: hasInterface, User: userExists, Program: runnable, Insecure: script.Insecure,
	})
	for _, p := range ps {
		fmt.Fprintln(out, say(p))
	}
	return code
}

func hasInterface(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func userExists(name string) error {
	_, err := user.Lookup(name)
	if err != nil {
		_, err = user.LookupId(name)
	}
	return err
}

func runnable(name string) error {
	_, err := exec.LookPath(name)
	return err
}

// say is a problem as a line of the log.
func say(p source.Problem) string { return strings.TrimSpace(p.Error()) }
