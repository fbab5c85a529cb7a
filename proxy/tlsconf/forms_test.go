package tlsconf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// older is a key in the form that OpenSSL wrote before PKCS #8.
func older(t *testing.T, p pki.Pair) []byte {
	t.Helper()
	b, _ := pem.Decode(p.Key)
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}}) // P-256
		return append(params, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	}
	t.Fatalf("a key of the type %T", key)
	return nil
}

// TestFormsOfPEM: a file that HAProxy takes is taken, one that it refuses is refused, and what is shown is the same.
func TestFormsOfPEM(t *testing.T) {
	ca := pki.New(t)
	ec, rsa, other := ca.ECDSA("a.example"), ca.RSA("a.example"), ca.ECDSA("b.example")
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	attributes := []byte("Bag Attributes\n    friendlyName: a\nsubject=CN = a\n\n")
	for name, c := range map[string]struct {
		content []byte
		chain   int // certificates that are shown; 0: the file is refused
	}{
		"certificate and key":             {join(ec.Cert, ec.Key), 1},
		"key and certificate":             {join(ec.Key, ec.Cert), 1},
		"certificate, chain and key":      {join(ec.Cert, ca.CertPEM(), ec.Key), 2},
		"certificate, key and chain":      {join(ec.Cert, ec.Key, ca.CertPEM()), 2},
		"SEC 1 behind its parameters":     {join(ec.Cert, older(t, ec)), 1},
		"PKCS 1":                          {join(rsa.Cert, older(t, rsa)), 1},
		"text around the blocks":          {join(attributes, ec.Cert, attributes, ec.Key, []byte("\n# the end\n")), 1},
		"lines that end in CR LF":         {bytes.ReplaceAll(join(ec.Cert, ec.Key), []byte("\n"), []byte("\r\n")), 1},
		"no end of the last line":         {bytes.TrimSuffix(join(ec.Cert, ec.Key), []byte("\n")), 1},
		"nothing":                         {nil, 0},
		"no PEM":                          {[]byte("a certificate\n"), 0},
		"a certificate without its key":   {ec.Cert, 0},
		"a key without its certificate":   {ec.Key, 0},
		"the key of another certificate":  {join(ec.Cert, other.Key), 0},
		"a certificate that breaks off":   {join(ec.Cert[:len(ec.Cert)/2], []byte("\n"), ec.Key), 0},
		"the chain before the own one":    {join(ca.CertPEM(), ec.Cert, ec.Key), 0},
		"a key whose inside is no key":    {join(ec.Cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("no key")})), 0},
		"a certificate whose inside is X": {join(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("X")}), ec.Key), 0},
	} {
		file := ca.Write(strings.ReplaceAll(name, " ", "-")+".pem", c.content)
		if theirs := haproxyTakes(t, file); theirs != (c.chain > 0) {
			t.Errorf("%s: HAProxy takes it: %v, want %v", name, theirs, c.chain > 0)
		}
		b, ps := NewStore().NewBind(&proxy.BindTLS{Crts: crts(file)}, &proxy.Global{})
		if (b != nil) != (c.chain > 0) {
			t.Errorf("%s: taken: %v, want %v: %v", name, b != nil, c.chain > 0, ps)
		}
		if b == nil {
			continue
		}
		state, err := shake(t, b, ca, &tls.Config{ServerName: "a.example"})
		if err != nil || len(state.PeerCertificates) != c.chain {
			t.Errorf("%s: %d certificates are shown, want %d: %v", name, len(state.PeerCertificates), c.chain, err)
		}
	}
}

// haproxyTakes reports whether the real one starts with a certificate.
func haproxyTakes(t *testing.T, file string) bool {
	t.Helper()
	config := file + ".cfg"
	text := "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend f\n bind 127.0.0.1:1 ssl crt " + file + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := "haproxy"
	if _, err := exec.LookPath(bin); err != nil {
		bin = "/usr/sbin/haproxy"
	}
	cmd := exec.CommandContext(t.Context(), bin, "-c", "-f", config)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("haproxy, which `make deps` installs: %v", err)
	}
	if err != nil && !strings.Contains(string(out), file) {
		t.Fatalf("haproxy does not speak of the file: %s", out)
	}
	return err == nil
}
