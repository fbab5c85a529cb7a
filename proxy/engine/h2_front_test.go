package engine

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/reeve-lb/reeve/proxy"
)

// h2Client speaks HTTP/2 in clear from the first byte.
func h2Client(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// h2Raw is a client that sends the frames it is told to.
type h2Raw struct {
	t   testing.TB
	c   net.Conn
	f   *http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

func (s *site) h2raw(settings ...http2.Setting) *h2Raw {
	s.t.Helper()
	return s.h2says(func(*h2Raw) {}, settings...)
}

// h2says is one whose first words come all at once.
func (s *site) h2says(words func(*h2Raw), settings ...http2.Setting) *h2Raw {
	s.t.Helper()
	var all bytes.Buffer
	all.WriteString(http2.ClientPreface)
	r := &h2Raw{t: s.t, f: http2.NewFramer(&all, nil)}
	r.enc = hpack.NewEncoder(&r.buf)
	r.f.WriteSettings(settings...)
	words(r)
	r.c = s.dial()
	r.c.Write(all.Bytes())
	r.f = http2.NewFramer(r.c, r.c)
	r.f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return r
}

// head sends a request; fields are pairs behind the pseudo-fields of a GET.
func (r *h2Raw) head(id uint32, end bool, fields ...string) {
	r.t.Helper()
	if len(fields) == 0 || fields[0] != ":method" {
		fields = append([]string{":method", "GET", ":scheme", "http", ":authority", "example.org", ":path", "/"}, fields...)
	}
	r.fields(id, end, fields...)
}

// fields sends just these.
func (r *h2Raw) fields(id uint32, end bool, fields ...string) {
	r.t.Helper()
	r.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		r.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := r.f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.buf.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		r.t.Fatal(err)
	}
}

// until reads frames until one is wanted; nil at the end of the connection.
func (r *h2Raw) until(want func(http2.Frame) bool) http2.Frame {
	r.t.Helper()
	for {
		f, err := r.f.ReadFrame()
		if err != nil {
			return nil
		}
		if want(f) {
			return f
		}
	}
}

func ofStream(id uint32) func(http2.Frame) bool {
	return func(f http2.Frame) bool { return f.Header().StreamID == id }
}

func isGoAway(f http2.Frame) bool { return f.Header().Type == http2.FrameGoAway }

// echoing answers a request's body, how long it was in a trailer, and what is seen of it in a field.
func echoing(see func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Seen", see(r))
		w.Write(body)
		w.Header().Set("X-Sum", fmt.Sprint(len(body)))
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "yes")
	}
}

// echoingH2 tells a server's view of a request, and its body back.
func echoingH2(t *testing.T) proxy.Server {
	return handler(t, "a", echoing(func(r *http.Request) string {
		return fmt.Sprintf("%s %s %s%s %v%v%d%v", r.Proto, r.Method, r.Host, r.URL, r.Header["Cookie"], r.Header["X-Forwarded-For"], r.ContentLength, r.Trailer)
	}))
}

// interim answers 103 before the answer, which has the five bytes "hello" except at /204 and /304.
func interim(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Link", "</x>")
	w.WriteHeader(103)
	switch r.URL.Path {
	case "/204":
		w.WriteHeader(204)
	case "/304":
		w.WriteHeader(304)
	default:
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	}
}

// TestH2Curl: curl's HTTP/2 becomes HTTP/1.1 at the server, on a bind that speaks both, and is logged as HTTP/2.0.
func TestH2Curl(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, func(c *proxy.Config) { c.Frontends[0].ForwardFor = &proxy.ForwardFor{} })
	for version, flag := range map[string]string{"2.0": "--http2-prior-knowledge", "1.1": "--http1.1"} {
		out, err := exec.Command("curl", "-sS", "-i", flag, "-d", "some text", "-H", "Cookie: a=1; b=2", "http://"+s.addr+"/path?q").CombinedOutput()
		text := strings.ToLower(string(out))
		want := strings.ToLower("HTTP/1.1 POST " + s.addr + "/path?q [a=1; b=2][127.0.0.1]9map[]")
		if err != nil || !strings.Contains(text, want) || !strings.Contains(text, "\r\n\r\nsome text") {
			t.Errorf("curl %s: %v\n%s\nlacks %s", flag, err, out, want)
		}
		s.want(`"POST /path?q HTTP/`+version+`"`, " fe be/a ", " 200 ")
	}
}

// TestH2Trailers go both ways, with bodies without a length.
func TestH2Trailers(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, nil)
	body := strings.Repeat("0123456789", 30000)
	req, _ := http.NewRequest("POST", "http://"+s.addr+"/", io.MultiReader(strings.NewReader(body)))
	req.Trailer = http.Header{"X-More": {"yes"}}
	resp, err := h2Client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if seen := resp.Header.Get("X-Seen"); !strings.Contains(seen, "-1map[X-More:[yes]]") || resp.Trailer.Get("X-Sum") != "300000" {
		t.Errorf("server saw %q, client the trailers %v", seen, resp.Trailer)
	}
}

// TestH2Bodiless: HEAD, 204 and 304 end with their heads; interim answers go by.
func TestH2Bodiless(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{handler(t, "a", interim)}, nil)
	r := s.h2raw()
	for i, c := range []struct{ method, path, status string }{{"HEAD", "/", "200"}, {"GET", "/204", "204"}, {"GET", "/304", "304"}} {
		id := uint32(2*i + 1)
		r.head(id, true, ":method", c.method, ":scheme", "http", ":authority", "x", ":path", c.path)
		early, _ := r.until(ofStream(id)).(*http2.MetaHeadersFrame)
		if early == nil || early.PseudoValue("status") != "103" || early.StreamEnded() {
			t.Fatalf("%s %s: %v, want 103", c.method, c.path, early)
		}
		final, _ := r.until(ofStream(id)).(*http2.MetaHeadersFrame)
		if final == nil || final.PseudoValue("status") != c.status || !final.StreamEnded() {
			t.Errorf("%s %s: %v, want %s and the end", c.method, c.path, final, c.status)
		}
	}
}

// h2BadHeads are requests that could be smuggled into HTTP/1, by the class of what is wrong.
func h2BadHeads() map[string]map[string][]string {
	get := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/"}, more...)
	}
	return map[string]map[string][]string{
		"injection into HTTP/1": {
			"CR LF in a value":       get("x-a", "1\r\nx-evil: 1"),
			"LF in a value":          get("x-a", "1\nevil"),
			"CR in a value":          get("x-a", "1\revil"),
			"NUL in a value":         get("x-a", "a\x00b"),
			"colon in a name":        get("x-a: 1\r\nb", "c"),
			"upper case in a name":   get("X-A", "b"),
			"blank in a name":        get("x a", "b"),
			"empty name":             get("", "b"),
			"blank before a value":   get("x-a", " b"),
			"blank behind a value":   get("x-a", "b\t"),
			"blank in the path":      {":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/ HTTP/1.1\r\n"},
			"blank in the method":    {":method", "GET /evil", ":scheme", "http", ":authority", "x", ":path", "/"},
			"CR LF in the authority": {":method", "GET", ":scheme", "http", ":authority", "x\r\nevil: 1", ":path", "/"},
		},
		"framing and hops of HTTP/1": {
			"transfer-encoding":      get("transfer-encoding", "chunked"),
			"connection":             get("connection", "close"),
			"keep-alive":             get("keep-alive", "x"),
			"proxy-connection":       get("proxy-connection", "close"),
			"upgrade":                get("upgrade", "h2c"),
			"te of another kind":     get("te", "gzip"),
			"two lengths":            get("content-length", "0", "content-length", "1"),
			"length of no number":    get("content-length", "+0"),
			"length without content": get("content-length", "5"),
		},
		"abuse of pseudo-fields": {
			"host beside authority":     get("host", "y"),
			"two hosts":                 get("host", "x", "host", "x"),
			"pseudo-field behind":       get("x-a", "b", ":path", "/evil"),
			"pseudo-field twice":        get(":path", "/evil"),
			"unknown pseudo-field":      get(":evil", "1"),
			"status in a request":       get(":status", "200"),
			"path without a slash":      {":method", "GET", ":scheme", "http", ":authority", "x", ":path", "evil/"},
			"empty path":                {":method", "GET", ":scheme", "http", ":authority", "x", ":path", ""},
			"user in the authority":     {":method", "GET", ":scheme", "http", ":authority", "a@x", ":path", "/"},
			"scheme of another kind":    {":method", "GET", ":scheme", "http://evil/", ":authority", "x", ":path", "/"},
			"no scheme":                 {":method", "GET", ":authority", "x", ":path", "/"},
			"no authority":              {":method", "GET", ":scheme", "http", ":path", "/"},
			"no method":                 {":scheme", "http", ":authority", "x", ":path", "/"},
			"CONNECT with a path":       {":method", "CONNECT", ":authority", "x:1", ":path", "/"},
			"protocol without CONNECT":  get(":protocol", "websocket"),
			"CONNECT without authority": {":method", "CONNECT"},
		},
	}
}

// TestH2BadHeads: what could be smuggled into HTTP/1 ends its stream, counts as a bad request, and reaches no server. The
// connection goes on.
func TestH2BadHeads(t *testing.T) {
	var asked atomic.Int64
	sv := handler(t, "a", func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	s := start(t, proxy.HTTP, []proxy.Server{sv}, nil)
	r := s.h2raw()
	id, bad := uint32(1), uint64(0)
	for class, cases := range h2BadHeads() {
		if len(cases) < 8 {
			t.Errorf("%d requests of the class %s, want 8", len(cases), class)
		}
		for name, fields := range cases {
			r.fields(id, true, fields...)
			f := r.until(ofStream(id))
			if rst, ok := f.(*http2.RSTStreamFrame); !ok || rst.ErrCode != http2.ErrCodeProtocol {
				t.Errorf("%s: %v, want RST_STREAM PROTOCOL_ERROR", name, f)
			}
			s.want(" 400 ", " PR-- ", `"<BADREQ>"`)
			id += 2
			bad++
		}
	}
	if row, ok := s.e.Stats().Find("fe", "FRONTEND"); !ok || row.EReq != bad {
		t.Errorf("%d bad requests are counted, want %d", row.EReq, bad)
	}
	r.head(id, true)
	if f, ok := r.until(ofStream(id)).(*http2.MetaHeadersFrame); !ok || f.PseudoValue("status") != "200" {
		t.Errorf("a good request afterwards: %v", f)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times, want once", n)
	}
	r.head(id+2, true, "x-long", strings.Repeat("a", 12000), "x-longer", strings.Repeat("a", 12000))
	if f, ok := r.until(ofStream(id + 2)).(*http2.MetaHeadersFrame); !ok || f.PseudoValue("status") != "431" {
		t.Errorf("a head of 24 kB: %v, want 431", f)
	}
}

// TestH2Floods: who only makes work is told to calm down.
func TestH2Floods(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	id := uint32(1)
	for name, flood := range map[string]func(*h2Raw){
		"rapid reset":     func(r *h2Raw) { r.head(id, true); r.f.WriteRSTStream(id, http2.ErrCodeCancel); id += 2 },
		"settings":        func(r *h2Raw) { r.f.WriteSettings() },
		"ping":            func(r *h2Raw) { r.f.WritePing(false, [8]byte{}) },
		"priority":        func(r *h2Raw) { r.f.WritePriority(1, http2.PriorityParam{}) },
		"window":          func(r *h2Raw) { r.f.WriteWindowUpdate(0, 1) },
		"unknown frames":  func(r *h2Raw) { r.f.WriteRawFrame(99, 0, 0, nil) },
		"empty data":      func(r *h2Raw) { r.f.WriteData(1, false, nil) },
		"malformed heads": func(r *h2Raw) { r.head(id, true, "Bad", "name"); id += 2 },
	} {
		t.Run(name, func(t *testing.T) {
			r := s.h2raw()
			r.t = t
			id = 1
			if name == "empty data" {
				r.head(1, false)
			}
			code := make(chan http2.ErrCode, 1)
			go func() {
				if f, ok := r.until(isGoAway).(*http2.GoAwayFrame); ok {
					code <- f.ErrCode
				}
				close(code)
			}()
			for range 100_000 {
				flood(r)
				if len(code) > 0 {
					break
				}
			}
			if c := <-code; c != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %v, want ENHANCE_YOUR_CALM", c)
			}
		})
	}
	t.Run("continuation", func(t *testing.T) {
		r := s.h2raw()
		r.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
		for range 100 {
			r.f.WriteContinuation(1, false, nil)
		}
		if f, ok := r.until(isGoAway).(*http2.GoAwayFrame); !ok || f.ErrCode != http2.ErrCodeEnhanceYourCalm {
			t.Errorf("%v, want ENHANCE_YOUR_CALM", f)
		}
	})
}
