package config

import (
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/proxy"
)

type captureForm struct {
	word string
	form []string
	of   proxy.CaptureOf
}

// captures are the lines that note something for the log, with what follows each; NAME and N are any.
var captures = []captureForm{
	{"capture request", []string{"header", "NAME", "len", "N"}, proxy.CaptureRequest},
	{"capture response", []string{"header", "NAME", "len", "N"}, proxy.CaptureResponse},
	{"capture cookie", []string{"NAME", "len", "N"}, proxy.CaptureCookie},
	{"declare capture", []string{"request", "len", "N"}, proxy.DeclareRequest},
	{"declare capture", []string{"response", "len", "N"}, proxy.DeclareResponse},
}

// capture reads one of these lines. It reports whether the word is one of theirs. HCL's `capture` has all of them in one
// list, as their order counts: what follows `capture`, or `declare` and what follows `declare capture`.
func (d *decoder) capture(f *proxy.Frontend, k tree.Node) bool {
	if k.Def.Name == "capture" && len(k.Args) > 0 {
		def := *k.Def
		if def.Name = "capture " + k.Args[0].Text; k.Args[0].Text == "declare" {
			def.Name = "declare capture"
		}
		k.Def, k.Args = &def, k.Args[1:]
		if !d.capture(f, k) {
			d.errorf(k.Pos, "request header NAME len N, response header NAME len N, cookie NAME len N, declare request|response len N", "%s is nothing that can be captured", tree.Quote(def.Name))
		}
		return true
	}
	known := false
	for _, form := range captures {
		if form.word != k.Def.Name {
			continue
		}
		known = true
		if len(k.Args) > 0 && (form.form[0] == "NAME" || form.form[0] == k.Args[0].Text) {
			d.captureForm(f, k, form.form, form.of)
			return true
		}
	}
	if known {
		hint := k.Def.Name + " header NAME len N"
		switch k.Def.Name {
		case "capture cookie":
			hint = "capture cookie NAME len N"
		case "declare capture":
			hint = "declare capture request|response len N"
		}
		d.errorf(k.Pos, hint, "'%s' needs to be told what", k.Def.Name)
	}
	return known
}

func (d *decoder) captureForm(f *proxy.Frontend, k tree.Node, form []string, of proxy.CaptureOf) {
	c := proxy.Capture{Of: of, Pos: k.Pos}
	r := &lineReader{d: d, what: k.Def.Name, ws: k.Args, last: tree.Word{Text: k.Def.Name, Pos: k.Pos}}
	for _, want := range form {
		switch want {
		case "NAME":
			if w, ok := r.value(); ok {
				c.Name, r.last = w.Text, w
			}
		case "N":
			c.Len = r.number(1, proxy.MaxCapture)
		default:
			if !r.take(want) {
				r.wrong(r.last.Pos, k.Def.Name+" "+strings.Join(form, " "), "'%s' is missing after %s", want, tree.Quote(r.last.Text))
			}
		}
		if r.bad {
			return
		}
	}
	if len(r.ws) > 0 {
		r.wrong(r.ws[0].Pos, "", "surplus word %s after '%s'", tree.Quote(r.ws[0].Text), k.Def.Name)
		return
	}
	if of == proxy.CaptureCookie { // there is one
		f.Captures = slices.DeleteFunc(slices.Clone(f.Captures), func(o proxy.Capture) bool { return o.Of == of })
	}
	f.Captures = append(f.Captures, c)
}

// captures writes them, in one list.
func (w writer) captures(all []proxy.Capture) {
	var lines []string
	for _, c := range all {
		form := captures[slices.IndexFunc(captures, func(f captureForm) bool { return f.of == c.Of })]
		first, second, _ := strings.Cut(form.word, " ")
		if first == "capture" {
			first = second
		}
		ws := []string{first}
		for _, word := range form.form {
			switch word {
			case "NAME":
				word = c.Name
			case "N":
				word = itoa(c.Len)
			}
			ws = append(ws, word)
		}
		lines = append(lines, haproxycfg.Join(ws...))
	}
	w.list("capture", lines)
}
