package config

import (
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/compress"
)

// algorithms are the words of `compression algo`.
const algorithms = "gzip, deflate, raw-deflate, identity, br, zstd"

// compression reads one `compression` line; lines of one kind add to each other.
func (d *decoder) compression(commons []*proxy.Common, k tree.Node) {
	if k.Def.Name == "compression direction" {
		d.value(k) // the one there is
		return
	}
	for _, c := range commons {
		next := proxy.Compression{Pos: k.Pos}
		if c.Compression != nil {
			next = *c.Compression
		}
		c.Compression = &next
	}
	switch k.Def.Name {
	case "compression algo":
		for _, w := range k.Args {
			if _, ok := compress.Parse(w.Text); !ok {
				d.errorf(w.Pos, algorithms, "%s is no algorithm for 'compression algo'", tree.Quote(w.Text))
				continue
			}
			for _, c := range commons {
				if !slices.Contains(c.Compression.Algos, w.Text) {
					c.Compression.Algos = append(slices.Clip(c.Compression.Algos), w.Text)
				}
			}
		}
	case "compression type":
		for _, w := range k.Args {
			if w.Text == "" || strings.ContainsAny(w.Text, ";, \t") {
				d.errorf(w.Pos, "the beginning of a media type, as in text/", "%s is no type for 'compression type'", tree.Quote(w.Text))
				continue
			}
			for _, c := range commons {
				c.Compression.Types = append(slices.Clip(c.Compression.Types), w.Text)
			}
		}
	default:
		targets := make([]any, len(commons))
		for i, c := range commons {
			targets[i] = c
		}
		d.scalar(k, targets...)
		for _, c := range commons {
			if p := c.Compression; !p.Offload && len(p.Algos)+len(p.Types) == 0 {
				c.Compression = nil // offload = false
			}
		}
	}
}

// filter reads a `filter` line: there is nothing to arrange, but the cache has to be there.
func (d *decoder) filter(k tree.Node) {
	kind, rest := k.Args[0], k.Args[1:]
	switch {
	case kind.Text == "compression" && len(rest) == 0:
	case kind.Text == "cache" && len(rest) == 1:
		d.filters = append(d.filters, rest[0])
	case kind.Text == "compression":
		d.errorf(rest[0].Pos, "", "surplus word %s after 'filter compression'", tree.Quote(rest[0].Text))
	case kind.Text == "cache":
		d.errorf(k.Pos, "filter cache NAME", "'filter cache' needs the name of a cache and nothing else")
	case slices.Contains([]string{"trace", "spoe", "fcgi-app", "bwlim-in", "bwlim-out", "opentracing"}, kind.Text):
		d.errorf(kind.Pos, "", "'filter %s' is not supported yet", kind.Text)
	default:
		d.errorf(kind.Pos, "compression or cache", "%s is no filter", tree.Quote(kind.Text))
	}
}

// cache reads a cache section.
func (d *decoder) cache(n tree.Node) {
	c := proxy.Cache{Pos: n.Pos, MaxAge: defaultMaxAge, MaxSecondaryEntries: defaultSecondaryEntries}
	if len(n.Args) > 0 {
		c.Name = n.Args[0].Text
	}
	sized := true
	for _, k := range n.Kids {
		ok := d.scalar(k, &c)
		sized = sized && (ok || k.Def.Name != "total-max-size")
		if ok && len(k.Args) > 0 {
			d.places[brokenKey("cache", c.Name, k.Def.Name)] = k.Args[0].Pos
		}
	}
	if !sized || slices.Contains(n.Torn, "total-max-size") {
		d.broken[brokenKey("cache", c.Name, "total-max-size")] = true
	}
	d.doc.Proxy.Caches = append(d.doc.Proxy.Caches, c)
}

// What a cache section has that does not say otherwise.
const (
	defaultMaxAge           = time.Minute
	defaultSecondaryEntries = 10
)

// caches checks the sections, and what names them outside of rules.
func (v *validator) caches() {
	seen := map[string]source.Pos{}
	for _, c := range v.doc.Proxy.Caches {
		if first, ok := seen[c.Name]; ok {
			v.ps.Errorf(c.Pos, "", "cache '%s' was already defined at %s", c.Name, first)
			continue
		}
		seen[c.Name] = c.Pos
		total := int64(c.TotalMaxSize) << 20
		at := v.place("cache", c.Name, "max-object-size", c.Pos)
		switch {
		case total == 0 && !v.isBroken("cache", c.Name, "total-max-size"):
			v.ps.Errorf(c.Pos, "total-max-size 4", "cache '%s' has no 'total-max-size'", c.Name)
		case total > 0 && int64(c.MaxObjectSize) > total/2:
			v.ps.Errorf(at, "half of total-max-size", "'max-object-size' of cache '%s' is more than %d", c.Name, total/2)
		}
		if c.MaxSecondaryEntries != defaultSecondaryEntries && !c.ProcessVary {
			v.ps.Warnf(v.place("cache", c.Name, "max-secondary-entries", c.Pos), "write process-vary on",
				"'max-secondary-entries' has no effect in cache '%s': 'process-vary' is off", c.Name)
		}
	}
	for _, w := range v.filters {
		if _, ok := v.findCache(w.Text); !ok {
			v.ps.Errorf(w.Pos, meant(w.Text, v.cacheNames()), "there is no cache '%s'", w.Text)
		}
	}
}

func (v *validator) findCache(name string) (proxy.Cache, bool) {
	i := slices.IndexFunc(v.doc.Proxy.Caches, func(c proxy.Cache) bool { return c.Name == name })
	if i < 0 {
		return proxy.Cache{}, false
	}
	return v.doc.Proxy.Caches[i], true
}

func (v *validator) cacheNames() (out []string) {
	for _, c := range v.doc.Proxy.Caches {
		out = append(out, c.Name)
	}
	return out
}

// compression tells of lines that come to nothing.
func (v *validator) compression(kind, name string, c *proxy.Common) {
	switch {
	case c.Compression == nil:
	case c.Mode != proxy.HTTP:
		v.ps.Warnf(c.Compression.Pos, "write mode http", "%s '%s' is in %s mode: 'compression' has no effect", kind, name, c.Mode)
	case len(c.Compression.Algos) == 0 && len(c.Compression.Types) == 0:
		v.ps.Warnf(c.Compression.Pos, "compression algo gzip", "%s '%s' has no 'compression algo': nothing is compressed by it", kind, name)
	}
}
