package config

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
)

// spell writes a value the way its word wants it.
func spell(def *words.Word, f reflect.Value) (s string, number, ok bool) {
	switch v := f.Interface().(type) {
	case time.Duration:
		return duration(max(v, 0)), false, true
	case netip.Addr:
		if !v.IsValid() {
			return "", false, true
		}
		return v.String(), false, true
	case string:
		if def.Name == "stats socket" {
			return haproxycfg.Join(v), false, true
		}
		return v, false, true
	}
	if !f.CanInt() {
		return "", false, false
	}
	if n := f.Int(); def.Type == words.Enum {
		if n < 0 || int(n) >= len(def.Enum) || def.Enum[n] == "" {
			return "", false, false
		}
		return def.Enum[n], false, true
	}
	return "", true, true
}

// join2 joins what is there with a blank.
func join2(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}

// logLines spells log targets; those that are just the global ones are `global`.
func logLines(targets, global []proxy.LogTarget) []string {
	if len(global) > 0 && len(targets) == len(global) && (&differ{}).same(targets, global) {
		return []string{"global"}
	}
	var out []string
	for _, t := range targets {
		ws := []string{t.Address}
		if t.Len != 1024 {
			ws = append(ws, "len", strconv.Itoa(t.Len))
		}
		if t.Format != "rfc3164" {
			ws = append(ws, "format", t.Format)
		}
		for _, w := range []string{t.Facility, t.MaxLevel, t.MinLevel} {
			if w != "" {
				ws = append(ws, w)
			}
		}
		out = append(out, haproxycfg.Join(ws...))
	}
	return out
}

// ruleTexts are the words of a rule as they are spelled.
func ruleTexts(ws []proxy.Word) []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		out[i] = w.Text
	}
	return out
}

// listLines spells rules line by line.
func listLines(rules []proxy.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, haproxycfg.Join(ruleTexts(r.Words)...))
	}
	return out
}
