package agent

import (
	"os"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/cluster"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
	"github.com/reeve-lb/reeve/internal/machine"
	"github.com/reeve-lb/reeve/internal/source"
)

// linted is what was told about what a client sent, and what the linter adds to it, over all nodes that would run it.
func (a *Agent) linted(d config.Document, told source.Problems, r api.ConfigRequest) source.Problems {
	o := lint.Options{Ignore: r.Ignore}
	for _, f := range r.Files {
		o.Nodes = append(o.Nodes, f.Node)
	}
	for _, m := range a.cluster.Members() {
		if m.Role != cluster.RoleWitness && m.Status == cluster.StatusAlive {
			o.Members = append(o.Members, m.Name)
		}
	}
	return lint.All(d, told, o)
}

// lintHere is what the linter says of a Document that this machine would run.
func (a *Agent) lintHere(d config.Document) source.Problems {
	return lint.Machine(d, a.set.Node, lint.Environment{Networks: machine.Networks, Stat: os.Stat}, nil)
}
