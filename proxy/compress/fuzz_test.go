package compress

import (
	"bytes"
	"io"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var qvalue = regexp.MustCompile(`^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$`) // RFC 9110 section 12.4.2

// readAccept reads Accept-Encoding lines by the letter of RFC 9110 section 12.5.3: names in lower case, and their weights.
func readAccept(lines []string) map[string]float64 {
	said := map[string]float64{}
	for _, element := range strings.Split(strings.Join(lines, ","), ",") {
		parts := strings.Split(element, ";")
		for i := range parts {
			parts[i] = strings.Trim(parts[i], " \t")
		}
		name, weight, good := strings.ToLower(parts[0]), 1.0, true
		for _, p := range parts[1:] {
			if key, value, ok := strings.Cut(p, "="); ok && strings.ToLower(key) == "q" {
				if good = qvalue.MatchString(value); good {
					weight, _ = strconv.ParseFloat(value, 64)
				}
			}
		}
		if name == "x-gzip" {
			name = "gzip"
		}
		if before, there := said[name]; name != "" && good && (!there || before < weight) {
			said[name] = weight
		}
	}
	return said
}

// bestOf chooses by what was read: the heaviest of the offer, the first of equals, unless the content as it is weighs more.
func bestOf(said map[string]float64, offer []Coding) Coding {
	best, most := None, 0.0
	for _, c := range offer {
		weight, there := said[c.Token()]
		if !there {
			weight = said["*"]
		}
		if c != Identity && weight > most {
			best, most = c, weight
		}
	}
	if said["identity"] > most {
		return None
	}
	return best
}

// FuzzAccept: whatever a client says it accepts, the coding is the one that a second, simple reading chooses.
func FuzzAccept(f *testing.F) {
	for _, lines := range []string{"", "gzip", "gzip, deflate, br, zstd", "gzip;q=0.5, deflate ; q=0.8", "*;q=0.5, deflate;q=0", "identity;q=1, GZIP;q=0.5",
		"x-gzip;q=0.001\nbr;q=1.000", "gzip;q=abc, gzip;q=0.2", "gzip;x=1;q=0.2;q=0.3", " , gzip ,;q=1", "gzip;q=1.001, br;q=0.0001", "*\n*;q=0", "deflate;Q=0.;q", "gzip;q=0;q=x"} {
		f.Add(lines, []byte{byte(Gzip), byte(Deflate), byte(Brotli), byte(Zstd)})
		f.Add(lines, []byte{byte(Zstd), byte(Identity), byte(RawDeflate), byte(Gzip)})
	}
	f.Fuzz(func(t *testing.T, accept string, order []byte) {
		var offer []Coding
		for _, b := range order[:min(len(order), 16)] {
			offer = append(offer, Identity+Coding(b)%(codings-Identity))
		}
		lines := strings.Split(accept, "\n")
		var w Wish
		w.Reset()
		for _, line := range lines {
			w.Line([]byte(line))
		}
		said := readAccept(lines)
		if got, want := w.Best(offer), bestOf(said, offer); got != want {
			t.Errorf("%q of %v gets %q, want %q: %v", accept, offer, got, want, said)
		}
	})
}

// lead is what the encoders leave to their caller.
const lead = "0123456789"

// used is an encoder with what it has made so far.
type used struct {
	*Encoder
	out, plain     bytes.Buffer
	flushed, shown int // of out and of plain, at the last flush
}

// take moves the output away, as the engine does after each piece.
func (u *used) take(t *testing.T) {
	if string(u.Out[:len(lead)]) != lead {
		t.Fatalf("the caller's bytes are %q", u.Out[:len(lead)])
	}
	if cap(u.Out) > Cost/4 {
		t.Fatalf("%d bytes of room for the output", cap(u.Out))
	}
	u.out.Write(u.Out[len(lead):])
	u.Clear()
	if !u.Empty() {
		t.Fatal("what was taken is still there")
	}
}

// pieceOf is how long a piece is, and whether it is brought out.
func pieceOf(cut byte) (n int, flush bool) { return 1 << (cut & 0x7f % 15), cut&0x80 != 0 }

// shortest is the shortest piece.
func shortest(cuts []byte) int {
	least := 1 << 15
	for _, cut := range cuts {
		n, _ := pieceOf(cut)
		least = min(least, n)
	}
	return least
}

// press sends content through in pieces as the cuts say.
func (u *used) press(t *testing.T, content, cuts []byte) {
	copy(u.Out, lead)
	for i := 0; len(content) > 0; i++ {
		n, flush := 16384, false
		if len(cuts) > 0 {
			n, flush = pieceOf(cuts[i%len(cuts)])
		}
		n = min(n, len(content))
		u.Write(content[:n])
		u.plain.Write(content[:n])
		content = content[n:]
		if flush {
			u.Flush()
		}
		u.take(t)
		if flush {
			u.flushed, u.shown = u.out.Len(), u.plain.Len()
		}
	}
}

// check decodes by another hand: in full, and what can be seen after the last flush.
func (u *used) check(t *testing.T) {
	got, err := io.ReadAll(decoder(t, u.Coding(), bytes.NewReader(u.out.Bytes())))
	if err != nil || !bytes.Equal(got, u.plain.Bytes()) {
		t.Fatalf("%s: of %d bytes %d come back: %v", u.Coding(), u.plain.Len(), len(got), err)
	}
	if u.shown > 0 {
		seen := make([]byte, u.shown)
		n, err := io.ReadFull(decoder(t, u.Coding(), bytes.NewReader(u.out.Bytes()[:u.flushed])), seen)
		if err != nil || !bytes.Equal(seen, u.plain.Bytes()[:u.shown]) {
			t.Fatalf("%s: of %d bytes before a flush %d can be read: %v", u.Coding(), u.shown, n, err)
		}
	}
}

// allocated is how many bytes f allocates: no less than what is kept of them.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// FuzzEncoders: any content in any pieces is what a client decodes; all that was written before a flush can be read without
// what comes later; an encoder that was left in the middle serves the next answer; none takes more memory than is set aside.
func FuzzEncoders(f *testing.F) {
	for coding := range byte(len(allCodings)) {
		f.Add(coding, byte(1), []byte("hello "), uint16(1), []byte{3})
		f.Add(coding, byte(6), []byte("hello world"), uint16(9000), []byte{14, 0x8a, 0})
		f.Add(coding, byte(9), content(3000), uint16(30), []byte{0x84, 14})
		f.Add(coding, byte(0), []byte{}, uint16(0), []byte{})
		f.Add(coding, byte(200), content(40000), uint16(1), []byte{0x80})
	}
	f.Fuzz(func(t *testing.T, which, level byte, piece []byte, times uint16, cuts []byte) {
		text := bytes.Repeat(piece, min(int(times), (256<<10)/max(len(piece), 1)))
		if small := len(cuts) > 0 && shortest(cuts) < 64; small && len(text) > 4096 {
			text = text[:4096] // many small pieces take too long
		}
		coding := allCodings[int(which)%len(allCodings)]
		var p Pool
		e := p.Take(coding, int(level), len(lead))
		u := &used{Encoder: e}
		u.press(t, text[:len(text)/2], cuts) // and nobody wants the rest
		p.Give(e)
		u = &used{Encoder: p.Take(coding, int(level), len(lead))}
		if u.Encoder != e || p.Used() != 1 {
			t.Fatalf("%d encoders are lent", p.Used())
		}
		u.press(t, text, cuts)
		u.Close()
		u.take(t)
		u.check(t)
		p.Give(u.Encoder)
		took := allocated(func() {
			var p Pool
			e := p.Take(coding, int(level), len(lead))
			for rest := text; len(rest) > 0; rest = rest[min(len(rest), 16384):] {
				e.Write(rest[:min(len(rest), 16384)])
				e.Clear()
			}
			e.Close()
		})
		if took > Cost {
			t.Errorf("%s level %d takes %d bytes, more than %d", coding, level, took, Cost)
		}
	})
}
