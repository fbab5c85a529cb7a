package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// TestErrorFilesThatAreNone: what can't be answered with is told before a version is agreed on, and the built-in page
// takes its place.
func TestErrorFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"page": "<html>sorry</html>\n", "unended": "HTTP/1.1 400 Bad\nA: b\n", "long": "HTTP/1.1 400 Bad\n\n" + strings.Repeat("x", 20000),
		"old": "HTTP/0.9 400 Bad\n\nx", "folded": "HTTP/1.1 400 Bad\nA: b\n c\n\nx"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, a := named(t, "a")
	for _, name := range []string{"missing", "page", "unended", "long", "old", "folded"} {
		var cfg proxy.Config
		s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { cfg = *c })
		cfg.Frontends[0].ErrorFiles = []proxy.ErrorFile{{Code: 400, File: filepath.Join(dir, name)}}
		for _, ps := range []interface{ HasErrors() bool }{s.e.CanRun(cfg), s.e.Apply(cfg)} {
			if !ps.HasErrors() {
				t.Errorf("%s: no problem", name)
			}
		}
		if out := s.raw("GET / HTTP/1.1\r\nHost : x\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.1 400 Bad request\r\n") {
			t.Errorf("%s: %q", name, out)
		}
	}
}
