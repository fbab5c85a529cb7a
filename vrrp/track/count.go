package track

import "github.com/reeve-lb/reeve/vrrp"

// ScriptState is what a script's results so far mean.
type ScriptState struct {
	Known bool   // there was a result, or init_fail stands for one
	Up    bool   // rise and fall done
	Note  string // how the last run ended, "exited with status 1"
	// Skipped counts the starts that fell out because the run before was not through.
	Skipped uint64
	// Disabled is why the script is not run and does not count, "" if it does.
	Disabled string
	runs     int  // in a row that say otherwise than Up
	late     bool // the last run sat out a start
}

// Word is the state for people: ok, failed, unknown.
func (s ScriptState) Word() string { return verdict{known: s.Known, up: s.Up}.word() }

// initial is a script's state before its first result.
func initial(c vrrp.Script) ScriptState {
	return ScriptState{Known: c.InitFail, Note: "not run yet"}
}

// next takes one result into account.
func (s ScriptState) next(c vrrp.Script, ok bool, note string) ScriptState {
	s.Note = note
	switch {
	case !s.Known:
		s.Known, s.Up, s.runs = true, ok, 0
	case s.Up == ok:
		s.runs = 0
	default:
		s.runs++
		need := c.Fall
		if ok {
			need = c.Rise
		}
		if s.runs >= max(need, 1) {
			s.Up, s.runs = ok, 0
		}
	}
	return s
}
