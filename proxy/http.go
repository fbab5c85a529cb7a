package proxy

import "github.com/reeve-lb/reeve/internal/source"

// Reuse is the word after `http-reuse`: whose idle server connection a request may go over.
type Reuse int

// The strategies. They differ in the first request of a client; later ones may take any idle connection, but with never.
const (
	ReuseSafe       Reuse = iota // a first request only if it can be sent again without harm, the default
	ReuseNever                   // a client's own connections alone
	ReuseAggressive              // a first request too, on a connection that has been used again before
	ReuseAlways                  // any request on any connection
)

// String implements fmt.Stringer.
func (r Reuse) String() string {
	switch r {
	case ReuseSafe:
		return "safe"
	case ReuseNever:
		return "never"
	case ReuseAggressive:
		return "aggressive"
	case ReuseAlways:
		return "always"
	}
	return "unknown"
}

// ErrorFile is `errorfile CODE FILE` or `errorloc CODE URL`: what is answered in place of the page for a status. Of two
// for one status the later counts.
type ErrorFile struct {
	Code     int
	File     string // holds a whole answer; /dev/null: the connection is closed without a word
	Location string // instead of File: where the client is sent
	Status   int    // of that redirection, 302 or 303
	Pos      source.Pos
}
