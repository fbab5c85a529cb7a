package rule

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// clientHello is what crypto/tls says first.
func clientHello(t testing.TB, name string) []byte {
	t.Helper()
	client, record := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(client, &tls.Config{ServerName: name}).Handshake()
	}()
	b := make([]byte, 8192)
	n, err := record.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	record.Close()
	<-done
	return b[:n]
}

// inRecords cuts a handshake message into records of n bytes.
func inRecords(hello []byte, n int) []byte {
	var out []byte
	for msg := hello[5:]; len(msg) > 0; msg = msg[min(n, len(msg)):] {
		part := msg[:min(n, len(msg))]
		out = append(append(out, 22, 3, 1, byte(len(part)>>8), byte(len(part))), part...)
	}
	return out
}

// TestHello: the name in a ClientHello is found when all of it is here, however it was cut, and not before.
func TestHello(t *testing.T) {
	whole := clientHello(t, "a.example")
	join := make([]byte, 0, maxHello)
	for _, stream := range [][]byte{whole, inRecords(whole, 100), inRecords(whole, 1), append(bytes.Clone(whole), "more"...)} {
		h, ok, done := ParseHello(stream, join)
		if !ok || !done || string(h.SNI) != "a.example" || h.Type != 1 || h.Version != 0x304 {
			t.Errorf("%q %x %v %v of %d bytes", h.SNI, h.Version, ok, done, len(stream))
		}
	}
	for n := range whole {
		if _, ok, done := ParseHello(whole[:n], join); !ok || done {
			t.Fatalf("%d of %d bytes: %v %v", n, len(whole), ok, done)
		}
	}
	for _, bad := range []string{"GET / HTTP/1.1\r\n", "\x16\x02\x01\x00\x05hello", "\x16\x03\x01\x00\x00", "\x16\x03\x01\xff\xff", "\x80\x2e\x01"} {
		if _, ok, done := ParseHello([]byte(bad), join); ok || !done {
			t.Errorf("%q is taken for TLS", bad)
		}
	}
}

// FuzzHello: no bytes make the parser fail, and more bytes never change what it has said.
func FuzzHello(f *testing.F) {
	f.Add(clientHello(f, "a.example"))
	f.Add(inRecords(clientHello(f, "b.example"), 7))
	f.Add([]byte("\x16\x03\x01\x00\x04\x02\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		join, join2 := make([]byte, 0, maxHello), make([]byte, 0, maxHello)
		h, ok, done := ParseHello(b, join)
		if !done {
			return
		}
		h2, ok2, done2 := ParseHello(append(bytes.Clone(b), 22, 3, 1, 0, 1, 0), join2)
		if !done2 || ok != ok2 || h.Type != h2.Type || ok && !bytes.Equal(h.SNI, h2.SNI) {
			t.Fatalf("%v %v, then %v %v %v", h, ok, h2, ok2, done2)
		}
	})
}

// FuzzExpression: no text makes the compilers fail, and what they take runs, in bounds, on a request.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{"path,field(2,/)", "hdr(x-list,-2),lower", `str("a,b)"),regsub("(a|b)",\1,g)`, "url_param(id),add(1),mul(9)", "src,ipmask(24)",
		"%[hdr(host)]:%[dst_port] %ci %{+Q}HQ %%", "%[req.payload(0,9)],%[var(txn.a,b)]", "str(%41+%),url_dec(1),hex,base64"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := New(Options{})
		e, err := p.expression(s)
		fm, err2 := p.format(s)
		c := asking(t, aRequest)
		c.room(p)
		if err == nil && e.needs&atResponse == 0 {
			fr := c.push()
			e.eval(c, &fr.v)
			c.pop()
		}
		if err2 == nil && fm.needs&atResponse == 0 {
			fm.text(c)
		}
		if c.depth != 0 || c.used > len(c.scratch) {
			t.Fatalf("%q leaves %d frames, %d bytes", s, c.depth, c.used)
		}
		p.Proxy(Side{Name: "fe", Mode: proxy.HTTP}, &proxy.Rules{HTTPRequest: []proxy.Rule{{Words: proxy.Words(s)}}})
	})
}
