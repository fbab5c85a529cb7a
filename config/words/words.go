// Package words is the one table of configuration words. Every reader looks words up in it, the HCL writer prints by it,
// and the reference pages of the website are made from it, so that none of the three can say something else.
package words

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// Dialect is a spelling in which a word may be written. Words of the two foreign dialects are HCL words too.
type Dialect string

// The spellings.
const (
	HAProxy    Dialect = "haproxy"
	Keepalived Dialect = "keepalived"
	HCL        Dialect = "hcl"
)

// Type is the shape of what follows a word.
type Type int

// The shapes. Line, Lines and Script have a grammar of their own, which the decoder knows by the word's name.
const (
	Flag     Type = iota + 1 // nothing follows
	Bool                     // optional on/off, yes/no, true/false
	Int                      // decimal, Min..Max
	Size                     // bytes or entries with an optional k, m, g (x 1024)
	Duration                 // a time; a bare number counts Unit
	String                   // one word
	Enum                     // one of Enum
	Addr                     // one IP address
	Line                     // Args, then the words of scope Sub, or free words
	Strings                  // any number of words (a block of them in keepalived.conf, a list in HCL)
	Lines                    // a block of lines of free words (a list of strings in HCL)
	Script                   // a command
	Block                    // labels Args, then words of scope Sub in braces
)

var typeNames = [...]string{"", "flag", "boolean", "number", "size", "time", "word", "one of", "address", "line",
	"words", "lines", "command", "block"}

// String implements fmt.Stringer.
func (t Type) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		return "unknown"
	}
	return typeNames[t]
}

// Status is what this release does with a word.
type Status int

// The zero Status is Supported.
const (
	Supported Status = iota
	Accepted         // read, no effect yet: Note says what it does not do, as a warning
	Alias            // an old name: Note is the new one, said as a warning
	NotYet           // known, refused with its line
)

var statusNames = [...]string{"supported", "accepted without effect", "deprecated alias", "not supported yet"}

// String implements fmt.Stringer.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return "unknown"
	}
	return statusNames[s]
}

// Word is one row: a word and where it may stand. A word that means different things in two places has two rows.
type Word struct {
	Name    string // as the dialect spells it; two-word keywords have a blank ("timeout connect")
	Dialect Dialect
	In      []string // scopes: sections, or the word whose line or block it belongs to
	Type    Type
	Unit    time.Duration // of a bare number of a Duration
	Min     int64         // range of Int and Size, and in Units of a Duration; Max 0: no upper bound but the type's
	Max     int64
	Enum    []string     // the place of a value is its number in the settings; "" is no value
	Later   []string     // values that are known and not supported yet
	Default string       // "" if there is none
	Field   string       // where the value goes in the settings of the scope
	Sets    int          // what a Flag sets a numeric Field to
	Args    []string     // names of what must follow the word, in order: HCL's labels or attributes
	Labels  int          // how many of Args are labels of an HCL block; the rest are attributes
	Sub     string       // scope of the words that follow Args
	Skip    int          // words that follow an unsupported word of a line
	Bare    bool         // what follows may be missing, and that means something of its own
	Floor   bool         // less than Min is refused, but keepalived takes it for Min
	LVS     bool         // of virtual servers and their checks: passed over when VRRP alone is wanted
	Class   source.Class // what keepalived makes of a value that is refused; 0: it complains and runs
	Status  Status
	Note    string
	Doc     string // for the reference pages, one or two sentences
}

// canon makes one spelling of a word's: HCL writes _ or - where a dialect has a dash or a blank.
func canon(name string) string {
	return canonical.Replace(name)
}

var canonical = strings.NewReplacer("-", "_", " ", "_", ".", "_")

type key struct{ scope, name string }

// index is the table with ways to find a row.
type index struct {
	table []*Word
	exact map[key]*Word
	loose map[key]*Word
}

// known is the index. It is made when it is asked for first: processes that read no configuration, the guard above all,
// start without it.
var known = sync.OnceValue(func() *index {
	const ms = time.Millisecond
	all := &index{exact: map[key]*Word{}, loose: map[key]*Word{}}
	for _, rows := range [][]Word{
		complete(haproxyTop, HAProxy, "haproxy", ms), complete(haproxyGlobal, HAProxy, "global", ms),
		complete(haproxyGlobalTLS, HAProxy, "global", ms),
		complete(haproxyProxy, HAProxy, "", ms), complete(haproxyOption, HAProxy, "", ms),
		complete(haproxyRules, HAProxy, "", ms), complete(haproxyContent, HAProxy, "", ms), complete(haproxyCache, HAProxy, "cache", time.Second),
		complete(haproxyGlobalContent, HAProxy, "global", ms), complete(haproxyStats, HAProxy, "", ms), complete(haproxyTimeout, HAProxy, "", ms),
		complete(haproxyLine, HAProxy, "", ms), complete(haproxyUsers, HAProxy, "", ms), complete(haproxyTLS, HAProxy, "", ms), haproxyLater(),
		complete(keepalivedTop, Keepalived, "keepalived", time.Second), complete(keepalivedGlobal, Keepalived, "global_defs", time.Second),
		complete(keepalivedScript, Keepalived, "vrrp_script", time.Second), complete(keepalivedProcess, Keepalived, "vrrp_track_process", time.Second),
		complete(keepalivedFile, Keepalived, "track_file", time.Second), complete(keepalivedInstance, Keepalived, "vrrp_instance", time.Second),
		complete(keepalivedGroups, Keepalived, "vrrp_sync_group", time.Second), keepalivedUsers(), keepalivedUnused(), keepalivedLater(),
		complete(nativeWords, HCL, "native", time.Second), complete(nativeAlerts, HCL, "native-block", time.Second),
	} {
		for i := range rows {
			all.add(&rows[i])
		}
	}
	return all
})

func (x *index) add(w *Word) {
	old := true
	for _, scope := range w.In {
		if _, ok := x.exact[key{scope, w.Name}]; !ok {
			x.exact[key{scope, w.Name}] = w
			x.loose[key{scope, canon(w.Name)}] = w
			old = false
		}
	}
	if !old {
		x.table = append(x.table, w)
	}
}

// All is the whole table, in the order of the reference pages. The rows are shared: do not change them.
func All() []*Word { return known().table }

// In lists the words of a scope, in the order of the table.
func In(scope string) []*Word {
	var out []*Word
	for _, w := range known().table {
		if slices.Contains(w.In, scope) {
			out = append(out, w)
		}
	}
	return out
}

// Find looks a word up as dialect d spells it; in HCL dashes, underscores, dots and blanks are the same.
func Find(d Dialect, scope, name string) *Word {
	if d == HCL {
		return known().loose[key{scope, canon(name)}]
	}
	if w := known().exact[key{scope, name}]; w != nil && w.Dialect != HCL {
		return w
	}
	return nil
}

// Prefixed reports whether scope has two-word keywords that begin with first ("timeout", "option", "stats").
func Prefixed(d Dialect, scope, first string) bool {
	return slices.ContainsFunc(In(scope), func(w *Word) bool {
		return strings.HasPrefix(w.Name, first+" ") && (d == HCL || w.Dialect == d)
	})
}

// Elsewhere names the scopes that do know a word.
func Elsewhere(d Dialect, name string) []string {
	var out []string
	for _, w := range known().table {
		if w.Name == name && (d == HCL || w.Dialect == d) {
			for _, s := range w.In {
				if !slices.Contains(out, s) {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// Closest is the word of the scopes that name was probably meant to be, or "".
func Closest(d Dialect, name string, scopes ...string) string {
	var candidates []string
	for _, scope := range scopes {
		for _, w := range In(scope) {
			if d != HCL && w.Dialect != d {
				continue
			}
			if d == HCL {
				candidates = append(candidates, canon(w.Name))
			} else {
				candidates = append(candidates, w.Name)
			}
		}
	}
	return Nearest(name, candidates)
}

// Nearest is the candidate with the smallest edit distance from name, if that is small enough to be a slip; else "".
func Nearest(name string, candidates []string) string { return source.Nearest(name, candidates) }
