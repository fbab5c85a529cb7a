package http1

import "encoding/binary"

// ID is a header name that means something to a proxy.
type ID uint8

const (
	// Unknown is any name but those below.
	Unknown ID = iota
	Connection
	ContentLength
	TransferEncoding
	Host
	KeepAlive
	ProxyConnection
	TE
	Upgrade
	Expect
	Cookie
	SetCookie
	CacheControl
	Expires
	ETag
	LastModified
	Authorization
	WWWAuthenticate
	Pragma
)

// byLen finds the few names of a length; names are lower case.
var byLen [20][]named

type named struct {
	name string
	id   ID
}

func init() {
	for _, n := range []named{
		{"connection", Connection}, {"content-length", ContentLength}, {"transfer-encoding", TransferEncoding}, {"host", Host},
		{"keep-alive", KeepAlive}, {"proxy-connection", ProxyConnection}, {"te", TE}, {"upgrade", Upgrade}, {"expect", Expect},
		{"cookie", Cookie}, {"set-cookie", SetCookie}, {"cache-control", CacheControl}, {"expires", Expires}, {"etag", ETag},
		{"last-modified", LastModified}, {"authorization", Authorization}, {"www-authenticate", WWWAuthenticate}, {"pragma", Pragma},
	} {
		byLen[len(n.name)] = append(byLen[len(n.name)], n)
	}
}

func identify(name []byte) ID {
	if len(name) >= len(byLen) {
		return Unknown
	}
	for _, n := range byLen[len(name)] {
		if EqualFold(name, n.name) {
			return n.id
		}
	}
	return Unknown
}

// EqualFold compares ASCII text; lower must be in lower case.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(b) {
		if fold[b[i]] != lower[i] {
			return false
		}
	}
	return true
}

// What a byte may be part of.
const (
	isToken  = 1 << iota // RFC 9110 section 5.6.2
	isValue              // field-vchar, SP, HTAB
	isTarget             // visible ASCII but '#'
	isHost               // reg-name, IPv4, [IPv6], port
)

var (
	class [256]uint8
	fold  [256]byte
)

func init() {
	for i := range 256 {
		c := byte(i)
		fold[i] = c
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if c >= 'A' && c <= 'Z' {
			fold[i] = c + 'a' - 'A'
		}
		if letter || digit || within(c, "!#$%&'*+-.^_`|~") {
			class[i] |= isToken
		}
		if c == '\t' || c >= 0x20 && c != 0x7f {
			class[i] |= isValue
		}
		if c > 0x20 && c < 0x7f && c != '#' {
			class[i] |= isTarget
		}
		if letter || digit || within(c, "-._~!$&'()*+;=:[]%") {
			class[i] |= isHost
		}
	}
}

// IsToken reports whether a byte may be part of a method or of a header's name.
func IsToken(c byte) bool { return class[c]&isToken != 0 }

// IsTarget reports whether a byte may be part of a request target.
func IsTarget(c byte) bool { return class[c]&isTarget != 0 }

func within(c byte, set string) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

func all(b []byte, bit uint8) bool {
	for _, c := range b {
		if class[c]&bit == 0 {
			return false
		}
	}
	return true
}

// validValue is all(b, isValue), eight bytes at a time: none below SP (but HTAB, which the slow way allows) and no DEL.
func validValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		low := (x - ones*0x20) &^ x & highs
		del := x ^ ones*0x7f
		if low|(del-ones)&^del&highs != 0 && !all(b[:8], isValue) {
			return false
		}
		b = b[8:]
	}
	return all(b, isValue)
}

// trim cuts blanks off both ends of b[start:end] and returns the new bounds.
func trim(b []byte, start, end int) (int, int) {
	for start < end && (b[start] == ' ' || b[start] == '\t') {
		start++
	}
	for end > start && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	return start, end
}

// NextToken cuts the first element off a comma-separated list, blanks around it removed. Empty elements come as such.
func NextToken(list []byte) (token, rest []byte) {
	end := len(list)
	for i, c := range list {
		if c == ',' {
			end = i
			break
		}
	}
	if end < len(list) {
		rest = list[end+1:]
	}
	a, b := trim(list, 0, end)
	return list[a:b], rest
}
