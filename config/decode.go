package config

import (
	"reflect"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/vrrp"
)

// decoder is the last stage of every reader: the tree becomes a Document. Files of one Document share a decoder.
type decoder struct {
	doc     Document
	opts    Options
	node    Node
	ps      source.Problems
	dialect words.Dialect // of the file at hand

	defaults map[words.Dialect][]tree.Node
	backends []*backendState
	warned   map[string]bool       // file and note: a thing without effect is said once a file
	broken   map[string]bool       // settings that were given, but wrong: nobody needs to hear that they are missing
	places   map[string]source.Pos // of settings that have no Pos of their own, for the cross checks
	spots    spots                 // where each word of a section stands
	filters  []tree.Word           // caches that `filter` lines name
	tls      tlsDefaults           // of the global section
	secured  []securedLine         // the lines that they stand in for
	quiet    bool                  // the lines of a defaults section are told about once, not for each proxy
}

func newDecoder() *decoder {
	return &decoder{
		doc:      emptyDocument(),
		defaults: map[words.Dialect][]tree.Node{},
		warned:   map[string]bool{},
		broken:   map[string]bool{},
		places:   map[string]source.Pos{},
		spots:    spots{},
	}
}

// emptyDocument has the defaults of what no section names.
func emptyDocument() Document {
	return Document{VRRP: vrrp.Config{Global: defaultVRRPGlobal()}, Checks: map[string]check.Config{}, Nodes: map[string]Override{}}
}

// file takes in the tree of one file.
func (d *decoder) file(dialect words.Dialect, nodes []tree.Node) {
	d.dialect = dialect
	for _, n := range nodes {
		normalize(&n)
		d.torn(n)
		d.spots.note(n)
		switch n.Def.Name {
		case "global":
			d.global(n)
		case "defaults":
			d.setDefaults(n)
		case "frontend", "backend", "listen":
			d.proxy(n)
		case "cache":
			d.cache(n)
		case "userlist":
			d.userList(n)
		default:
			if !d.section(n) {
				d.nodeSetting(n)
			}
		}
	}
}

// torn notes what lines that were not understood may have said, so that it is not called missing.
func (d *decoder) torn(n tree.Node) {
	kinds := []string{n.Def.Name}
	if n.Def.Name == "listen" {
		kinds = []string{"frontend", "backend"}
	}
	d.tornIn(n, kinds, name(n))
}

func (d *decoder) tornIn(n tree.Node, kinds []string, name string) {
	for _, k := range n.Kids {
		if len(k.Torn) > 0 && k.Def != nil && k.Def.Sub == "" { // surplus words of a line: words of this scope perhaps
			n.Torn = append(slices.Clip(n.Torn), k.Torn...)
		} else {
			d.tornIn(k, kinds, name)
		}
	}
	if n.Def == nil {
		return
	}
	for _, t := range n.Torn {
		for _, w := range words.In(n.Def.Sub) {
			condition := strings.HasPrefix(t, "@") || strings.HasPrefix(t, "$") || strings.HasPrefix(t, "~")
			if !condition && t != w.Name && words.Nearest(t, []string{w.Name}) == "" {
				continue
			}
			for _, kind := range kinds {
				d.broken[brokenKey(kind, name, w.Name)] = true
			}
		}
	}
}

// normalize makes all text NFC, the form in which HCL holds it, so that a Document survives being written.
func normalize(n *tree.Node) {
	for i := range n.Args {
		n.Args[i].Text = norm.NFC.String(n.Args[i].Text)
	}
	for i := range n.Kids {
		normalize(&n.Kids[i])
	}
}

// finish does what needs all files: `log global`, the servers' checks.
func (d *decoder) finish() Document {
	d.resolveTLS()
	for i := range d.doc.Proxy.Frontends {
		f := &d.doc.Proxy.Frontends[i]
		f.Log = globalLog(f.Log, d.doc.Proxy.Global.Log)
	}
	for i := range d.doc.Proxy.Backends {
		b := &d.doc.Proxy.Backends[i]
		b.Log = globalLog(b.Log, d.doc.Proxy.Global.Log)
		d.backends[i].checks(b, d.doc.Proxy.Global.SpreadChecks, d.doc.Checks)
	}
	d.instances()
	if len(d.doc.Checks) == 0 {
		d.doc.Checks = nil
	}
	if len(d.doc.Nodes) == 0 {
		d.doc.Nodes = nil
	}
	return d.doc
}

func globalLog(own, global []proxy.LogTarget) []proxy.LogTarget {
	var out []proxy.LogTarget
	for _, l := range own {
		if l.Address == "global" {
			out = append(out, global...)
		} else {
			out = append(out, l)
		}
	}
	return out
}

func (d *decoder) errorf(at source.Pos, hint, format string, args ...any) {
	if !d.quiet {
		d.ps.Errorf(at, hint, format, args...)
	}
}

func (d *decoder) warnf(at source.Pos, hint, format string, args ...any) {
	if !d.quiet {
		d.ps.Warnf(at, hint, format, args...)
	}
}

// noEffect says once a file what an accepted word does not do.
func (d *decoder) noEffect(n tree.Node) {
	if n.Def == nil || n.Def.Status != words.Accepted || d.quiet || n.Def.LVS && d.opts.VRRPOnly {
		return
	}
	if k := n.Pos.File + "\x00" + n.Def.Note; !d.warned[k] {
		d.warned[k] = true
		d.warnf(n.Pos, "", "'%s' has no effect: %s", n.Def.Name, n.Def.Note)
		d.ps.As(n.Def.Class)
	}
}

// scalar reads the value of a word into its Field of each target (pointers to structs). It reports whether that went
// well.
func (d *decoder) scalar(n tree.Node, targets ...any) bool {
	if n.Def.Bare && len(n.Args) == 0 {
		return true
	}
	v, ok := d.value(n)
	if v == nil || n.Def.Field == "" {
		return ok
	}
	for _, t := range targets {
		if t != nil && !reflect.ValueOf(t).IsNil() {
			assign(field(reflect.ValueOf(t).Elem(), n.Def.Field), v)
		}
	}
	return ok
}

// brokenKey names a setting of a named thing for decoder.broken.
func brokenKey(kind, name, word string) string { return kind + "\x00" + name + "\x00" + word }
