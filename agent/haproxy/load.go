package haproxy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
)

// Exit codes, haproxy's.
const (
	exitOK         = 0
	exitFailed     = 1
	exitNoListener = 2
)

// missing is a file or directory that can't be read.
func missing(path string, err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return fmt.Errorf("config : Cannot open configuration file/directory %s : %s", path, sentence(number.Error()))
	}
	return fmt.Errorf("config : Cannot open configuration file/directory %s : %v", path, err)
}

// sentence begins as libc's texts do.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// files reads what the command line names: files, and the *.cfg of directories in alphabetical order. A file is
// haproxy.cfg whatever its name, unless that ends in .hcl.
func files(o Options) ([]config.File, error) {
	var out []config.File
	for _, path := range o.Files {
		names, err := expand(path)
		if err != nil {
			return nil, missing(path, err)
		}
		for _, name := range names {
			content, err := read(name)
			if err != nil {
				return nil, missing(name, err)
			}
			f := config.File{Name: name, Content: content, Format: "haproxy"}
			if filepath.Ext(name) == ".hcl" {
				f.Format = "hcl"
			}
			out = append(out, f)
		}
	}
	return out, nil
}

func expand(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && filepath.Ext(e.Name()) == ".cfg" && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	return names, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, config.MaxFileSize+1)) // Load says that a file is too long
}

// load makes the Document of this node, with what the command line changes in it.
func load(o Options) (config.Document, source.Problems, error) {
	fs, err := files(o)
	if err != nil {
		return config.Document{}, nil, err
	}
	doc, _, ps := config.Load(fs)
	name := o.Name
	if name == "" {
		name, _ = os.Hostname() // only overrides of nodes need it
	}
	doc = doc.For(name)
	if o.MaxConn > 0 {
		doc.Proxy.Global.MaxConn = o.MaxConn
	}
	for i := range doc.Proxy.Frontends {
		if f := &doc.Proxy.Frontends[i]; f.MaxConn == 0 {
			f.MaxConn = o.ProxyConn
		}
	}
	if o.PIDFile != "" {
		doc.Proxy.Global.PIDFile = o.PIDFile
	}
	return doc, ps, nil
}

// listens reports whether there is anything to serve.
func listens(d config.Document) bool {
	for _, f := range d.Proxy.Frontends {
		if len(f.Binds) > 0 {
			return true
		}
	}
	return false
}

// tell prints problems as haproxy does: a line each, then for each file with mistakes that it has some.
func tell(to *messages, ps source.Problems) {
	var faulty []string
	for _, p := range ps {
		level := alert
		if p.Severity == source.Warning {
			level = warning
		} else if f := p.Pos.File; f != "" && (len(faulty) == 0 || faulty[len(faulty)-1] != f) {
			faulty = append(faulty, f)
		}
		to.put(level, "config : "+place(p.Pos)+text(p))
	}
	for _, f := range faulty {
		to.put(alert, "config : Error(s) found in configuration file : "+f)
	}
}

// place is where a problem stands.
func place(p source.Pos) string {
	if p.IsZero() {
		return ""
	}
	return fmt.Sprintf("parsing [%s:%d] : ", p.File, p.Line)
}

// text is what is wrong and, behind a semicolon, what was meant.
func text(p source.Problem) string {
	if p.Hint == "" {
		return p.Text
	}
	return p.Text + "; " + p.Hint
}

// check is `haproxy -c`.
func check(o Options, env Env, to *messages) int {
	doc, ps, err := load(o)
	if err != nil {
		to.put(alert, err.Error())
		return exitFailed
	}
	if !ps.HasErrors() { // what is missing of the configuration would be missed again
		for _, p := range env.New(to.logger(false), o).CanRead(doc) {
			if p.Severity == source.Error { // advice is no matter of -c
				ps = append(ps, p)
			}
		}
	}
	code, last := judge(o, doc, ps, to)
	if last != "" && !to.quiet {
		if code == exitOK && len(ps) > 0 {
			fmt.Fprintln(env.Stdout, "Warnings were found.")
		}
		fmt.Fprintln(env.Stdout, last)
	}
	return code
}

// judge tells the problems and decides on the exit code; last is what -c prints on standard output.
func judge(o Options, doc config.Document, ps source.Problems, to *messages) (code int, last string) {
	tell(to, ps)
	switch {
	case ps.HasErrors():
		to.put(alert, "config : Fatal errors found in configuration.")
		return exitFailed, ""
	case o.ZeroWarn && len(ps) > 0:
		to.put(alert, "config : Some warnings were found and 'zero-warning' is set. Aborting.")
		return exitFailed, ""
	case !listens(doc):
		return exitNoListener, "Configuration file has no error but will not start (no listener) => exit(2)."
	}
	return exitOK, "Configuration file is valid"
}
