package words

import (
	"strings"
	"testing"
)

func TestEveryRowIsWhole(t *testing.T) {
	for _, w := range All() {
		at := w.In[0] + " " + w.Name
		if w.Name == "" || len(w.In) == 0 || w.Type == 0 || w.Dialect == "" {
			t.Errorf("%s: name, scope, type or dialect is missing", at)
		}
		switch w.Status {
		case Supported, Accepted:
			if w.Doc == "" {
				t.Errorf("%s has no doc", at)
			}
			if (w.Note == "") != (w.Status == Supported) {
				t.Errorf("%s: %s with the note %q", at, w.Status, w.Note)
			}
		case Alias:
			for _, scope := range w.In {
				if n := Find(w.Dialect, scope, w.Note); n == nil || n.Status != Supported && n.Status != Accepted {
					t.Errorf("%s is an old name of %q, which %s does not know", at, w.Note, scope)
				}
			}
		}
		if w.Type == Duration && w.Unit == 0 && w.Status != Alias {
			t.Errorf("%s is a time without a unit", at)
		}
		if w.Type == Block && len(In(w.Sub)) == 0 {
			t.Errorf("%s opens the scope %q, which has no words", at, w.Sub)
		}
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		d           Dialect
		scope, name string
		want        string
	}{
		{HAProxy, "backend", "stick-table", "stick-table"},
		{HAProxy, "backend", "stick_table", ""},
		{HCL, "backend", "stick_table", "stick-table"},
		{HCL, "frontend", "timeout_http-request", "timeout http-request"},
		{Keepalived, "vrrp_instance", "priority", "priority"},
		{Keepalived, "vrrp_instance", "election", ""}, // Reeve's own word
		{HCL, "vrrp_instance", "election", "election"},
		{HAProxy, "frontend", "server", ""},
		{HAProxy, "global", "MAXCONN", ""},
	} {
		got := ""
		if w := Find(c.d, c.scope, c.name); w != nil {
			got = w.Name
		}
		if got != c.want {
			t.Errorf("Find(%s, %s, %s) = %q, want %q", c.d, c.scope, c.name, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"weight", "interval", "priority", "fall", "rise", "timeout connect"}
	for slip, want := range map[string]string{
		"wieght": "weight", "weigth": "weight", "intervall": "interval", "Priority": "priority", "fal": "fall", "timeout conect": "timeout connect",
		"frobnicate": "", "x": "", "": "", "weight": "", strings.Repeat("weight", 20): "",
	} {
		if got := Nearest(slip, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", slip, got, want)
		}
	}
}
