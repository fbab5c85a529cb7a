package config

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/config/hcldoc"
	"github.com/reeve-lb/reeve/config/keepalivedconf"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// Words is the table of all words of all dialects, for the reference pages. The rows are shared: do not change them.
func Words() []*words.Word { return words.All() }

// Options change how files are understood. The zero value is what Reeve's own commands want.
type Options struct {
	// ConfigID is what @ID and @^ID of keepalived.conf compare with. Files of one node (lb1=a.conf) have the node's name;
	// "": the host's name up to the first dot.
	ConfigID string
	// Instance is what ${_INSTANCE} of keepalived.conf stands for.
	Instance string
	// VRRPOnly passes over virtual_server and what belongs to it, as keepalived -P does.
	VRRPOnly bool
	// Tolerant makes warnings of the mistakes that keepalived complains of and runs with, and leaves out or takes the
	// default for what keepalived would. What keepalived would not start with stays an error.
	Tolerant bool
}

// Load understands files and merges them into one Document and the settings of this node. Files of one node (lb1=a.conf)
// are compared with those of the others: what differs by design becomes the Document's Nodes, anything else is a problem
// that names both places. All problems come at once, sorted by place; when one of them is an error the Document is good
// for nothing but more messages.
func Load(files []File, options ...Options) (Document, Node, source.Problems) {
	var opts Options
	if len(options) > 0 {
		opts = options[0]
	}
	var nodes []string
	for _, f := range files {
		if f.Node != "" && !slices.Contains(nodes, f.Node) {
			nodes = append(nodes, f.Node)
		}
	}
	if len(nodes) == 0 {
		nodes = []string{""}
	}
	var views []view
	var all source.Problems
	for _, node := range nodes {
		d := newDecoder()
		d.opts = opts
		if d.opts.ConfigID == "" {
			d.opts.ConfigID = node
		}
		for _, f := range files {
			if f.Node == "" || f.Node == node {
				d.read(f)
			}
		}
		doc := d.finish()
		v := &validator{doc: doc, broken: d.broken, places: d.places, filters: d.filters}
		v.run()
		ps := append(d.ps, v.ps...)
		if opts.Tolerant {
			tolerate(&doc.VRRP)
			ps = milder(ps)
		}
		all = append(all, ps...)
		views = append(views, view{node: node, doc: doc, settings: d.node, spots: d.spots})
	}
	doc := views[0].doc
	doc.VRRP.Global.ConfigID = opts.ConfigID
	if len(views) > 1 && !all.HasErrors() {
		doc = merge(views, &all)
	}
	all.Sort()
	return doc, views[0].settings, via(unique(all))
}

// via says in the hints where the text stands that came to its place through a variable.
func via(ps source.Problems) source.Problems {
	for i, p := range ps {
		switch {
		case p.Pos.Via == "":
		case p.Hint == "":
			ps[i].Hint = "written at " + p.Pos.Via
		default:
			ps[i].Hint += "; written at " + p.Pos.Via
		}
	}
	return ps
}

// view is what the files say to one node.
type view struct {
	node     string
	doc      Document
	settings Node
	spots    spots
}

// unique drops what the views of two nodes said twice.
func unique(ps source.Problems) source.Problems {
	seen := map[source.Problem]bool{}
	return slices.DeleteFunc(ps, func(p source.Problem) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}

// read takes in one file by its format.
func (d *decoder) read(f File) {
	if len(f.Content) > MaxFileSize {
		d.errorf(source.Pos{File: f.Name}, "", "longer than %d bytes", MaxFileSize)
		return
	}
	var nodes []tree.Node
	var ps source.Problems
	var dialect words.Dialect
	switch f.format() {
	case "hcl":
		dialect = words.HCL
		nodes, ps = hcldoc.Read(f.Name, f.Content)
	case "haproxy":
		dialect = words.HAProxy
		nodes, ps = haproxycfg.Read(f.Name, f.Content)
	case "keepalived":
		dialect = words.Keepalived
		nodes, ps = d.keepalived(f)
	case "nginx":
		d.errorf(source.Pos{File: f.Name}, "", "nginx.conf is not supported yet")
		return
	default:
		d.errorf(source.Pos{File: f.Name}, "files end in .hcl, .cfg (haproxy.cfg) or .conf (keepalived.conf)", "unknown kind of file")
		return
	}
	d.ps = append(d.ps, ps...)
	d.file(dialect, nodes)
}

// keepalived reads a keepalived.conf with the files that it includes.
func (d *decoder) keepalived(f File) ([]tree.Node, source.Problems) {
	return keepalivedconf.Read(f.Name, f.Content, keepalivedconf.Options{
		ConfigID: d.opts.ConfigID, Instance: d.opts.Instance, Dir: f.Dir, Files: keepalivedconf.Collected(f.Included),
		VRRPOnly: d.opts.VRRPOnly,
	})
}

// nginxBlock: a block that nginx.conf has and keepalived.conf has not.
var nginxBlock = regexp.MustCompile(`(?m)^\s*(http|events|stream|upstream\s+\S+|server)\s*\{`)

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
		if nginxBlock.Match(f.Content) && !bytes.Contains(f.Content, []byte("vrrp_instance")) {
			return "nginx"
		}
		return "keepalived"
	}
	return ""
}
