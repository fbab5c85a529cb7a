package tlsconf

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// shake lets a client meet a bind over a pipe; it returns what the client saw.
func shake(t *testing.T, b *Bind, ca *pki.Authority, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	if client.RootCAs == nil {
		client.RootCAs = ca.Pool
	}
	near, far := net.Pipe()
	near.SetDeadline(time.Now().Add(5 * time.Second))
	far.SetDeadline(time.Now().Add(5 * time.Second))
	served := make(chan error, 1)
	server := tls.Server(far, b.Config())
	go func() {
		err := server.Handshake()
		if err == nil {
			server.Write([]byte("x"))
		}
		far.Close()
		served <- err
	}()
	c := tls.Client(near, client)
	err := c.Handshake()
	if err == nil { // with TLSv1.3 the server's word on the client's certificate comes later, as do tickets
		_, err = c.Read(make([]byte, 1))
	}
	near.Close()
	if serr := <-served; err == nil {
		err = serr
	}
	return c.ConnectionState(), err
}

func bind(t *testing.T, s *Store, src *proxy.BindTLS) *Bind {
	t.Helper()
	b, ps := s.NewBind(src, &proxy.Global{})
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	return b
}

func crts(files ...string) []proxy.Crt {
	var out []proxy.Crt
	for _, f := range files {
		out = append(out, proxy.Crt{File: f})
	}
	return out
}

func TestChoiceByName(t *testing.T) {
	ca := pki.New(t)
	a, b, w := ca.ECDSA("a.example"), ca.ECDSA("b.example", "c.example"), ca.ECDSA("*.wild.example")
	files := crts(ca.Write("a.pem", a.PEM()), ca.Write("b.pem", b.PEM()), ca.Write("w.pem", w.PEM()))
	for _, strict := range []bool{false, true} {
		bound := bind(t, NewStore(), &proxy.BindTLS{Crts: files, StrictSNI: strict})
		for _, c := range []struct {
			name string
			want *pki.Pair // nil: the default
		}{{"a.example", &a}, {"b.example", &b}, {"C.Example", &b}, {"x.wild.example", &w}, {"x.y.wild.example", nil}, {"wild.example", nil},
			{"z.example", nil}, {"", nil}} {
			state, err := shake(t, bound, ca, &tls.Config{ServerName: c.name, InsecureSkipVerify: true})
			want := c.want
			if want == nil && !strict {
				want = &a
			}
			switch {
			case want == nil:
				if alert := tls.AlertError(0); !errors.As(err, &alert) && (err == nil || !strings.Contains(err.Error(), "unrecognized name")) {
					t.Errorf("strict %q: %v, want unrecognized name", c.name, err)
				}
			case err != nil:
				t.Errorf("%q: %v", c.name, err)
			case !state.PeerCertificates[0].Equal(want.Leaf):
				t.Errorf("%q: shown the certificate of %v", c.name, state.PeerCertificates[0].DNSNames)
			}
		}
	}
}

// TestKeyTypes: clients that know elliptic curves are shown one, the others RSA.
func TestKeyTypes(t *testing.T) {
	ca := pki.New(t)
	rsa, ec := ca.RSA("a.example"), ca.ECDSA("a.example")
	ca.Write("two.pem.rsa", rsa.PEM())
	ca.Write("two.pem.ecdsa", ec.PEM())
	rsaOnly := &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	for name, files := range map[string][]proxy.Crt{
		"two files": crts(ca.Write("1-rsa.pem", rsa.PEM()), ca.Write("2-ec.pem", ec.PEM())),
		"bundle":    crts(filepath.Join(ca.Dir(), "two.pem")),
	} {
		b := bind(t, NewStore(), &proxy.BindTLS{Crts: files})
		for _, c := range []struct {
			config *tls.Config
			want   pki.Pair
		}{{&tls.Config{ServerName: "a.example"}, ec}, {rsaOnly.Clone(), rsa}, {&tls.Config{InsecureSkipVerify: true}, ec}} {
			state, err := shake(t, b, ca, c.config)
			if err != nil || !state.PeerCertificates[0].Equal(c.want.Leaf) {
				t.Errorf("%s: %v, %v", name, state.PeerCertificates, err)
			}
		}
		if n := b.Notices(); len(n) > 0 {
			t.Errorf("%s: %v", name, n)
		}
	}
	b := bind(t, NewStore(), &proxy.BindTLS{Crts: crts(ca.Write("1-rsa.pem", rsa.PEM()))})
	if n := b.Notices(); len(n) != 1 || !strings.Contains(n[0].Error(), "1-rsa.pem has an RSA key alone") {
		t.Errorf("notices of RSA alone: %v", n)
	}
}

func TestDirectory(t *testing.T) {
	ca := pki.New(t)
	a, b := ca.ECDSA("a.example"), ca.ECDSA("b.example")
	ca.Write("d/1.pem", a.Cert) // its key beside it
	ca.Write("d/1.pem.key", a.Key)
	ca.Write("d/2.pem", b.PEM())
	ca.Write("d/2.pem.issuer", ca.CertPEM())
	ca.Write("d/.hidden", []byte("no certificate"))
	ca.Write("d/sub/3.pem", []byte("not looked at"))
	bound := bind(t, NewStore(), &proxy.BindTLS{Crts: crts(filepath.Join(ca.Dir(), "d"))})
	var files []string
	for _, c := range bound.Certificates() {
		files = append(files, filepath.Base(c.File))
	}
	if !slices.Equal(files, []string{"1.pem", "2.pem"}) {
		t.Errorf("%v", files)
	}
}

func TestCrtList(t *testing.T) {
	ca := pki.New(t)
	a, b, c := ca.ECDSA("a.example"), ca.ECDSA("b.example"), ca.ECDSA("c.example")
	ca.Write("a.pem", a.PEM())
	ca.Write("b.pem", b.PEM())
	ca.Write("c.pem", c.PEM())
	list := ca.Write("list", []byte("# comment\n\na.pem\nb.pem [alpn h2 ssl-max-ver TLSv1.2] *.b.example !secret.b.example Other.example\n"+
		"c.pem [verify required ca-file "+ca.File+"] secret.b.example\n"))
	bound, ps := NewStore().NewBind(&proxy.BindTLS{TLSParams: proxy.TLSParams{ALPN: "http/1.1"}, Crts: []proxy.Crt{{File: list, List: true}}},
		&proxy.Global{CrtBase: ca.Dir()})
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	mine := ca.ECDSA("client")
	pair, err := tls.X509KeyPair(mine.Cert, mine.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name    string
		own     bool
		leaf    pki.Pair
		alpn    string
		version uint16
		bad     bool
	}{
		{name: "a.example", leaf: a, alpn: "http/1.1", version: tls.VersionTLS13},
		{name: "x.b.example", leaf: b, alpn: "h2", version: tls.VersionTLS12},
		{name: "other.example", leaf: b, alpn: "h2", version: tls.VersionTLS12},
		{name: "b.example", leaf: a, alpn: "http/1.1", version: tls.VersionTLS13}, // the list's names take the place of its own
		{name: "secret.b.example", bad: true},
		{name: "secret.b.example", own: true, leaf: c, alpn: "http/1.1", version: tls.VersionTLS13},
	} {
		config := &tls.Config{ServerName: x.name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
		if x.own {
			config.Certificates = []tls.Certificate{pair}
		}
		state, err := shake(t, bound, ca, config)
		switch {
		case x.bad && err == nil:
			t.Errorf("%s: let in without a certificate", x.name)
		case x.bad:
		case err != nil:
			t.Errorf("%s: %v", x.name, err)
		case !state.PeerCertificates[0].Equal(x.leaf.Leaf), state.NegotiatedProtocol != x.alpn, state.Version != x.version:
			t.Errorf("%s: %v %q %x", x.name, state.PeerCertificates[0].DNSNames, state.NegotiatedProtocol, state.Version)
		}
	}
}

// TestMistakes: each names the file and what is wrong with it; of a crt-list the line too.
func TestMistakes(t *testing.T) {
	ca := pki.New(t)
	a, b := ca.ECDSA("a.example"), ca.ECDSA("b.example")
	good := ca.Write("good.pem", a.PEM())
	keys := ca.Write("keys", []byte("aaaa\n"))
	lists := 0
	line := func(text string) *proxy.BindTLS {
		lists++
		return &proxy.BindTLS{Crts: []proxy.Crt{{File: ca.Write(strconv.Itoa(lists)+"/list", []byte("\n"+text+"\n")), List: true}}}
	}
	for want, src := range map[string]*proxy.BindTLS{
		"/none.pem: no such file":                                    {Crts: crts(filepath.Join(ca.Dir(), "none.pem"))},
		"nokey.pem has no private key in it, nor is there one in ":   {Crts: crts(ca.Write("nokey.pem", a.Cert))},
		"nocert.pem has no certificate in it":                        {Crts: crts(ca.Write("nocert.pem", a.Key))},
		"wrong.pem: the private key is not the certificate's":        {Crts: crts(ca.Write("wrong.pem", append(bytes.Clone(a.Cert), b.Key...)))},
		"pass.pem: the private key has a passphrase":                 {Crts: crts(ca.Write("pass.pem", []byte(string(a.Cert)+"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")))},
		"the directory has no certificate":                           {Crts: crts(filepath.Dir(ca.Write("empty/.x", nil)))},
		"ca-file " + good + "x: no such file":                        {Crts: crts(good), TLSParams: proxy.TLSParams{CAFile: good + "x"}},
		"keys has no certificate in it":                              {Crts: crts(good), TLSParams: proxy.TLSParams{CAFile: keys}},
		"keys has no list of revoked certificates":                   {Crts: crts(good), TLSParams: proxy.TLSParams{CRLFile: keys}},
		"keys:1 is no key":                                           {Crts: crts(good), TicketKeys: keys},
		"'NOPE' is no cipher that OpenSSL knows":                     {Crts: crts(good), TLSParams: proxy.TLSParams{Ciphers: "NOPE"}},
		"leaves no cipher":                                           {Crts: crts(good), TLSParams: proxy.TLSParams{Ciphers: "DHE-RSA-AES128-GCM-SHA256:!ECDHE"}},
		"'P-1' is no curve":                                          {Crts: crts(good), TLSParams: proxy.TLSParams{Curves: "P-1"}},
		"no version of TLS is left":                                  {Crts: crts(good), TLSParams: proxy.TLSParams{MinVersion: proxy.TLSv13, MaxVersion: proxy.TLSv12}},
		"list:2:1: error: a bracket is opened":                       line(good + " [alpn h2"),
		"list:2:1: error: 'frobnicate' is no word":                   line(good + " [frobnicate]"),
		"list:2:1: error: 'verify required' needs a ca-file":         line(good + " [verify required]"),
		"list:2:1: error: 'a*.example' is no name":                   line(good + " a*.example"),
		"list:2:1: error: crt " + ca.Dir() + "/x.pem: no such file":  line(ca.Dir() + "/x.pem"),
		"list:2:1: error: 'TLSv9' is no version: SSLv3, TLSv1.0, TL": line(good + " [ssl-min-ver TLSv9]"),
	} {
		_, ps := NewStore().NewBind(src, &proxy.Global{})
		if ps.HasErrors() {
			if text := ps.Err().Error(); !strings.Contains(text, want) {
				t.Errorf("%q lacks %q", text, want)
			}
			continue
		}
		t.Errorf("no error for %q", want)
	}
}

func TestOCSPIsStapled(t *testing.T) {
	ca := pki.New(t)
	a := ca.ECDSA("a.example")
	file := ca.Write("a.pem", append(a.PEM(), ca.CertPEM()...))
	answer := ca.OCSP(a.Leaf, time.Now().Add(time.Hour))
	ca.Write("a.pem.ocsp", answer)
	b := bind(t, NewStore(), &proxy.BindTLS{Crts: crts(file)})
	state, err := shake(t, b, ca, &tls.Config{ServerName: "a.example"})
	if err != nil || !bytes.Equal(state.OCSPResponse, answer) {
		t.Errorf("%d bytes, %v", len(state.OCSPResponse), err)
	}
	// When it has run out it is not shown any more.
	os.Remove(file + ".ocsp")
	ca.Write("a.pem.ocsp", ca.OCSP(a.Leaf, time.Now().Add(-time.Minute)))
	if changed, ps := b.Refresh(time.Now()); !changed || len(ps) > 0 {
		t.Fatal(changed, ps)
	}
	if state, err = shake(t, b, ca, &tls.Config{ServerName: "a.example"}); err != nil || state.OCSPResponse != nil {
		t.Errorf("%d bytes of an old answer, %v", len(state.OCSPResponse), err)
	}
	ca.Write("a.pem.ocsp", ca.OCSP(ca.ECDSA("b.example").Leaf, time.Now().Add(time.Hour)))
	if _, ps := NewStore().NewBind(&proxy.BindTLS{Crts: crts(file)}, &proxy.Global{}); !ps.HasErrors() || !strings.Contains(ps.Err().Error(), "a.pem.ocsp: ") {
		t.Errorf("the answer about another certificate: %v", ps)
	}
}

func TestClientCertificates(t *testing.T) {
	ca, stranger := pki.New(t), pki.New(t)
	good, revoked, foreign := ca.ECDSA("good"), ca.ECDSA("revoked"), stranger.ECDSA("foreign")
	file := ca.Write("a.pem", ca.ECDSA("a.example").PEM())
	crl := ca.Write("crl.pem", ca.CRL(revoked.Leaf))
	for _, verify := range []proxy.Verify{proxy.VerifyNone, proxy.VerifyOptional, proxy.VerifyRequired} {
		b := bind(t, NewStore(), &proxy.BindTLS{Crts: crts(file), TLSParams: proxy.TLSParams{CAFile: ca.File, CRLFile: crl, Verify: verify}})
		for name, c := range map[string]struct {
			own *pki.Pair
			ok  bool
		}{"none": {nil, verify != proxy.VerifyRequired}, "good": {&good, true}, "revoked": {&revoked, verify == proxy.VerifyNone},
			"foreign": {&foreign, verify == proxy.VerifyNone}} {
			config := &tls.Config{ServerName: "a.example"}
			if c.own != nil {
				pair, err := tls.X509KeyPair(c.own.Cert, c.own.Key)
				if err != nil {
					t.Fatal(err)
				}
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			if _, err := shake(t, b, ca, config); (err == nil) != c.ok {
				t.Errorf("verify %s, certificate %s: %v", verify, name, err)
			}
		}
	}
}

// TestRefresh: a changed file counts for the next handshake, a broken one does not.
func TestRefresh(t *testing.T) {
	ca := pki.New(t)
	first, second := ca.ECDSA("a.example"), ca.ECDSA("a.example")
	file := ca.Write("a.pem", first.PEM())
	store := NewStore()
	b := bind(t, store, &proxy.BindTLS{Crts: crts(file)})
	serves := func(p pki.Pair) {
		t.Helper()
		state, err := shake(t, b, ca, &tls.Config{ServerName: "a.example"})
		if err != nil || !state.PeerCertificates[0].Equal(p.Leaf) {
			t.Errorf("another certificate: %v", err)
		}
	}
	refresh := func(want bool, problem string) {
		t.Helper()
		changed, ps := b.Refresh(time.Now())
		if changed != want || (problem == "") != (len(ps) == 0) || problem != "" && !strings.Contains(ps.Err().Error(), problem) {
			t.Errorf("changed %v, problems %v", changed, ps)
		}
	}
	refresh(false, "")
	replace := func(content []byte) {
		os.Remove(file) // another inode, whatever the clock's grain is
		ca.Write("a.pem.new", content)
		os.Rename(file+".new", file)
	}
	replace(second.PEM())
	refresh(true, "")
	serves(second)
	replace(first.Cert)
	refresh(false, "a.pem has no private key")
	refresh(false, "")
	serves(second)
	// What is put in the file's place counts until it is taken back.
	if err := store.Put(file, second.Cert); err == nil {
		t.Error("a certificate without its key was taken")
	}
	if err := store.Put(file, first.PEM()); err != nil {
		t.Fatal(err)
	}
	refresh(true, "")
	serves(first)
	replace(second.PEM())
	refresh(false, "")
	store.Remove(file)
	refresh(true, "")
	serves(second)
}

// TestTickets: who shares the keys resumes the others' sessions.
func TestTickets(t *testing.T) {
	ca := pki.New(t)
	file := ca.Write("a.pem", ca.ECDSA("a.example").PEM())
	keys := ca.Write("keys", []byte(strings.Repeat(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 48))+"\n", 3)))
	one, other := NewStore(), NewStore()
	resumes := func(first, second *Bind, change func(*tls.Config)) bool {
		t.Helper()
		config := &tls.Config{ServerName: "a.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if change != nil {
			change(config)
		}
		if _, err := shake(t, first, ca, config); err != nil {
			t.Fatal(err)
		}
		state, err := shake(t, second, ca, config)
		if err != nil {
			t.Fatal(err)
		}
		return state.DidResume
	}
	a, b := bind(t, one, &proxy.BindTLS{Crts: crts(file)}), bind(t, other, &proxy.BindTLS{Crts: crts(file)})
	if !resumes(a, a, nil) || resumes(a, b, nil) {
		t.Error("sessions of our own are resumed, those of others not")
	}
	shared := []TicketKey{{1}, {2}}
	for _, s := range []*Store{one, other} {
		if err := s.SetTicketKeys(shared); err != nil {
			t.Fatal(err)
		}
	}
	a.Reseal()
	b.Reseal()
	if !resumes(a, b, nil) {
		t.Error("not resumed though the keys are the same")
	}
	c, d := bind(t, NewStore(), &proxy.BindTLS{Crts: crts(file), TicketKeys: keys}), bind(t, NewStore(), &proxy.BindTLS{Crts: crts(file), TicketKeys: keys})
	if !resumes(c, d, nil) {
		t.Error("not resumed though both read the same file of keys")
	}
	none := bind(t, one, &proxy.BindTLS{Crts: crts(file), TLSParams: proxy.TLSParams{NoTickets: true}})
	if resumes(none, none, nil) {
		t.Error("resumed with no-tls-tickets")
	}
	// A session that was let in without a certificate opens no door that asks for one.
	open := bind(t, one, &proxy.BindTLS{Crts: crts(file), TLSParams: proxy.TLSParams{Verify: proxy.VerifyOptional, CAFile: ca.File}})
	if resumes(a, open, nil) {
		t.Error("resumed where a certificate is asked for")
	}
}

func TestOldKeysOpenForAWhile(t *testing.T) {
	s := NewStore()
	first := s.ticketKeys()[0]
	now := time.Now()
	if s.Renew(now) {
		t.Error("a new key at once")
	}
	for i := 1; i <= 3; i++ {
		if now = now.Add(13 * time.Hour); !s.Renew(now) {
			t.Fatal("no new key")
		}
		if keys := s.ticketKeys(); slices.Contains(keys, first) != (i < 3) || keys[0] == first {
			t.Errorf("after %d renewals: %d keys", i, len(keys))
		}
	}
}

func TestCipherNames(t *testing.T) {
	intermediate := "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" +
		"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"
	for list, want := range map[string]int{
		"": 0, intermediate: 6, "ECDHE+AESGCM": 4, "EECDH+AESGCM:EDH+AESGCM": 4, "HIGH:!aNULL:!MD5": 17, "HIGH:!kRSA": 12, "ALL:!SHA1": 11,
		"ECDHE-RSA-AES128-SHA:-ECDHE-RSA-AES128-SHA:AES128-SHA": 1, "ECDH+AESGCM:ECDHE+CHACHA20": 6, "DEFAULT:@SECLEVEL=2": 17,
		"kEECDH+ECDSA+AES128:!SHA256:!SHA1": 0,
	} {
		got, err := Ciphers(list)
		if len(got) != want || (err != nil) != (want == 0 && list != "") {
			t.Errorf("%q: %d ciphers, %v; want %d", list, len(got), err, want)
		}
	}
}

func TestParseSNI(t *testing.T) {
	for expr, ok := range map[string]bool{"": true, "str(A.example)": true, "req.hdr(host)": true, "ssl_fc_sni": true, "str()": false, "var(x)": false} {
		if _, _, err := ParseSNI(expr); (err == nil) != ok {
			t.Errorf("%q: %v", expr, err)
		}
	}
	if _, name, _ := ParseSNI("str(A.example)"); name != "a.example" {
		t.Errorf("%q", name)
	}
}

func FuzzCrtListLine(f *testing.F) {
	for _, s := range []string{"a.pem", "a.pem [alpn h2] *.x !y.x", "# c", "a [", "[a] b", "a *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l, err := splitListLine(line)
		if err == nil && l.file == "" && strings.TrimSpace(line) != "" && strings.TrimSpace(line)[0] != '#' {
			t.Errorf("%q says nothing", line)
		}
	})
}
