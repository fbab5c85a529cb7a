package compress

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func TestBestCoding(t *testing.T) {
	all := []Coding{Brotli, Zstd, Gzip, Deflate}
	for _, c := range []struct {
		accept string
		offer  []Coding
		want   Coding
	}{
		{"", all, None},
		{"gzip", all, Gzip},
		{"gzip, deflate, br, zstd", all, Brotli},
		{"gzip, deflate, br, zstd", []Coding{Gzip, Brotli}, Gzip},
		{"gzip;q=0.5, deflate;q=0.8", all, Deflate},
		{"gzip;q=0.123, deflate;q=0.124", all, Deflate},
		{"gzip; q=0.1, deflate ; q=0.3", all, Deflate},
		{"gzip;q=0", all, None},
		{"gzip;q=0.000", all, None},
		{"gzip;q=0, *", []Coding{Gzip, Deflate}, Deflate},
		{"*", all, Brotli},
		{"*;q=0", all, None},
		{"*;q=0.5, deflate;q=0.4", []Coding{Deflate, Gzip}, Gzip},
		{"GZIP", all, Gzip},
		{"x-gzip", all, Gzip},
		{"gzipped", all, None},
		{" , gzip ,", all, Gzip},
		{"gzip;x=1;q=0.2, deflate;q=0.1", all, Gzip},
		{"identity;q=1, gzip;q=0.5", all, None},
		{"identity;q=0.5, gzip;q=0.5", all, Gzip},
		{"identity;q=0", all, None},
		{"gzip;q=abc", all, None},
		{"gzip;q=2", all, None},
		{"gzip;q=1.001", all, None},
		{"gzip;q=0.0001", all, None},
		{"gzip\nbr;q=0.9", all, Gzip},
		{"deflate", []Coding{RawDeflate}, RawDeflate},
		{"gzip", []Coding{Identity}, None},
	} {
		var w Wish
		w.Reset()
		for line := range strings.SplitSeq(c.accept, "\n") {
			w.Line([]byte(line))
		}
		if got := w.Best(c.offer); got != c.want {
			t.Errorf("Accept-Encoding: %s of %v gets %q, want %q", c.accept, c.offer, got, c.want)
		}
	}
}

func TestWhatIsCompressed(t *testing.T) {
	text := []string{"text/", "application/json"}
	for _, c := range []struct {
		head  string
		types []string
		want  bool
	}{
		{"", nil, true},
		{"", text, false},
		{"Content-Type: text/html; charset=x", text, true},
		{"content-type: TEXT/plain", text, true},
		{"Content-Type: image/png", text, false},
		{"Content-Type: image/png", nil, true},
		{"Content-Type: multipart/mixed; boundary=x", nil, false},
		{"Content-Encoding: br", nil, false},
		{"Content-Encoding: identity", nil, false},
		{"Content-Range: bytes 0-1/2", nil, false},
		{"Cache-Control: public, No-Transform", nil, false},
		{"Cache-Control: public", nil, true},
		{`ETag: "a"`, nil, true},
		{`ETag: W/"a"`, nil, true},
		{"ETag: a", nil, false},
		{"ETag: \"a\"\nETag: \"b\"", nil, false},
	} {
		var f Fit
		for line := range strings.SplitSeq(c.head, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				f.Field([]byte(name), []byte(value), Lower(c.types))
			}
		}
		if got := f.OK(Lower(c.types)); got != c.want {
			t.Errorf("%q of %v: %t, want %t", c.head, c.types, got, c.want)
		}
	}
	for status, want := range map[int]bool{200: true, 201: true, 203: true, 204: false, 206: false, 301: false, 304: false, 404: false, 500: false} {
		if Status(status) != want {
			t.Errorf("status %d: %t", status, !want)
		}
	}
}

func TestOldClients(t *testing.T) {
	for agent, old := range map[string]bool{"Mozilla/4.08": true, "Mozilla/4.0 (compatible; MSIE 5.0)": true, "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)": true,
		"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)": false, "Mozilla/4.0 (compatible; MSIE 7.0)": false, "Mozilla/4.0 (compatible; MSIE 10.0)": false,
		"Mozilla/5.0": false, "curl/8": false, "": false, "Mozilla/4.0 (MSIE ": true} {
		if Old([]byte(agent)) != old {
			t.Errorf("%q is old: %t", agent, !old)
		}
	}
}

// decoder is another hand's where there is one: the standard library's.
func decoder(t *testing.T, c Coding, r io.Reader) io.Reader {
	t.Helper()
	var out io.Reader
	var err error
	switch c {
	case Gzip:
		out, err = gzip.NewReader(r)
	case Deflate:
		out, err = zlib.NewReader(r)
	case RawDeflate:
		out = flate.NewReader(r)
	case Brotli:
		out = brotli.NewReader(r)
	case Zstd:
		out, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return out
}

var allCodings = []Coding{Gzip, Deflate, RawDeflate, Brotli, Zstd}

// content is text that can be compressed, and some that can't.
func content(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		switch r.IntN(3) {
		case 0:
			b.WriteString(strings.Repeat("hello world ", r.IntN(100)))
		case 1:
			for range r.IntN(200) {
				b.WriteByte(byte(r.Uint32()))
			}
		default:
			b.WriteString("<p>")
		}
	}
	return b.Bytes()[:n]
}

func TestEncodersAreUsedAgain(t *testing.T) {
	var p Pool
	for round, n := range []int{0, 1, 100, 70000, 1 << 20} {
		for _, c := range allCodings {
			for _, level := range []int{0, 1, 5, 9, 99} {
				e := p.Take(c, level, 10)
				text := content(n)
				for rest := text; len(rest) > 0; {
					k := min(len(rest), 16384)
					e.Write(rest[:k])
					rest = rest[k:]
				}
				e.Close()
				got, err := io.ReadAll(decoder(t, c, bytes.NewReader(e.Out[10:])))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("round %d, %s level %d: %d bytes of %d come back: %v", round, c, level, len(got), n, err)
				}
				if n > 1000 && len(e.Out) > n*9/10 {
					t.Errorf("%s level %d makes %d bytes of %d", c, level, len(e.Out), n)
				}
				p.Give(e)
			}
		}
	}
	if p.Used() != 0 {
		t.Errorf("%d encoders are missing", p.Used())
	}
}

// TestFlushBringsEverythingOut: what was written before a Flush can be read without what comes later.
func TestFlushBringsEverythingOut(t *testing.T) {
	var p Pool
	for _, c := range allCodings {
		e := p.Take(c, 1, 0)
		e.Write([]byte("first "))
		e.Flush()
		r, w := io.Pipe()
		out := bytes.Clone(e.Out)
		go func() { w.Write(out) }() // and no end: a decoder that needed more would wait for it
		got := make([]byte, 6)
		if _, err := io.ReadFull(decoder(t, c, r), got); err != nil || string(got) != "first " {
			t.Errorf("%s: %q after a flush: %v", c, got, err)
		}
		w.Close()
		p.Give(e) // in the middle of it
		e = p.Take(c, 1, 0)
		e.Write([]byte("another"))
		e.Close()
		all, err := io.ReadAll(decoder(t, c, bytes.NewReader(e.Out)))
		if err != nil || string(all) != "another" {
			t.Errorf("%s: after an answer that was given up: %q, %v", c, all, err)
		}
		p.Give(e)
	}
}

// TestCostIsAnUpperBound: an encoder takes no more memory than is set aside for it.
func TestCostIsAnUpperBound(t *testing.T) {
	text := content(1 << 20)
	for _, c := range allCodings {
		for level := 1; level <= 9; level++ {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var p Pool
			e := p.Take(c, level, 10)
			for rest := text; len(rest) > 0; rest = rest[min(16384, len(rest)):] {
				e.Write(rest[:min(16384, len(rest))])
				e.Clear()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			if took > Cost {
				t.Errorf("%s level %d takes %d bytes, more than %d", c, level, took, Cost)
			}
			runtime.KeepAlive(e)
		}
	}
}

func TestNoEncoderIsMadeAnew(t *testing.T) {
	var p Pool
	text := content(20000)
	for _, c := range allCodings {
		one := func() {
			e := p.Take(c, 1, 10)
			e.Write(text)
			e.Flush()
			e.Clear()
			e.Write(text)
			e.Close()
			p.Give(e)
		}
		one()
		if n := testing.AllocsPerRun(50, one); n > 2 { // zstd's own
			t.Errorf("%s: %v allocations for an answer", c, n)
		}
	}
}

func BenchmarkEncoders(b *testing.B) {
	text := content(64 << 10)
	for _, c := range allCodings {
		b.Run(c.String(), func(b *testing.B) {
			var p Pool
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				e := p.Take(c, 1, 10)
				for rest := text; len(rest) > 0; rest = rest[16384:] {
					e.Write(rest[:16384])
					e.Clear()
				}
				e.Close()
				p.Give(e)
			}
		})
	}
}
