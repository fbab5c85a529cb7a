package http3

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
)

// fuzzed is what the targets have in common: a Listener whose loop is the test's, and one connection as long as it lives.
type fuzzed struct {
	*lone
	conn *quic.Conn
}

// ask sends bytes as one stream and returns what the client was answered and what the loop heard meanwhile.
func (z *fuzzed) ask(t *testing.T, wire []byte) (*told, []heard) {
	t.Helper()
	if z.conn == nil || z.conn.Context().Err() != nil {
		var err error
		if z.conn, err = z.dial(); err != nil {
			t.Fatal(err)
		}
	}
	for len(z.heard) > 0 {
		<-z.heard
	}
	a := ask3(z.conn, wire)
	var all []heard
	for len(z.heard) > 0 {
		all = append(all, <-z.heard)
	}
	return a, all
}

// serves: whatever came before, a good request is answered.
func (z *fuzzed) serves(t *testing.T) {
	t.Helper()
	var a *told
	for range 2 {
		if a, _ = z.ask(t, headersOf(plain)); a.err == nil && a.status() == "200" {
			return
		}
		z.conn = nil // it was closed because of what came before, and may not know yet
	}
	t.Fatalf("a good request is not answered any more: %+v", a)
}

// wellHeard holds what reached the loop to the letter of the protocol, and to what its own head says.
func wellHeard(t *testing.T, h *heard) (pseudo map[string]string, fields fieldsByName) {
	t.Helper()
	if h.broken != nil {
		t.Fatalf("another reader minds: %v", h.broken)
	}
	pseudo, fields, wrong := strictRequest(likewise(h.fields))
	if wrong != "" {
		t.Fatalf("the loop gets %q: %s", h.fields, wrong)
	}
	size := 0
	for _, f := range h.fields {
		size += len(f.Name) + len(f.Value) + 32
	}
	if size > MaxHead+1024 { // with what we add
		t.Fatalf("a head of %d bytes", size)
	}
	if l := fields["content-length"]; h.whole && len(l) > 0 {
		if n, err := strconv.Atoi(l[0]); err != nil || n != len(h.body) {
			t.Fatalf("%d bytes of content, said were %q", len(h.body), l)
		}
	}
	if _, wrong := strictTrailers(likewise(h.trailers)); wrong != "" {
		t.Fatalf("the loop gets trailers %q: %s", h.trailers, wrong)
	}
	return pseudo, fields
}

// values are those of a field.
func (h *heard) values(name string) (out []string) {
	for _, f := range h.fields {
		if f.Name == name {
			out = append(out, f.Value)
		}
	}
	return out
}

// inFrames cuts content into DATA frames.
func inFrames(body []byte, cut int) (wire []byte) {
	for n := max(cut, len(body)/64, 1); len(body) > 0; {
		k := min(n, len(body))
		wire = append(wire, frameOf(frameData, body[:k])...)
		body = body[k:]
	}
	return wire
}

// FuzzRequest: of the requests that a client may make by any fields, content and trailers those that reach the loop are well
// formed, and say what the client has said.
func FuzzRequest(f *testing.F) {
	get := ":method=GET\n:scheme=https\n:authority=a.example\n:path=/"
	post := ":method=POST\n:scheme=https\n:authority=a.example\n:path=/a?b"
	for _, s := range []struct{ head, body, trailers string }{
		{get, "", ""}, {get + "\ncookie=a\ncookie=b\nx-a=1\nx-a=2\nte=trailers", "", ""}, {post, "hello", ""}, {post + "\ncontent-length=5", "hello", "x-sum=1\nx-sum=2"},
		{post + "\ncontent-length=4", "hello", ""}, {post + "\ncontent-length=6", "hello", ""}, {post + "\ncontent-length=5\ncontent-length=5", "hello", ""},
		{post + "\ncontent-length=5\ncontent-length=6", "hello", ""}, {post + "\ncontent-length=0", "hello", "x=y"}, {post, "hello", ":path=/"}, {post, "hello", "content-length=9"},
		{get + "\nX-Upper=1", "", ""}, {get + "\nconnection=close", "", ""}, {get + "\nx=a\r\nx: b", "", ""}, {get + "\n:path=/b", "", ""}, {"x=y\n" + get, "", ""},
		{get + "\nhost=b.example", "", ""}, {":method=GET\n:scheme=https\n:path=/\nhost=a.example", "", ""}, {get + "\ntrailer=X-Sum, x-more", "", "x-sum=1"},
		{":method=CONNECT\n:authority=a.example:1", "tunnel", ""}, {":method=CONNECT\n:protocol=websocket\n:scheme=https\n:authority=a.example\n:path=/\xc3\xbc?", "frames", ""},
		{":method=OPTIONS\n:scheme=https\n:authority=a.example\n:path=*", "", ""}, {":method=GET /\n:scheme=https\n:authority=a.example\n:path=/", "", ""},
		{":method=GET\n:scheme=https\n:authority=u@a.example\n:path=http://b.example/", "", ""}, {get + "\ntransfer-encoding=chunked", "0\r\n\r\n", ""},
	} {
		f.Add(s.head, []byte(s.body), s.trailers, uint16(3))
	}
	z := &fuzzed{lone: startLone(f)}
	number := 0
	f.Fuzz(func(t *testing.T, head string, body []byte, trailers string, cut uint16) {
		if len(head)+len(body)+len(trailers) > 30000 {
			return
		}
		number++
		mark := qpack.HeaderField{Name: "x-mark", Value: strconv.Itoa(number)} // news of former resets may come late
		sent, behind := append(parsed(head), mark), parsed(trailers)
		wire := append(headersOf(sent), inFrames(body, int(cut))...)
		if len(behind) > 0 {
			wire = append(wire, headersOf(behind)...)
		}
		a, all := z.ask(t, wire)
		if len(all) == 0 && a.status() != "431" {
			z.serves(t)
			return
		}
		for i := range all {
			if marks := all[i].values(mark.Name); len(marks) > 0 && marks[len(marks)-1] != mark.Value {
				continue
			}
			sameRequest(t, &all[i], sent, behind, body)
			if all[i].whole && (a.err != nil || a.status() != "200") {
				t.Fatalf("%q was heard and is answered by %+v", head, a)
			}
		}
	})
}

// sameRequest: what the loop got is what was sent.
func sameRequest(t *testing.T, h *heard, sent, behind []qpack.HeaderField, body []byte) {
	t.Helper()
	wantPseudo, wantFields, wrong := strictRequest(sent)
	if wrong != "" {
		t.Fatalf("the loop gets %q of %q: %s", h.fields, sent, wrong)
	}
	pseudo, fields := wellHeard(t, h)
	if _, there := wantPseudo[":authority"]; !there {
		wantPseudo[":authority"] = wantFields["host"][0]
	}
	if _, there := wantPseudo[":scheme"]; there || wantPseudo[":path"] != "" {
		wantPseudo[":scheme"] = "https" // whatever the client calls it
	}
	if !maps.Equal(pseudo, wantPseudo) || !maps.EqualFunc(fields.asSent(), wantFields.asSent(), slices.Equal[[]string]) {
		t.Fatalf("the loop gets %q %q, sent was %q %q", pseudo, fields, wantPseudo, wantFields)
	}
	if !h.whole || len(wantFields["content-length"]) > 0 && len(h.body) == 0 { // nobody looks at what follows a length of 0
		return
	}
	wantTrailers, wrong := strictTrailers(behind)
	got, _ := strictTrailers(likewise(h.trailers))
	if wrong != "" || !bytes.Equal(h.body, body) || !maps.EqualFunc(got, wantTrailers, slices.Equal[[]string]) {
		t.Fatalf("the loop gets %d bytes and %q, sent were %d and %q: %s", len(h.body), got, len(body), behind, wrong)
	}
}

// FuzzStream: whatever bytes are a stream, what reaches the loop is a well-formed request, and the next one is answered.
func FuzzStream(f *testing.F) {
	good := headersOf(plain)
	post := headersOf(append(slices.Clone(plain[1:]), qpack.HeaderField{Name: ":method", Value: "POST"}, qpack.HeaderField{Name: "content-length", Value: "3"}))
	for _, b := range [][]byte{nil, good, append(slices.Clone(post), frameOf(frameData, []byte("abc"))...), append(slices.Clone(post), frameOf(frameData, []byte("abcd"))...),
		append(slices.Clone(good), good...), append(frameOf(0x21, []byte("grease")), good...), frameOf(frameData, []byte("x")), frameOf(4, nil), good[:len(good)-3],
		frameOf(frameHeaders, []byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f}), frameOf(frameHeaders, []byte{2, 0, 0x80}), frameOf(frameHeaders, nil), {0x40}, {1, 0xc0, 0, 0, 1, 0, 0, 0, 0},
		append(slices.Clone(good), 0, 0x80, 0xff, 0xff, 0xff, 'a')} {
		f.Add(b)
	}
	z := &fuzzed{lone: startLone(f)}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 60000 {
			return
		}
		_, all := z.ask(t, b)
		for i := range all {
			wellHeard(t, &all[i])
		}
		z.serves(t)
	})
}

// endings are ways in which the loop ends an answer, and the codes that the client is to see.
var endings = [...]struct {
	code http2.ErrCode
	want h3.ErrCode
}{
	{0, 0}, // well
	{http2.ErrCodeInternal, h3.ErrCodeRequestCanceled},
	{http2.ErrCodeCancel, h3.ErrCodeRequestCanceled},
	{http2.ErrCodeRefusedStream, h3.ErrCodeRequestRejected},
	{http2.ErrCodeProtocol, h3.ErrCodeMessageError},
	{http2.ErrCodeEnhanceYourCalm, h3.ErrCodeExcessiveLoad},
	{http2.ErrCodeNo, h3.ErrCodeRequestCanceled},
}

// FuzzAnswer: what the loop answers is what the client gets, head by head and byte by byte, and a reset where it is none.
func FuzzAnswer(f *testing.F) {
	for ending := range byte(len(endings)) {
		f.Add(uint16(200), byte(0), "x-a=1\nx-b=2\nx-a=3", []byte("hello"), "", ending, uint16(2))
		f.Add(uint16(404), byte(3), "", []byte{}, "x-sum=1", ending, uint16(2))
	}
	f.Add(uint16(200), byte(70), "date=now\ncontent-type=x\ntrailer=x-a\nx-a=1", bytes.Repeat([]byte("a"), 50000), "x-a=2\ncontent-length=3", byte(0), uint16(60000))
	f.Add(uint16(304), byte(1), "content-length=x", []byte{}, "", byte(0), uint16(0))
	f.Add(uint16(200), byte(0), "X-Upper=1", []byte("x"), "", byte(0), uint16(1))
	f.Add(uint16(200), byte(0), "x=a\r\nb", []byte("x"), ":status=3", byte(0), uint16(1))
	z := &fuzzed{lone: startLone(f)}
	f.Fuzz(func(t *testing.T, status uint16, interim byte, head string, body []byte, trailers string, ending byte, cut uint16) {
		if len(head) > 10000 || len(trailers) > 10000 || len(body) > answerWindow-1 {
			return
		}
		status, ending = 200+status%400, ending%byte(len(endings))
		fields, behind := parsed(head), parsed(trailers)
		whole := endings[ending].code == 0 && ending == 0
		z.answers(func(f *http2.Framer, id uint32) {
			for range interim % (maxHeads / 2) {
				writeAnswer(f, id, 103, []qpack.HeaderField{{Name: "link", Value: "</x>"}}, false)
			}
			writeAnswer(f, id, int(status), fields, false)
			for rest, n := body, max(int(cut), len(body)/64, 1); len(rest) > 0; {
				k := min(n, len(rest), 16384)
				f.WriteData(id, false, rest[:k])
				rest = rest[k:]
			}
			switch {
			case !whole:
				f.WriteRSTStream(id, endings[ending].code)
			case len(behind) > 0:
				writeAnswer(f, id, 0, behind, true)
			default:
				f.WriteData(id, true, nil)
			}
		})
		a, _ := z.ask(t, headersOf(plain))
		sameAnswer(t, a, answered{int(status), int(interim % (maxHeads / 2)), fields, behind, body, whole, endings[ending].want})
	})
}

// answered is what the loop has said.
type answered struct {
	status, interim int
	fields, behind  []qpack.HeaderField
	body            []byte
	whole           bool
	code            h3.ErrCode // where it is not
}

// carried reports whether a block can be one of an answer: names and values are sound, there is no second status.
func carried(block []qpack.HeaderField) bool {
	return !slices.ContainsFunc(block, func(f qpack.HeaderField) bool { return !goodName(f.Name) || !goodValue(f.Value) })
}

func sameAnswer(t *testing.T, a *told, want answered) {
	t.Helper()
	good := carried(want.fields) && carried(want.behind)
	if !good {
		if want.whole {
			want.code = h3.ErrCodeInternalError // our own fault
		}
		if a.err == nil {
			t.Fatalf("%q, %q end well", want.fields, want.behind)
		}
		if code := a.code(); code != want.code && code != h3.ErrCodeInternalError {
			t.Fatalf("%q, %q are reset with %s: %v", want.fields, want.behind, code, a.err)
		}
		return
	}
	if !want.whole {
		if a.code() != want.code || !bytes.HasPrefix(want.body, a.body) {
			t.Fatalf("the end is %v after %d of %d bytes, want %s", a.err, len(a.body), len(want.body), want.code)
		}
		return
	}
	trailers := slices.DeleteFunc(slices.Clone(want.behind), func(f qpack.HeaderField) bool { return !httpguts.ValidTrailerHeader(f.Name) })
	heads := want.interim + 1
	if len(trailers) > 0 {
		heads++
	}
	if a.err != nil || len(a.heads) != heads || !bytes.Equal(a.body, want.body) {
		t.Fatalf("%d heads, want %d, %d bytes, want %d: %v", len(a.heads), heads, len(a.body), len(want.body), a.err)
	}
	final := a.heads[want.interim]
	if final[0].Value != strconv.Itoa(want.status) || !slices.Equal(final[1:], want.fields) {
		t.Fatalf("the head is %q, want %d %q", final, want.status, want.fields)
	}
	if len(trailers) > 0 && !slices.Equal(a.heads[heads-1], trailers) {
		t.Fatalf("the trailers are %q, want %q", a.heads[heads-1], trailers)
	}
}
