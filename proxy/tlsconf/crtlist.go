package tlsconf

import (
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// A crt-list has a certificate a line: FILE [OPTIONS in brackets] [[!]NAME...]. Names take the place of those in the
// certificate; !NAME is an exception from a wildcard of the same line.

// addList reads a crt-list.
func (s *set) addList(files *reading, list proxy.Crt, def *params, ps *source.Problems) {
	name := in(files.dirs.crt, list.File)
	content, err := files.file(name)
	if err != nil {
		ps.Errorf(list.Pos, "", "crt-list %v", err)
		return
	}
	n := 0
	before := len(*ps)
	for line := range strings.Lines(string(content)) {
		n++
		pos := source.Pos{File: name, Line: n, Col: 1}
		l, err := splitListLine(strings.TrimRight(line, "\r\n"))
		if err != nil {
			ps.Errorf(pos, "FILE [OPTIONS in brackets] NAMES", "%v", err)
			continue
		}
		if l.file == "" {
			continue
		}
		p, err := l.params(def, files)
		if err != nil {
			ps.Errorf(pos, "", "%v", err)
			continue
		}
		for _, c := range files.certificates(l.file, pos, ps) {
			s.add(&entry{cert: c, params: p, names: l.names, not: l.not, pos: pos})
		}
	}
	if n == 0 && len(*ps) == before {
		ps.Warnf(list.Pos, "", "crt-list %s is empty", name)
	}
}

// listLine is a line of a crt-list.
type listLine struct {
	file       string // "": nothing on it
	options    []string
	names, not []string
}

func splitListLine(line string) (l listLine, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return l, nil
	}
	head, rest, open := strings.Cut(line, "[")
	if open {
		options, after, closed := strings.Cut(rest, "]")
		if !closed {
			return l, fmt.Errorf("a bracket is opened and not closed")
		}
		l.options, rest = strings.Fields(options), after
	}
	words := strings.Fields(head)
	if len(words) == 0 {
		return l, fmt.Errorf("the line has no certificate")
	}
	if open && len(words) > 1 {
		return l, fmt.Errorf("the brackets stand behind the certificate, before the names")
	}
	l.file = words[0]
	for _, w := range append(words[1:], strings.Fields(rest)...) {
		name, not := strings.CutPrefix(strings.ToLower(w), "!")
		switch {
		case strings.ContainsAny(w, "[]") || name == "" || strings.Contains(strings.TrimPrefix(name, "*"), "*"):
			return l, fmt.Errorf("'%s' is no name: a wildcard is a leading *", w)
		case not:
			l.not = append(l.not, name)
		default:
			l.names = append(l.names, name)
		}
	}
	return l, nil
}

// listFlags are the words of a line's brackets that have no value.
var listFlags = map[string]func(*proxy.TLSParams){
	"no-alpn":        func(p *proxy.TLSParams) { p.ALPN = "" },
	"no-tls-tickets": func(p *proxy.TLSParams) { p.NoTickets = true },
	"ssl":            func(*proxy.TLSParams) {},
	"no-ca-names":    nil,
	"allow-0rtt":     nil,
}

// listWords are those that have one.
var listWords = map[string]func(*proxy.TLSParams, string) error{
	"alpn":         func(p *proxy.TLSParams, v string) error { p.ALPN = v; return nil },
	"ca-file":      func(p *proxy.TLSParams, v string) error { p.CAFile = v; return nil },
	"crl-file":     func(p *proxy.TLSParams, v string) error { p.CRLFile = v; return nil },
	"ciphers":      func(p *proxy.TLSParams, v string) error { p.Ciphers = v; return nil },
	"ciphersuites": func(p *proxy.TLSParams, v string) error { p.CipherSuites = v; return nil },
	"curves":       func(p *proxy.TLSParams, v string) error { p.Curves = v; return nil },
	"ecdhe":        func(p *proxy.TLSParams, v string) error { p.Curves = v; return nil },
	"ssl-min-ver":  func(p *proxy.TLSParams, v string) (err error) { p.MinVersion, err = version(v); return err },
	"ssl-max-ver":  func(p *proxy.TLSParams, v string) (err error) { p.MaxVersion, err = version(v); return err },
	"verify": func(p *proxy.TLSParams, v string) error {
		for _, k := range []proxy.Verify{proxy.VerifyNone, proxy.VerifyOptional, proxy.VerifyRequired} {
			if k.String() == v {
				p.Verify = k
				return nil
			}
		}
		return fmt.Errorf("'%s' is no value for 'verify': none, optional or required", v)
	},
}

// params are the bind's settings with what the line has otherwise.
func (l listLine) params(def *params, files *reading) (*params, error) {
	if len(l.options) == 0 {
		return def, nil
	}
	src := *def.src
	for ws := l.options; len(ws) > 0; {
		word := ws[0]
		ws = ws[1:]
		if f, ok := listFlags[word]; ok {
			if f == nil {
				return nil, fmt.Errorf("'%s' is not supported yet", word)
			}
			f(&src)
			continue
		}
		set := listWords[word]
		switch {
		case set == nil:
			return nil, fmt.Errorf("'%s' is no word for the brackets of a crt-list", word)
		case len(ws) == 0:
			return nil, fmt.Errorf("'%s' needs a value", word)
		}
		if err := set(&src, ws[0]); err != nil {
			return nil, err
		}
		ws = ws[1:]
	}
	if src.Verify != proxy.VerifyNone && src.CAFile == "" {
		return nil, fmt.Errorf("'verify %s' needs a ca-file", src.Verify)
	}
	return compile(&src, files)
}
