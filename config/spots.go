package config

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
)

// spots are where the words of sections stand, by the paths that Diff gives to what they set: settings of one word carry no
// place in the Document. A section's own path leads to its own place.
type spots map[string]source.Pos

// note takes down a section.
func (s spots) note(n tree.Node) {
	if n.Def == nil {
		return
	}
	kinds := []string{n.Def.Name}
	if n.Def.Name == "listen" {
		kinds = []string{"frontend", "backend"}
	}
	for _, kind := range kinds {
		path := kind
		if len(n.Args) > 0 {
			path += " " + n.Args[0].Text
		}
		if _, again := s[path]; !again { // a later global_defs adds to the first
			s[path] = n.Pos
		}
		s.words(path, n.Kids)
	}
}

// words takes down the words of a section, and of the blocks in it: those set fields of the section too.
func (s spots) words(section string, kids []tree.Node) {
	for _, k := range kids {
		if k.Def == nil {
			continue
		}
		if k.Def.Field != "" {
			path, at := section, k.Pos
			for f := range strings.SplitSeq(k.Def.Field, ".") {
				path = join(path, wordOf(f))
			}
			if len(k.Args) > 0 {
				at = k.Args[0].Pos
			}
			s[path], s[join(section, k.Def.Name)] = at, at // Diff names some by their field, some by their word
		}
		s.words(section, k.Kids)
	}
}

// of is the place of the word that set what path names; at, where that is closer than the section or no word is known.
func (s spots) of(path string, at source.Pos) source.Pos {
	section, _, _ := strings.Cut(path, " / ")
	if whole, ok := s[section]; ok && !at.IsZero() && at != whole {
		return at
	}
	if p, ok := s[path]; ok {
		return p
	}
	if i := strings.LastIndexByte(path, ' '); i > len(section) { // one of several arguments
		if p, ok := s[path[:i]]; ok {
			return p
		}
	}
	return at
}
