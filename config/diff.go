package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/vrrp"
)

// Kind says what became of a setting.
type Kind string

// The three things that can become of a setting.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is one difference between two Documents, at the smallest setting that differs. A thing that has a name (a
// backend, a server, an instance) and stands on one side only is one Change with an empty Old or New.
type Change struct {
	Path   string     `json:"path"` // backend app / server s1 / weight
	Kind   Kind       `json:"kind"`
	Old    string     `json:"old,omitempty"`
	New    string     `json:"new,omitempty"`
	OldPos source.Pos `json:"old_pos"`
	NewPos source.Pos `json:"new_pos"`
}

// String is the line `plan` prints.
func (c Change) String() string {
	switch c.Kind {
	case Added:
		return strings.TrimRight("+ "+c.Path+" "+c.New, " ")
	case Removed:
		return strings.TrimRight("- "+c.Path+" "+c.Old, " ")
	}
	return "~ " + c.Path + ": " + cmp.Or(c.Old, `""`) + " -> " + cmp.Or(c.New, `""`)
}

// Diff lists what changes on the way from a to b, in the order of a's sections. Where things were written is no
// difference, and neither is an empty list in place of none.
func Diff(a, b Document) []Change {
	d := differ{}
	d.walk("", reflect.ValueOf(a), reflect.ValueOf(b))
	return d.changes
}

// Equal reports whether both say the same, wherever they were written.
func (d Document) Equal(other Document) bool { return len(Diff(d, other)) == 0 }

type differ struct {
	changes        []Change
	oldPos, newPos source.Pos // of the nearest thing around that has one
}

var (
	posType      = reflect.TypeFor[source.Pos]()
	overrideType = reflect.TypeFor[InstanceOverride]()
)

// lineTypes are lines of free words: they change as a whole.
var lineTypes = []reflect.Type{reflect.TypeFor[proxy.Rule](), reflect.TypeFor[proxy.ACL](), reflect.TypeFor[proxy.UseBackend](),
	reflect.TypeFor[proxy.UseServer]()}

// sameWords compares two lines word by word: what they print does not tell where words begin.
func sameWords(a, b reflect.Value) bool {
	d := differ{}
	for i := range a.NumField() {
		d.walk("line", a.Field(i), b.Field(i))
	}
	return len(d.changes) == 0
}

func said(v reflect.Value) string {
	if v.IsNil() {
		return "as the instance"
	}
	return "none"
}

func (d *differ) walk(path string, a, b reflect.Value) {
	switch {
	case a.Type() == posType:
	case slices.Contains(lineTypes, a.Type()):
		if o, n := a.Interface().(fmt.Stringer).String(), b.Interface().(fmt.Stringer).String(); o != n || !sameWords(a, b) {
			d.at(a, b, func() { d.add(path, Changed, o, n) })
		}
	case isLeaf(a.Type()):
		if a.Equal(b) {
			return
		}
		if secret(path) { // plans are read over shoulders
			d.add(path, Changed, "(secret)", "(another)")
			return
		}
		d.add(path, Changed, text(a), text(b))
	case a.Kind() == reflect.Pointer:
		d.pointer(path, a, b)
	case a.Kind() == reflect.Struct:
		d.fields(path, a, b)
	case a.Kind() == reflect.Map:
		d.maps(path, a, b)
	case a.Kind() == reflect.Slice:
		d.slices(path, a, b)
	}
}

// same compares two values on their own.
func (d *differ) same(a, b any) bool {
	d.walk("value", reflect.ValueOf(a), reflect.ValueOf(b))
	return len(d.changes) == 0
}

func (d *differ) add(path string, k Kind, o, n string) {
	d.changes = append(d.changes, Change{Path: path, Kind: k, Old: o, New: n, OldPos: d.oldPos, NewPos: d.newPos})
}

// at runs f with the positions of a and b (if they have any) as the places of what f finds.
func (d *differ) at(a, b reflect.Value, f func()) {
	o, n := d.oldPos, d.newPos
	d.oldPos, d.newPos = posOf(a, o), posOf(b, n)
	f()
	d.oldPos, d.newPos = o, n
}

func posOf(v reflect.Value, otherwise source.Pos) source.Pos {
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.IsValid() && v.Kind() == reflect.Struct {
		if f := v.FieldByName("Pos"); f.IsValid() && f.Type() == posType {
			if p := f.Interface().(source.Pos); !p.IsZero() {
				return p
			}
		}
	}
	return otherwise
}

func (d *differ) fields(path string, a, b reflect.Value) {
	if names := wordsOf()[a.Type()]; names != nil {
		d.at(a, b, func() { d.words(path, "", names, a, b) })
		return
	}
	d.at(a, b, func() {
		for i := range a.NumField() {
			f := a.Type().Field(i)
			switch p := path; {
			case f.Anonymous:
				d.walk(p, a.Field(i), b.Field(i))
			case path == "": // the trades' names say nothing to a user
				d.walk(sectionName(a.Type(), f.Name), a.Field(i), b.Field(i))
			case a.Type() == overrideType && f.Type.Kind() == reflect.Slice && a.Field(i).IsNil() != b.Field(i).IsNil() &&
				a.Field(i).Len() == b.Field(i).Len(): // none in place of the instance's is not the same as the instance's
				d.add(join(p, wordOf(f.Name)), Changed, said(a.Field(i)), said(b.Field(i)))
			default:
				d.walk(join(p, wordOf(f.Name)), a.Field(i), b.Field(i))
			}
		}
	})
}

func (d *differ) pointer(path string, a, b reflect.Value) {
	switch {
	case a.IsNil() && b.IsNil():
	case a.IsNil():
		d.at(b, b, func() { d.add(path, Added, "", text(b)) })
	case b.IsNil():
		d.at(a, a, func() { d.add(path, Removed, text(a), "") })
	default:
		d.walk(path, a.Elem(), b.Elem())
	}
}

func (d *differ) maps(path string, a, b reflect.Value) {
	var keys []string
	for _, m := range []reflect.Value{a, b} {
		for _, k := range m.MapKeys() {
			keys = append(keys, k.String())
		}
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		key := reflect.ValueOf(k)
		d.one(path+" "+k, a.MapIndex(key), b.MapIndex(key))
	}
}

// one compares what may stand on one side only.
func (d *differ) one(path string, a, b reflect.Value) {
	switch {
	case a.IsValid() && b.IsValid():
		d.walk(path, a, b)
	case b.IsValid():
		d.at(b, b, func() { d.add(path, Added, "", summary(b)) })
	default:
		d.at(a, a, func() { d.add(path, Removed, summary(a), "") })
	}
}

// slices compares by name where the elements have unique ones (their order is a difference of its own), else by place.
func (d *differ) slices(path string, a, b reflect.Value) {
	an, aok := names(a)
	bn, bok := names(b)
	if !aok || !bok {
		for i := range max(a.Len(), b.Len()) {
			var x, y reflect.Value
			if i < a.Len() {
				x = a.Index(i)
			}
			if i < b.Len() {
				y = b.Index(i)
			}
			d.one(path+" "+strconv.Itoa(i+1), x, y)
		}
		return
	}
	for i, n := range an {
		var y reflect.Value
		if j := slices.Index(bn, n); j >= 0 {
			y = b.Index(j)
		}
		d.one(path+" "+n, a.Index(i), y)
	}
	for j, n := range bn {
		if !slices.Contains(an, n) {
			d.one(path+" "+n, reflect.Value{}, b.Index(j))
		}
	}
	if o, n := common(an, bn), common(bn, an); !slices.Equal(o, n) {
		d.add(path+" order", Changed, strings.Join(o, " "), strings.Join(n, " "))
	}
}

func common(of, with []string) []string {
	var out []string
	for _, n := range of {
		if slices.Contains(with, n) {
			out = append(out, n)
		}
	}
	return out
}

// names are the elements' Name fields, when they have them and no two are the same.
func names(s reflect.Value) ([]string, bool) {
	if t := s.Type().Elem(); t.Kind() != reflect.Struct {
		return nil, false
	}
	if _, ok := s.Type().Elem().FieldByName("Name"); !ok {
		return nil, false
	}
	out := make([]string, 0, s.Len())
	for i := range s.Len() {
		n := s.Index(i).FieldByName("Name").String()
		if n == "" || slices.Contains(out, n) {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

// isLeaf: compared as a whole. netip's structs are values with hidden fields.
func isLeaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return t.PkgPath() == "net/netip"
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return false
	}
	return true
}

// summary says little about a named thing that came or went, and all about a small one.
func summary(v reflect.Value) string {
	if v.Kind() == reflect.Struct && v.FieldByName("Name").IsValid() && v.NumField() > 5 {
		return ""
	}
	return text(v)
}

// text prints a value the way a person would write it.
func text(v reflect.Value) string {
	if v.Type() == posType {
		return ""
	}
	if v.Kind() != reflect.Pointer && v.CanInterface() {
		if s, ok := v.Interface().(fmt.Stringer); ok {
			return s.String()
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return ""
		}
		return text(v.Elem())
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, text(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		var parts []string
		for _, k := range v.MapKeys() {
			parts = append(parts, k.String()+" "+text(v.MapIndex(k)))
		}
		slices.Sort(parts)
		return strings.Join(parts, ", ")
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			if f := v.Field(i); f.Type() != posType && !f.IsZero() {
				name, value := wordOf(v.Type().Field(i).Name), "(secret)"
				if !secret(name) {
					value = text(f)
				}
				parts = append(parts, name+" "+value)
			}
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v.Interface())
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + " / " + name
}

// sectionName is the name of the blocks that a list of the top level comes from; the trades' own names say nothing.
func sectionName(parent reflect.Type, field string) string {
	switch field {
	case "Proxy", "VRRP":
		return ""
	case "Static":
		return "static"
	case "Global":
		if parent == reflect.TypeFor[vrrp.Config]() {
			return "global_defs"
		}
	}
	return wordOf(field)
}

// secret: what must not be read over a shoulder.
func secret(path string) bool {
	name := path[strings.LastIndexByte(path, ' ')+1:]
	return slices.Contains([]string{"auth_pass", "priv_pass", "password", "secret", "community"}, name)
}

// spelled are the fields whose word is not just their name in another case.
var spelled = map[string]string{
	"Caches": "cache", "Algos": "algo", "Types": "type",
	"Instances": "vrrp_instance", "Scripts": "vrrp_script", "Addresses": "virtual_ipaddress", "Excluded": "virtual_ipaddress_excluded",
	"TrackScripts": "track_script", "TrackInterfaces": "track_interface", "SyncGroups": "vrrp_sync_group", "GarpGroups": "garp_group",
	"Processes": "vrrp_track_process", "Files": "track_file", "TrackGroups": "track_group", "UnicastPeers": "unicast_peer",
	"MailFrom": "notification_email_from", "HeloName": "smtp_helo_name", "URL": "url", "SNMP": "snmp", "Stick": "stick_on", "MaxConn": "maxconn",
	"NbThread": "nbthread", "Timeouts": "timeout", "ForwardFor": "forwardfor", "PIDFile": "pidfile", "HardStop": "hard_stop_after",
	"NoCache": "nocache", "DontLogNull": "dontlognull", "AuthPass": "auth_pass", "NoPreempt": "nopreempt", "VIPLifetime": "vip_lifetime",
	"Nodes": "node", "Frontends": "frontend", "Backends": "backend", "Servers": "server", "Binds": "bind", "ACLs": "acl", "HTTPRequest": "http-request", "HTTPResponse": "http-response",
	"HTTPAfterResponse": "http-after-response", "TCPRequest": "tcp-request", "TCPResponse": "tcp-response", "UseServer": "use-server", "Checks": "check",
}

func wordOf(field string) string {
	if w, ok := spelled[field]; ok {
		return w
	}
	return snake(field)
}

// snake spells a field the way files do: MaxConn -> max_conn.
func snake(field string) string {
	var b strings.Builder
	rs := []rune(field)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
