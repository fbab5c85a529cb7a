package tlsconf

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
)

func version(s string) (proxy.TLSVersion, error) {
	for v := proxy.SSLv3; v <= proxy.TLSv13; v++ {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("'%s' is no version: SSLv3, TLSv1.0, TLSv1.1, TLSv1.2 or TLSv1.3", s)
}

// versions are the bounds in the library's numbers. Without a lower one TLSv1.2 is the oldest.
func versions(lo, hi proxy.TLSVersion) (from, to uint16, err error) {
	numbers := [...]uint16{0, tls.VersionTLS10, tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	if lo == 0 {
		lo = proxy.TLSv12
		if hi != 0 {
			lo = min(lo, hi)
		}
	}
	if hi == 0 {
		hi = proxy.TLSv13
	}
	if hi == proxy.SSLv3 || lo > hi {
		return 0, 0, fmt.Errorf("no version of TLS is left between ssl-min-ver %s and ssl-max-ver %s", lo, hi)
	}
	return numbers[lo], numbers[hi], nil
}

func splitALPN(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// cipher is a cipher of TLS up to 1.2 by OpenSSL's name, with the properties by which its lists select.
type cipher struct {
	name string
	id   uint16
	tags string
}

// ciphers are those the library has, the better ones first.
var ciphers = []cipher{
	{"ECDHE-ECDSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE ECDSA AES128 AES AESGCM SHA256 HIGH"},
	{"ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE aRSA AES128 AES AESGCM SHA256 HIGH"},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE ECDSA AES256 AES AESGCM SHA384 HIGH"},
	{"ECDHE-RSA-AES256-GCM-SHA384", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE aRSA AES256 AES AESGCM SHA384 HIGH"},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE ECDSA CHACHA20 HIGH"},
	{"ECDHE-RSA-CHACHA20-POLY1305", tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE aRSA CHACHA20 HIGH"},
	{"ECDHE-ECDSA-AES128-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE ECDSA AES128 AES SHA256 HIGH"},
	{"ECDHE-RSA-AES128-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE aRSA AES128 AES SHA256 HIGH"},
	{"ECDHE-ECDSA-AES128-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE ECDSA AES128 AES SHA1 HIGH"},
	{"ECDHE-RSA-AES128-SHA", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE aRSA AES128 AES SHA1 HIGH"},
	{"ECDHE-ECDSA-AES256-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE ECDSA AES256 AES SHA1 HIGH"},
	{"ECDHE-RSA-AES256-SHA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE aRSA AES256 AES SHA1 HIGH"},
	{"AES128-GCM-SHA256", tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "kRSA aRSA AES128 AES AESGCM SHA256 HIGH"},
	{"AES256-GCM-SHA384", tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "kRSA aRSA AES256 AES AESGCM SHA384 HIGH"},
	{"AES128-SHA256", tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "kRSA aRSA AES128 AES SHA256 HIGH"},
	{"AES128-SHA", tls.TLS_RSA_WITH_AES_128_CBC_SHA, "kRSA aRSA AES128 AES SHA1 HIGH"},
	{"AES256-SHA", tls.TLS_RSA_WITH_AES_256_CBC_SHA, "kRSA aRSA AES256 AES SHA1 HIGH"},
}

// tags that mean the same, and those that OpenSSL knows for ciphers that nobody should speak: they select nothing here.
var (
	sameTags = map[string]string{"EECDH": "ECDHE", "ECDH": "ECDHE", "kEECDH": "ECDHE", "kECDHE": "ECDHE", "aECDSA": "ECDSA", "RSA": "kRSA", "SHA": "SHA1",
		"DEFAULT": "HIGH", "ALL": "HIGH", "COMPLEMENTOFALL": "none", "TLSv1.2": "TLSv1.2"}
	emptyTags = strings.Fields(`none COMPLEMENTOFDEFAULT MEDIUM LOW EXP EXPORT EXPORT40 EXPORT56 eNULL NULL aNULL ADH AECDH DH EDH DHE kDHE kEDH
		kDHr kDHd kDH aDH aDSS DSS aECDH kECDH DES 3DES RC4 RC2 MD5 IDEA SEED CAMELLIA CAMELLIA128 CAMELLIA256 ARIA ARIA128 ARIA256 PSK kPSK
		aPSK kRSAPSK kDHEPSK kECDHEPSK SRP kSRP aSRP GOST aGOST aGOST01 kGOST GOST94 GOST89MAC AESCCM AESCCM8 SSLv3 TLSv1 TLSv1.0`)
)

// Ciphers selects by an OpenSSL list: names and properties (joined by +) separated by colons, with ! and - to take away.
// Names that OpenSSL has and the library has not (DHE-..., 3DES) are passed over; a list that leaves nothing is an error.
// The library orders them itself. "" gives nil, the library's choice.
func Ciphers(list string) ([]uint16, error) {
	if list == "" {
		return nil, nil
	}
	var out []uint16
	never := map[uint16]bool{}
	for token := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ':' || r == ' ' || r == ',' }) {
		sign := byte(0)
		if strings.IndexByte("!-+", token[0]) >= 0 {
			sign, token = token[0], token[1:]
		}
		if strings.HasPrefix(token, "@") { // @STRENGTH, @SECLEVEL=n: order and strength are the library's
			continue
		}
		ids, err := selects(token)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			switch {
			case sign == '!':
				never[id] = true
				out = without(out, id)
			case sign == '-':
				out = without(out, id)
			case sign == 0 && !never[id]:
				out = append(without(out, id), id)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("'%s' leaves no cipher that is supported", list)
	}
	return out, nil
}

func without(ids []uint16, id uint16) []uint16 {
	out := ids[:0:len(ids)]
	for _, i := range ids {
		if i != id {
			out = append(out, i)
		}
	}
	return out
}

// selects finds the ciphers of one name, or those that have all properties of a+b+c.
func selects(token string) ([]uint16, error) {
	var out []uint16
	for _, c := range ciphers {
		if c.name == token || tls.CipherSuiteName(c.id) == token {
			return []uint16{c.id}, nil
		}
	}
	tags := strings.Split(token, "+")
	for i, t := range tags {
		if same, ok := sameTags[t]; ok {
			tags[i] = same
		}
		if !knownTag(tags[i]) {
			if foreign(token) {
				return nil, nil
			}
			return nil, fmt.Errorf("'%s' is no cipher that OpenSSL knows", token)
		}
	}
	for _, c := range ciphers {
		all := true
		for _, t := range tags {
			all = all && hasTag(c, t)
		}
		if all {
			out = append(out, c.id)
		}
	}
	return out, nil
}

func hasTag(c cipher, tag string) bool {
	if tag == "TLSv1.2" {
		return hasTag(c, "AESGCM") || hasTag(c, "CHACHA20") || hasTag(c, "SHA256")
	}
	for t := range strings.FieldsSeq(c.tags) {
		if t == tag {
			return true
		}
	}
	return false
}

func knownTag(t string) bool {
	for _, e := range emptyTags {
		if t == e {
			return true
		}
	}
	if t == "TLSv1.2" {
		return true
	}
	for _, c := range ciphers {
		if hasTag(c, t) {
			return true
		}
	}
	return false
}

// foreign: a name built as those of OpenSSL's ciphers are, of a cipher that the library has not.
func foreign(name string) bool {
	parts := strings.Split(name, "-")
	if len(parts) < 2 {
		return strings.HasPrefix(name, "TLS_")
	}
	known := strings.Fields(`ECDHE DHE EDH ECDH DH ADH AECDH RSA ECDSA DSS PSK SRP NULL AES AES128 AES256 CCM CCM8 GCM CHACHA20 POLY1305 CAMELLIA128 CAMELLIA256
		ARIA128 ARIA256 ARIA SEED IDEA RC4 DES CBC CBC3 3DES EDE SHA SHA256 SHA384 MD5 EXP GOST2001 GOST94 GOST89 GOST2012 GOST8912`)
	for _, p := range parts {
		found := false
		for _, k := range known {
			found = found || k == p
		}
		if !found {
			return false
		}
	}
	return true
}

// suites are TLSv1.3's that the library has; all are always on.
var suites = strings.Fields("TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256")

// CipherSuites checks a list of suites of TLSv1.3. The library always offers the three that it has and picks itself.
func CipherSuites(list string) error {
	any := list == ""
	for s := range strings.SplitSeq(list, ":") {
		if s == "" {
			continue
		}
		if !strings.HasPrefix(s, "TLS_") {
			return fmt.Errorf("'%s' is no cipher suite of TLSv1.3", s)
		}
		for _, k := range suites {
			any = any || s == k
		}
	}
	if !any {
		return fmt.Errorf("'%s' leaves no cipher suite that is supported: %s", list, strings.Join(suites, ", "))
	}
	return nil
}

// AllCipherSuites reports whether a list names all suites of TLSv1.3 that the library has; it can't leave one out.
func AllCipherSuites(list string) bool {
	for _, k := range suites {
		found := list == ""
		for s := range strings.SplitSeq(list, ":") {
			found = found || s == k
		}
		if !found {
			return false
		}
	}
	return true
}

var curves = map[string]tls.CurveID{
	"X25519": tls.X25519, "P-256": tls.CurveP256, "prime256v1": tls.CurveP256, "secp256r1": tls.CurveP256, "P-384": tls.CurveP384,
	"secp384r1": tls.CurveP384, "P-521": tls.CurveP521, "secp521r1": tls.CurveP521, "X25519MLKEM768": tls.X25519MLKEM768,
	"SecP256r1MLKEM768": tls.SecP256r1MLKEM768, "SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
}

// foreignCurves are known to OpenSSL and not to the library: they are passed over.
var foreignCurves = strings.Fields(`X448 ffdhe2048 ffdhe3072 ffdhe4096 ffdhe6144 ffdhe8192 brainpoolP256r1 brainpoolP384r1 brainpoolP512r1 secp256k1 auto`)

// Curves understands a list of curves, by OpenSSL's names or NIST's. "" gives nil, the library's choice.
func Curves(list string) ([]tls.CurveID, error) {
	var out []tls.CurveID
	for name := range strings.SplitSeq(list, ":") {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "?"), "*")
		id, ok := curves[name]
		known := ok || name == ""
		for _, f := range foreignCurves {
			known = known || strings.EqualFold(f, name)
		}
		if !known {
			return nil, fmt.Errorf("'%s' is no curve that OpenSSL knows", name)
		}
		if ok {
			out = append(out, id)
		}
	}
	if list != "" && list != "auto" && len(out) == 0 {
		return nil, fmt.Errorf("'%s' leaves no curve that is supported", list)
	}
	return out, nil
}
