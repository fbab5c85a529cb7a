// Package source names places in configuration files and collects what is wrong there.
//
// Settings of every trade carry a Pos so that a fault found long after reading (a port that another program holds, an
// interface without carrier) can still be told with the line that asked for it.
package source

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Pos is a place in a file. The zero Pos is "nowhere" (a default, a flag). Line and Col count from 1; Col counts bytes.
type Pos struct {
	File string `json:",omitempty"`
	Line int    `json:",omitempty"`
	Col  int    `json:",omitempty"`
	// Via is "file:line" of the text itself when File, Line and Col only use it: of a variable's definition.
	Via string `json:",omitempty"`
}

// Equal is always true: two settings that differ only in where they were written are the same setting. It makes
// go-cmp and Document comparison blind to positions.
func (p Pos) Equal(Pos) bool { return true }

// IsZero reports whether the place is unknown.
func (p Pos) IsZero() bool { return p.File == "" && p.Line == 0 }

// String prints file:line:col, leaving out what is not known.
func (p Pos) String() string {
	switch {
	case p.IsZero():
		return ""
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Severity says what a Problem does to the file it stands in.
type Severity int

const (
	// Error: the file is refused.
	Error Severity = iota + 1
	// Warning: the file is used, but not all of it means what its author may think.
	Warning
)

// String implements fmt.Stringer.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "unknown"
}

// MarshalText spells the severity for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Severity) UnmarshalText(b []byte) error {
	switch string(b) {
	case "error":
		*s = Error
	case "warning":
		*s = Warning
	default:
		return fmt.Errorf("unknown severity %q", b)
	}
	return nil
}

// Class says what keepalived itself makes of a mistake in a keepalived.conf. Its personality needs that: `-t` answers by
// it, and a daemon that replaces keepalived has to start where keepalived starts.
type Class int

const (
	// ClassAuto is what nobody classified: an Error counts as ClassTolerated, a Warning as ClassSilent.
	ClassAuto Class = iota
	// ClassSilent: keepalived says nothing, or Reeve deliberately understands what keepalived does not (-t: 0).
	ClassSilent
	// ClassTolerated: keepalived complains, drops the word or takes a default, and runs (-t: 5).
	ClassTolerated
	// ClassSecurity: a script may be changed by others than its user, or nobody asked for the check (-t: 6); it runs.
	ClassSecurity
	// ClassFatal: keepalived complains and refuses to start (-t: 5, at the start 2).
	ClassFatal
	// ClassParameter: a word lacks its argument; keepalived stops reading at once (-t: 2, at the start 2).
	ClassParameter
	// ClassInclude: a file that an include insists on is not there; keepalived does not start (-t: 6, at the start 6).
	ClassInclude
)

var classNames = [...]string{"", "silent", "tolerated", "security", "fatal", "missing parameter", "missing include"}

// String implements fmt.Stringer.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "unknown"
	}
	return classNames[c]
}

// MarshalText spells the class for JSON.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Class) UnmarshalText(b []byte) error {
	for i, n := range classNames {
		if n == string(b) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("unknown class %q", b)
}

// Problem is one thing wrong at one place: what is wrong (Text) and, where it can be guessed, what was meant (Hint).
type Problem struct {
	Pos      Pos      `json:"pos"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Hint     string   `json:"hint,omitempty"`
	Class    Class    `json:"class,omitempty"`
	Rule     string   `json:"rule,omitempty"` // name of the linter's rule, by which it can be silenced; "": none
}

// Kind is the problem's Class, or what its severity says when nobody classified it.
func (p Problem) Kind() Class {
	switch {
	case p.Class != ClassAuto:
		return p.Class
	case p.Severity == Error:
		return ClassTolerated
	}
	return ClassSilent
}

// Error prints the one line a user reads: file:line:col: error: text (hint).
func (p Problem) Error() string {
	var b strings.Builder
	if s := p.Pos.String(); s != "" {
		b.WriteString(s)
		b.WriteString(": ")
	}
	b.WriteString(p.Severity.String())
	b.WriteString(": ")
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString(" (")
		b.WriteString(p.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Problems collects all that is wrong, never only the first. The zero value is ready to use.
type Problems []Problem

// Errorf adds an error.
func (ps *Problems) Errorf(at Pos, hint, format string, args ...any) {
	*ps = append(*ps, Problem{Pos: at, Severity: Error, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// Warnf adds a warning.
func (ps *Problems) Warnf(at Pos, hint, format string, args ...any) {
	*ps = append(*ps, Problem{Pos: at, Severity: Warning, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// As gives the last problem a class: ps.Errorf(...) and then ps.As(ClassFatal).
func (ps Problems) As(c Class) {
	if len(ps) > 0 {
		ps[len(ps)-1].Class = c
	}
}

// Name gives the last problem the name of a rule of config/lint.
func (ps Problems) Name(rule string) {
	if len(ps) > 0 {
		ps[len(ps)-1].Rule = rule
	}
}

// Err is nil without errors (warnings are none); otherwise an error that prints every error on a line of its own.
func (ps Problems) Err() error {
	var errs []error
	for _, p := range ps {
		if p.Severity == Error {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

// HasErrors reports whether any problem is an error.
func (ps Problems) HasErrors() bool {
	for _, p := range ps {
		if p.Severity == Error {
			return true
		}
	}
	return false
}

// Sort orders problems by file, then line, then column, keeping the order of equals.
func (ps Problems) Sort() {
	sort.SliceStable(ps, func(i, j int) bool {
		a, b := ps[i].Pos, ps[j].Pos
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
}
