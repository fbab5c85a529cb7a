package config

import (
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

func TestCompressionInBothSpellings(t *testing.T) {
	cfg := loadText(t, "a.cfg", `global
 tune.comp.maxlevel 3
 maxcomprate 100
 maxcompcpuusage 80
 maxzlibmem 64
defaults
 mode http
 timeout client 1s
 timeout server 1s
 timeout connect 1s
 compression type text/
backend b
 compression algo br zstd
 compression algo gzip
 compression type application/json
 compression offload
 compression direction response
`)
	hcl := loadText(t, "a.hcl", `global {
  tune_comp_maxlevel = 3
  maxcomprate = 100
  maxcompcpuusage = 80
  maxzlibmem = 64
}
backend "b" {
  mode = "http"
  timeout {
    connect = "1s"
    server = "1s"
  }
  compression {
    algo = ["br", "zstd", "gzip"]
    type = ["text/", "application/json"]
    offload = true
  }
}
`)
	for _, c := range Diff(cfg, hcl) {
		t.Errorf("%s", c)
	}
	got := cfg.Proxy.Backends[0].Compression
	if len(got.Algos) != 3 || got.Algos[0] != "br" || len(got.Types) != 2 || !got.Offload {
		t.Errorf("%+v", got)
	}
	if cfg.Proxy.Global.Compression != (proxy.Tune{Level: 3, Rate: 100, CPU: 80, Memory: 64}) {
		t.Errorf("%+v", cfg.Proxy.Global.Compression)
	}
}

func TestCacheInBothSpellings(t *testing.T) {
	cfg := loadText(t, "a.cfg", `cache c
 total-max-size 64
 max-object-size 100k
 max-age 240
 process-vary on
 max-secondary-entries 5
listen l
 bind :80
 mode http
 timeout client 1s
 timeout server 1s
 timeout connect 1s
 filter cache c
 filter compression
 http-request cache-use c if { path_beg /img }
 http-response cache-store c
`)
	hcl := loadText(t, "a.hcl", `cache "c" {
  total_max_size = 64
  max_object_size = "100k"
  max_age = "4m"
  process_vary = true
  max_secondary_entries = 5
}
listen "l" {
  bind = [":80"]
  mode = "http"
  timeout {
    client = "1s"
    connect = "1s"
    server = "1s"
  }
  filter = ["cache c"]
  http_request = ["cache-use c if { path_beg /img }"]
  http_response = ["cache-store c"]
}
`)
	for _, c := range Diff(cfg, hcl) {
		t.Errorf("%s", c)
	}
	want := proxy.Cache{Name: "c", TotalMaxSize: 64, MaxObjectSize: 100 << 10, MaxAge: 4 * time.Minute, ProcessVary: true, MaxSecondaryEntries: 5, Pos: cfg.Proxy.Caches[0].Pos}
	if cfg.Proxy.Caches[0] != want {
		t.Errorf("%+v", cfg.Proxy.Caches[0])
	}
}

// TestPlanSpeaksOfCaches: differences have the names of the file.
func TestPlanSpeaksOfCaches(t *testing.T) {
	const text = "cache c\n total-max-size 4\nbackend b\n mode http\n timeout connect 1s\n timeout server 1s\n compression algo gzip\n"
	a, b := loadText(t, "a.cfg", text), loadText(t, "b.cfg", strings.NewReplacer("size 4", "size 5", "gzip", "br").Replace(text))
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.String())
	}
	if want := "~ cache c / total_max_size: 4 -> 5\n~ backend b / compression / algo 1: gzip -> br"; strings.Join(got, "\n") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), want)
	}
}

func loadText(t *testing.T, name, text string) Document {
	t.Helper()
	doc, _, ps := Load([]File{{Name: name, Content: []byte(text)}})
	for _, p := range ps {
		t.Errorf("%v", p)
	}
	return doc
}

// TestWrongContentWords: each mistake has its line.
func TestWrongContentWords(t *testing.T) {
	const text = `cache c
 total-max-size 1
 max-object-size 600000
cache d
 max-age 60
cache c
 total-max-size 5000
listen l
 bind :80
 mode http
 timeout client 1s
 timeout server 1s
 timeout connect 1s
 compression algo gzip lzma
 compression type "text/html;x"
 compression direction request
 compression brotli
 filter cache e
 filter spoe x
 filter lzma
 http-request cache-use e
 http-response cache-store
 http-response cache-use c
`
	_, _, ps := Load([]File{{Name: "a.cfg", Content: []byte(text)}})
	var got []string
	for _, p := range ps {
		got = append(got, p.Error())
	}
	want := []string{
		"a.cfg:3:18: error: 'max-object-size' of cache 'c' is more than 524288 (half of total-max-size)",
		"a.cfg:4:1: error: cache 'd' has no 'total-max-size' (total-max-size 4)",
		"a.cfg:6:1: error: cache 'c' was already defined at a.cfg:1:1",
		"a.cfg:7:17: error: '5000' is no value for 'total-max-size' (a number from 1 to 4095)",
		"a.cfg:14:24: error: 'lzma' is no algorithm for 'compression algo' (gzip, deflate, raw-deflate, identity, br, zstd)",
		"a.cfg:15:19: error: 'text/html;x' is no type for 'compression type' (the beginning of a media type, as in text/)",
		"a.cfg:16:24: error: 'compression direction request' is not supported yet",
		"a.cfg:17:14: error: unknown keyword 'compression brotli' in listen",
		"a.cfg:18:15: error: there is no cache 'e' (did you mean 'c'?)",
		"a.cfg:19:9: error: 'filter spoe' is not supported yet",
		"a.cfg:20:9: error: 'lzma' is no filter (compression or cache)",
		"a.cfg:21:25: error: there is no cache 'e'",
		"a.cfg:22:16: error: 'cache-store' needs the name of a cache",
		"a.cfg:23:16: error: 'cache-use' is no action of 'http-response'",
	}
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("\ngot  %s\nwant %s", g, w)
		}
	}
}
