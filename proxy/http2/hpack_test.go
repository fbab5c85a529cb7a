package http2

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

type pair struct{ name, value string }

func pairs(l *List) []pair {
	var out []pair
	for _, f := range l.Fields {
		out = append(out, pair{string(l.Name(f)), string(l.Value(f))})
	}
	return out
}

// TestDecodeWhatTheLibraryEncodes feeds blocks of x/net's encoder, which indexes and Huffman-codes, with tables that
// change their size meanwhile.
func TestDecodeWhatTheLibraryEncodes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	var dec Decoder
	dec.SetTableSize(4096)
	var l List
	names := []string{":method", ":path", "x-a", "x-long-name-that-is-not-in-the-table", "cookie", "content-type", "accept", "user-agent"}
	for round := range 3000 {
		b.Reset()
		if r.IntN(50) == 0 {
			enc.SetMaxDynamicTableSize(uint32(r.IntN(4097)))
		}
		var want []pair
		for range r.IntN(20) {
			v := make([]byte, r.IntN(40))
			for i := range v {
				v[i] = byte(r.IntN(256))
			}
			p := pair{names[r.IntN(len(names))], string(v)}
			if r.IntN(2) == 0 {
				p.value = strings.Repeat("v", r.IntN(300))
			}
			want = append(want, p)
			if err := enc.WriteField(hpack.HeaderField{Name: p.name, Value: p.value, Sensitive: r.IntN(10) == 0}); err != nil {
				t.Fatal(err)
			}
		}
		if !dec.Decode(b.Bytes(), &l, 1<<20) {
			t.Fatalf("round %d: refused", round)
		}
		got := pairs(&l)
		if len(got) != len(want) {
			t.Fatalf("round %d: %d fields, want %d", round, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("round %d: field %d is %q, want %q", round, i, got[i], want[i])
			}
		}
	}
}

// TestEncodeForTheLibrary: x/net's decoder reads what we write, even one that allows no table.
func TestEncodeForTheLibrary(t *testing.T) {
	c := NewServer(defaults, &Pool{}, &List{})
	var got []hpack.HeaderField
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, f) })
	for range 2 {
		got = nil
		out := c.OpenHeaders(nil)
		out = appendStatus(out, 200)
		out = appendStatus(out, 418)
		out = appendField(out, []byte("Content-Type"), []byte("text/plain"))
		out = appendField(out, []byte("X-Thing"), []byte(strings.Repeat("é", 300)))
		if _, err := dec.Write(out[FrameHeaderLen:]); err != nil || dec.Close() != nil {
			t.Fatal(err)
		}
		want := []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: ":status", Value: "418"}, {Name: "content-type", Value: "text/plain"}, {Name: "x-thing", Value: strings.Repeat("é", 300)}}
		if len(got) != len(want) {
			t.Fatalf("%v", got)
		}
		for i := range want {
			if got[i].Name != want[i].Name || got[i].Value != want[i].Value {
				t.Errorf("%v, want %v", got[i], want[i])
			}
		}
	}
}

// TestCompressionErrors are blocks that RFC 7541 calls errors.
func TestCompressionErrors(t *testing.T) {
	for name, block := range map[string]string{
		"index 0":                       "\x80",
		"index beyond the table":        "\xff\x00",
		"index of an empty table":       "\xbe",
		"size update above the setting": "\x3f\xe2\x1f",
		"size update behind a field":    "\x82\x20",
		"integer without end":           "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"integer cut short":             "\xff",
		"string longer than the block":  "\x00\x05ab",
		"name without value":            "\x00\x01a",
		"Huffman padding of zeros":      "\x00\x81\x18\x01a",
		"Huffman padding of a byte":     "\x00\x82\x1f\xff\x01a",
		"Huffman end of string":         "\x00\x84\xff\xff\xff\xff\x01a",
	} {
		var d Decoder
		d.SetTableSize(4096)
		var l List
		if d.Decode([]byte(block), &l, 1<<16) {
			t.Errorf("%s: taken as %q", name, pairs(&l))
		}
	}
}

// TestListLimit: a block that unpacks to more than the limit is followed to its end and not kept.
func TestListLimit(t *testing.T) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	enc.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("a", 3000)})
	first := append([]byte(nil), b.Bytes()...)
	b.Reset()
	enc.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("a", 3000)})
	bomb := bytes.Repeat(b.Bytes(), 10000)
	var d Decoder
	d.SetTableSize(4096)
	var l List
	if !d.Decode(first, &l, 16384) || l.TooBig {
		t.Fatal("the first block is good")
	}
	if !d.Decode(bomb, &l, 16384) || !l.TooBig || cap(l.bytes) > 1<<16 {
		t.Errorf("TooBig %v, %d bytes kept", l.TooBig, cap(l.bytes))
	}
}

// FuzzDecode: our decoder takes what x/net's takes, and reads the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"))
	f.Add([]byte("\x40\x0acustom-key\x0dcustom-header\xbe"))
	f.Add([]byte("\x20\x3f\xe1\x1f\x82"))
	f.Fuzz(func(t *testing.T, block []byte) {
		var d Decoder
		d.SetTableSize(4096)
		var l List
		ok := d.Decode(block, &l, 1<<20)
		var want []pair
		dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { want = append(want, pair{f.Name, f.Value}) })
		_, err := dec.Write(block)
		if err == nil {
			err = dec.Close()
		}
		if ok && err != nil {
			t.Fatalf("taken, but the library says %v", err)
		}
		if !ok || l.TooBig {
			return // stricter: strings and integers have limits
		}
		got := pairs(&l)
		if len(got) != len(want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%q, want %q", got[i], want[i])
			}
		}
	})
}

// BenchmarkDecode is a browser's request in which everything but the path is known already.
func BenchmarkDecode(b *testing.B) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	fields := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "www.example.org"},
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}, {Name: "accept", Value: "text/html,application/xhtml+xml"},
		{Name: "accept-encoding", Value: "gzip, deflate, br"}, {Name: "cookie", Value: "session=0123456789abcdef0123456789abcdef"},
		{Name: ":path", Value: "/some/path?with=query", Sensitive: true}}
	write := func() []byte {
		buf.Reset()
		for _, f := range fields {
			enc.WriteField(f)
		}
		return append([]byte(nil), buf.Bytes()...)
	}
	var d Decoder
	d.SetTableSize(4096)
	var l List
	d.Decode(write(), &l, 1<<16)
	block := write()
	b.ReportAllocs()
	for b.Loop() {
		if !d.Decode(block, &l, 1<<16) {
			b.Fatal("refused")
		}
	}
}
