package command

import (
	"flag"
	"os"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
	"github.com/reeve-lb/reeve/internal/machine"
	"github.com/reeve-lb/reeve/internal/source"
)

// ignoreFlag declares -ignore.
func ignoreFlag(fs *flag.FlagSet) *listFlag {
	l := &listFlag{}
	fs.Var(l, "ignore", "leave out the warnings of this `rule` of the linter, whose name stands in brackets behind each; may be repeated")
	return l
}

// linted is what was told about files, and what the linter adds to it: over all nodes, about certificates that this machine
// has and, if asked to, with the eyes of this machine, which is the node of its name.
func linted(d config.Document, told source.Problems, files []config.File, ignore []string, here bool) source.Problems {
	o := lint.Options{Ignore: ignore}
	for _, f := range files {
		o.Nodes = append(o.Nodes, f.Node)
	}
	ps := lint.All(d, told, o)
	if !ps.HasErrors() {
		ps = append(ps, lint.Certificates(d, o, machine.Certificates)...)
		ps.Sort()
	}
	if here && !ps.HasErrors() {
		name, _ := os.Hostname() // no name: what all nodes share
		ps = append(ps, lint.Machine(d, name, lint.Environment{Networks: machine.Networks, Stat: os.Stat}, ignore)...)
		ps.Sort()
	}
	return ps
}
