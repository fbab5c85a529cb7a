package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// quicSite is a site that takes HTTP/3 at the port where it takes HTTP/1 in clear.
type quicSite struct {
	*site
	ca   *pki.Authority
	leaf *x509.Certificate
	cfg  proxy.Config
}

func startQUIC(t testing.TB, servers []proxy.Server, change func(*proxy.Config)) *quicSite {
	t.Helper()
	return startQUICOptions(t, Options{Loops: 2}, servers, change)
}

func startQUICOptions(t testing.TB, o Options, servers []proxy.Server, change func(*proxy.Config)) *quicSite {
	t.Helper()
	q := &quicSite{ca: pki.New(t)}
	pair := q.ca.ECDSA("a.example")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	q.leaf = cert.Leaf
	file := q.ca.Write("quic.pem", pair.PEM())
	q.site = startOptions(t, o, proxy.HTTP, servers, func(c *proxy.Config) {
		b := c.Frontends[0].Binds[0]
		b.QUIC, b.TLS = true, &proxy.BindTLS{TLSParams: proxy.TLSParams{ALPN: "h3"}, Crts: []proxy.Crt{{File: file}}}
		c.Frontends[0].Binds = append(c.Frontends[0].Binds, b)
		if change != nil {
			change(c)
		}
		q.cfg = *c
	})
	return q
}

// refuses reports whether a client is told at once that nobody is let in.
func (q *quicSite) refuses() bool {
	q.t.Helper()
	_, err := q.dialQUIC(nil)
	var refused *quic.TransportError
	if errors.As(err, &refused) && refused.Remote && refused.ErrorCode == quic.ConnectionRefused {
		return true
	}
	q.t.Logf("a client that comes gets %v", err)
	return false
}

// dialQUIC opens a connection.
func (q *quicSite) dialQUIC(change func(*tls.Config, *quic.Config)) (*quic.Conn, error) {
	q.t.Helper()
	config, settings := &tls.Config{RootCAs: q.ca.Pool, ServerName: "a.example", NextProtos: []string{http3.NextProtoH3}}, &quic.Config{}
	if change != nil {
		change(config, settings)
	}
	ctx, cancel := context.WithTimeout(q.t.Context(), 5*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, q.addr, config, settings)
	if err == nil {
		q.t.Cleanup(func() { c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") })
	}
	return c, err
}

// h3Client is a connection's client; change may be nil.
func (q *quicSite) h3Client(change func(*tls.Config, *quic.Config)) (*http3.ClientConn, *quic.Conn) {
	q.t.Helper()
	c, err := q.dialQUIC(change)
	if err != nil {
		q.t.Fatal(err)
	}
	return (&http3.Transport{DisableCompression: true}).NewClientConn(c), c
}

func (q *quicSite) request(method, path string, body io.Reader) *http.Request {
	q.t.Helper()
	req, err := http.NewRequest(method, "https://a.example"+path, body)
	if err != nil {
		q.t.Fatal(err)
	}
	return req
}

// do asks and reads the whole answer.
func (q *quicSite) do(c *http3.ClientConn, req *http.Request) (*http.Response, string) {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(q.t.Context(), 10*time.Second)
	defer cancel()
	resp, err := c.RoundTrip(req.WithContext(ctx))
	if err != nil {
		q.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		q.t.Fatalf("%s %s: %v after %d bytes", req.Method, req.URL.Path, err, len(b))
	}
	return resp, string(b)
}

// TestQUIC: rules, logs, headers and counters know the client over QUIC as they know one over TLS; the server is asked as
// by any other client, and an answer may advertise the protocol.
func TestQUIC(t *testing.T) {
	seen := make(chan *http.Request, 2)
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen <- r
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		io.WriteString(w, "hello")
	})}, func(c *proxy.Config) {
		f := &c.Frontends[0]
		f.ForwardFor = &proxy.ForwardFor{}
		f.TCPRequest = rulesOf("connection reject unless { src 127.0.0.1 }", "session set-var(sess.name) ssl_fc_sni")
		f.HTTPRequest = rulesOf("deny unless { ssl_fc }", "deny unless { req.ver 3.0 }", "set-header x-seen %[src]/%[dst]/%[dst_port]/%[var(sess.name)]/%[ssl_fc_sni]")
		f.HTTPAfterResponse = rulesOf(`set-header alt-svc h3=":443";~ma=900`)
	})
	client, conn := s.h3Client(nil)
	_, port, _ := net.SplitHostPort(s.addr)
	for _, c := range []struct{ method, body string }{{"GET", ""}, {"POST", "some text"}} {
		req := s.request(c.method, "/path?q", strings.NewReader(c.body))
		if c.body == "" {
			req.Body = nil
		}
		req.Header.Set("Cookie", "a=1; b=2")
		resp, body := s.do(client, req)
		if resp.Proto != "HTTP/3.0" || resp.StatusCode != 200 || body != "hello" || resp.Header.Get("alt-svc") != `h3=":443"; ma=900` || resp.ContentLength != 5 {
			t.Errorf("%s: %v %q", c.method, resp, body)
		}
		if len(resp.Header["Date"])+len(resp.Header["Content-Type"]) > 0 {
			t.Errorf("%s: fields that the server did not send: %v", c.method, resp.Header)
		}
		r := <-seen
		if r.Method != c.method || r.Proto != "HTTP/1.1" || r.Host != "a.example" || r.RequestURI != "/path?q" || r.ContentLength != int64(len(c.body)) ||
			len(r.TransferEncoding) > 0 || r.Header.Get("Cookie") != "a=1; b=2" || r.Header.Get("X-Forwarded-For") != "127.0.0.1" ||
			r.Header.Get("X-Seen") != "127.0.0.1/127.0.0.1/"+port+"/a.example/a.example" {
			t.Errorf("the server saw %+v", r)
		}
		line := s.want(" fe~ be/a ", " 200 ", ` "`+c.method+` /path?q HTTP/3.0"`)
		if from := conn.LocalAddr().(*net.UDPAddr).Port; !strings.HasPrefix(line, fmt.Sprintf("127.0.0.1:%d ", from)) {
			t.Errorf("logged as %q, the client's port is %d", line, from)
		}
	}
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.ConnTot != 1 || row.ReqTot != 2 || row.SSLSess != 1 || row.SCur != 1 || row.Hrsp2xx != 2 || row.SSLFailedHandshake != 0 {
		t.Errorf("%+v", row)
	}
}

// TestQUICBodies: large ones both ways, with and without a length, many at a time on one connection.
func TestQUICBodies(t *testing.T) {
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	client, _ := s.h3Client(nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i)}, 3<<20)
			req := s.request("POST", "/", bytes.NewReader(body))
			if i%2 == 1 {
				req.ContentLength = -1
			}
			resp, err := client.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) || resp.ContentLength != req.ContentLength {
				t.Errorf("%d of %d bytes, length %d, %v", len(got), len(body), resp.ContentLength, err)
			}
		})
	}
	wg.Wait()
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.ConnTot != 1 || row.ReqTot != 8 || row.BIn < 8*3<<20 || row.BOut < 8*3<<20 {
		t.Errorf("%+v", row)
	}
}

// TestQUICHeads: HEAD, 204 and 304 have no content, an interim answer goes by, a request that tells only by its end that it
// has no content is none with content for the server; one that has some though nobody would expect it is.
func TestQUICHeads(t *testing.T) {
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprint(r.ContentLength, r.TransferEncoding, string(b)))
		interim(w, r)
	})}, nil)
	client, _ := s.h3Client(nil)
	for _, c := range []struct {
		method, path, content, body, seen string
		status                            int
		length                            int64
	}{
		{"HEAD", "/", "", "", "0 []", 200, 5},
		{"GET", "/", "", "hello", "0 []", 200, 5},
		{"GET", "/204", "", "", "0 []", 204, 0},
		{"GET", "/304", "", "", "0 []", 304, -1},
		{"DELETE", "/", "abc", "hello", "-1 [chunked]abc", 200, 5},
		{"POST", "/", "abc", "hello", "-1 [chunked]abc", 200, 5},
	} {
		var early []string
		req := s.request(c.method, c.path, nil)
		if c.content != "" {
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader(c.content)), -1
		}
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			early = append(early, fmt.Sprint(code, h.Get("Link")))
			return nil
		}}))
		resp, err := client.RoundTrip(req)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != c.status || string(b) != c.body || resp.ContentLength != c.length || resp.Header.Get("X-Seen") != c.seen {
			t.Errorf("%+v: %v %q %v", c, resp, b, err)
		}
		if fmt.Sprint(early) != "[103</x>]" {
			t.Errorf("%+v: interim answers %v", c, early)
		}
		s.want(fmt.Sprintf(` %d `, c.status), ` ---- `, `"`+c.method+" "+c.path+` HTTP/3.0"`)
	}
}

// TestQUICTrailers go both ways, announced ones and others.
func TestQUICTrailers(t *testing.T) {
	s := startQUIC(t, []proxy.Server{handler(t, "a", echoing(func(r *http.Request) string { return fmt.Sprint(r.Trailer) }))}, nil)
	client, _ := s.h3Client(nil)
	req := s.request("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 100000))))
	req.Trailer = http.Header{"X-More": {"yes"}}
	resp, body := s.do(client, req)
	if resp.Header.Get("X-Seen") != "map[X-More:[yes]]" || len(body) != 100000 {
		t.Errorf("the server saw %q, the client %d bytes", resp.Header.Get("X-Seen"), len(body))
	}
	if resp.Trailer.Get("X-Sum") != "100000" || resp.Trailer.Get("X-Unannounced") != "yes" {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

// upgradedEcho is a server that consents to a WebSocket and says back what it hears.
func upgradedEcho(t *testing.T) proxy.Server {
	return rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		head, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+acceptOf(head.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
		io.Copy(c, r)
		io.WriteString(c, "bye")
	})
}

// TestQUICWebSocket: an extended CONNECT (RFC 9220) is an upgrade at the server.
func TestQUICWebSocket(t *testing.T) {
	s := startQUIC(t, []proxy.Server{upgradedEcho(t)}, nil)
	client, _ := s.h3Client(nil)
	stream, err := client.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req := s.request("CONNECT", "/chat", nil)
	req.Proto = "websocket"
	req.Header.Set("Sec-WebSocket-Version", "13")
	if err := stream.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.ReadResponse()
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	stream.SetDeadline(time.Now().Add(5 * time.Second))
	for _, text := range []string{"ping", "pong"} {
		if _, err := io.WriteString(stream, text); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if _, err := io.ReadFull(stream, b); err != nil || string(b) != text {
			t.Fatalf("%q %v, want %q", b, err, text)
		}
	}
	stream.Close()
	if b, err := io.ReadAll(stream); err != nil || string(b) != "bye" {
		t.Errorf("%q %v after the end of our side", b, err)
	}
	s.want(` 101 `, `"GET /chat HTTP/3.0"`)
}

// TestQUICBigHeads: a head that is too long is refused, by a page that is logged as long as it is one that could be read.
func TestQUICBigHeads(t *testing.T) {
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, nil)
	client, _ := s.h3Client(nil)
	for _, size := range []int{24 << 10, 80 << 10} {
		req := s.request("GET", "/", nil)
		for i := range size >> 10 {
			req.Header.Set(fmt.Sprint("x-long-", i), strings.Repeat("a", 1000))
		}
		if resp, _ := s.do(client, req); resp.StatusCode != 431 {
			t.Errorf("a head of %d bytes: %d", size, resp.StatusCode)
		}
		if size < 64<<10 {
			s.want(" 431 ", " PR-- ")
		}
	}
	if _, body := s.do(client, s.request("GET", "/", nil)); body != "a" {
		t.Error("the connection does not go on")
	}
}

// TestQUICWildcard: on an address that stands for many a client is answered from the one that it asked, and rules know it.
func TestQUICWildcard(t *testing.T) {
	for _, c := range []struct{ listen, ask, dst string }{
		{"0.0.0.0", "127.0.0.5", "127.0.0.5"},
		{"::", "::1", "::1"},
		{"::", "127.0.0.6", "127.0.0.6"},
	} {
		s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.Header.Get("X-Dst"))
		})}, func(cfg *proxy.Config) {
			b := &cfg.Frontends[0].Binds[1]
			b.Addr, b.V4V6 = netip.AddrPortFrom(netip.MustParseAddr(c.listen), b.Addr.Port()), true
			cfg.Frontends[0].HTTPRequest = rulesOf("set-header x-dst %[dst]")
		})
		_, port, _ := net.SplitHostPort(s.addr)
		s.addr = net.JoinHostPort(c.ask, port)
		client, conn := s.h3Client(nil)
		if _, body := s.do(client, s.request("GET", "/", nil)); body != c.dst {
			t.Errorf("%s: %s was asked, rules see %s", c.listen, c.ask, body)
		}
		line := s.want(" 200 ")
		if from := netip.MustParseAddrPort(conn.LocalAddr().String()).Port(); !strings.Contains(line, fmt.Sprintf(":%d [", from)) {
			t.Errorf("logged as %q, the client's port is %d", line, from)
		}
	}
}
