package tlsconf

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"io"
)

// Apart runs compute where it holds up nobody else, and returns when it is done. With an error it may still be going on.
type Apart func(compute func()) error

type apartKey struct{}

// WithApart is a context for handshakes (tls.Conn.HandshakeContext) whose slow signatures are to be made by apart. Without
// one they are made where the handshake runs.
func WithApart(ctx context.Context, apart Apart) context.Context {
	return context.WithValue(ctx, apartKey{}, apart)
}

// slow reports whether signing takes long: Go needs 0.03 ms with P-256 and Ed25519, a millisecond with RSA-2048, and some
// tenths of one with the larger curves (go test -bench 'SignP|RSA2048' crypto/ecdsa crypto/rsa).
func slow(key crypto.PrivateKey) bool {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return false
	case *ecdsa.PrivateKey:
		return k.Curve != elliptic.P256()
	}
	return true
}

// setApart is the certificate for a handshake with that context.
func setApart(ctx context.Context, c *tls.Certificate) *tls.Certificate {
	apart, ok := ctx.Value(apartKey{}).(Apart)
	if !ok || !slow(c.PrivateKey) {
		return c
	}
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return c
	}
	out := *c
	out.PrivateKey = apartKeyOf(signer, apart)
	return &out
}

// apartSigner is a key whose work is done apart.
type apartSigner struct {
	crypto.Signer
	apart Apart
}

// apartDecrypter is one that decrypts, too: RSA, for the key exchange of old.
type apartDecrypter struct{ apartSigner }

func apartKeyOf(key crypto.Signer, apart Apart) crypto.Signer {
	s := apartSigner{key, apart}
	if _, ok := key.(crypto.Decrypter); ok {
		return apartDecrypter{s}
	}
	return s
}

// outcome is written by whoever computes, and read only if that has come to its end.
type outcome struct {
	out []byte
	err error
}

func (s apartSigner) run(compute func() ([]byte, error)) ([]byte, error) {
	o := &outcome{err: errors.New("it was not computed")}
	if err := s.apart(func() { o.out, o.err = compute() }); err != nil {
		return nil, err
	}
	return o.out, o.err
}

// Sign implements crypto.Signer.
func (s apartSigner) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.run(func() ([]byte, error) { return s.Signer.Sign(rand, digest, o) })
}

// Decrypt implements crypto.Decrypter.
func (s apartDecrypter) Decrypt(rand io.Reader, msg []byte, o crypto.DecrypterOpts) ([]byte, error) {
	return s.run(func() ([]byte, error) { return s.Signer.(crypto.Decrypter).Decrypt(rand, msg, o) })
}
