package proxy

import (
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// Rules are the lists of a proxy that proxy/rule compiles. They stay here word by word as they were written, so that every
// spelling of them says the same. Those of a `listen` section stand in its Frontend, but for the ACLs, which both sides have.
type Rules struct {
	ACLs              []ACL
	TCPRequest        []Rule // connection, session, content, inspect-delay
	TCPResponse       []Rule
	HTTPRequest       []Rule
	HTTPResponse      []Rule
	HTTPAfterResponse []Rule
	Redirect          []Rule
}

// Word is one word of a rule and where it stands.
type Word struct {
	Text string
	Pos  source.Pos
}

// Line makes words that stand at one place.
func Line(at source.Pos, texts ...string) []Word {
	ws := make([]Word, len(texts))
	for i, t := range texts {
		ws[i] = Word{t, at}
	}
	return ws
}

// Words makes the words of a line that has no quotes.
func Words(line string) []Word { return Line(source.Pos{}, strings.Fields(line)...) }

// Rule is one line of a list, without the word that names the list.
type Rule struct {
	Words []Word
	Pos   source.Pos
}

// String is the rule as it was written, but for quotes.
func (r Rule) String() string { return text(r.Words) }

func text(ws []Word) string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.Text
	}
	return strings.Join(texts, " ")
}

// ACL is one `acl` line: a name and a test. Lines of one name are alternatives.
type ACL struct {
	Name string
	Test []Word // sample, flags, patterns
	Pos  source.Pos
}

// String is the test as it was written, but for quotes.
func (a ACL) String() string { return a.Name + " " + text(a.Test) }

// UseBackend sends requests that meet the condition to Backend; the first match wins. A Backend with %[...] in it is made
// of samples: a name that no backend has lets the next rule try.
type UseBackend struct {
	Backend string
	Cond    []Word // if or unless and what follows; none: always
	Pos     source.Pos
}

// String is the rule as it was written, but for quotes.
func (u UseBackend) String() string { return strings.TrimSpace(u.Backend + " " + text(u.Cond)) }

// UseServer sends requests that meet the condition to a server of the backend, if that is up.
type UseServer struct {
	Server string
	Cond   []Word
	Pos    source.Pos
}

// String is the rule as it was written, but for quotes.
func (u UseServer) String() string { return strings.TrimSpace(u.Server + " " + text(u.Cond)) }

// Monitor is the page that tells whether the proxy works: `monitor-uri` and `monitor fail`.
type Monitor struct {
	URI  string
	Fail []Rule // conditions under which it tells of trouble
}
