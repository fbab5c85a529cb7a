package packet

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"math"
	"net/netip"
)

const (
	// AHLen is the length of the authentication header with its integrity check value (RFC 4302 section 2, RFC 2403
	// section 3: HMAC-MD5-96).
	AHLen = ahLen + icvLen

	ahLen   = 12 // the fixed part
	icvLen  = 12
	ahWords = AHLen/4 - 2 // as the header tells its length
	// maxLen2 is the length of the longest advert of version 2.
	maxLen2 = headerLen + 4*MaxAddresses + authLen
)

// AuthHeader is what an authentication header told (RFC 4302 section 2), and with it what its ICV covers of the IP header
// and Datagram has not. The zero AuthHeader is none.
type AuthHeader struct {
	Present  bool
	Words    uint8 // the length as the header tells it: 32-bit words less two
	ID       uint16
	Reserved uint16
	SPI      uint32 // keepalived has its source address here
	Sequence uint32
	ICV      [icvLen]byte
}

// Key is an auth_pass as keepalived uses it: eight bytes at most, filled up with zeros.
type Key [authLen]byte

// KeyOf makes a key of a password.
func KeyOf(pass string) (k Key) {
	copy(k[:], pass)
	return k
}

// Seal writes the authentication header of an advert of version 2 into the AHLen bytes in front of it: frame is both.
// Source, Destination, AH.ID (not 0, for which the kernel would choose one) and AH.Sequence of d are those of the packet;
// TTL is 255 by multicast and 0 by unicast, whatever the packet has, since keepalived covers it by multicast only. It
// allocates nothing.
func (k Key) Seal(frame []byte, d Datagram) {
	d.AH.Words, d.AH.Reserved, d.AH.SPI = ahWords, 0, spi(d.Source)
	d.Payload = frame[AHLen:]
	d.AH.put(frame)
	icv := k.icv(d)
	copy(frame[ahLen:AHLen], icv[:])
}

// spi is the security parameter index: the source address, as keepalived has it.
func spi(source netip.Addr) uint32 {
	b := source.As4()
	return binary.BigEndian.Uint32(b[:])
}

// opens reports whether the ICV of a datagram was made with the key, in a time that does not tell where it differs.
func (k Key) opens(d Datagram, unicast bool) bool {
	if d.AH.Words != ahWords || len(d.Payload) > maxLen2 || !d.Source.Is4() || !d.Destination.Is4() {
		return false
	}
	if unicast {
		d.TTL = 0
	}
	icv := k.icv(d)
	return subtle.ConstantTimeCompare(icv[:], d.AH.ICV[:]) == 1
}

// put writes the fixed part.
func (h AuthHeader) put(b []byte) {
	b[0], b[1] = Protocol, h.Words
	binary.BigEndian.PutUint16(b[2:], h.Reserved)
	binary.BigEndian.PutUint32(b[4:], h.SPI)
	binary.BigEndian.PutUint32(b[8:], h.Sequence)
}

// icv is HMAC-MD5 (RFC 2104) over the packet without what routers may change: in the IP header TOS, flags, fragment offset
// and checksum are 0, as is the ICV itself (RFC 4302 section 3.3.3.1.1). The payload has maxLen2 bytes at most.
func (k Key) icv(d Datagram) (icv [icvLen]byte) {
	const at = md5.BlockSize + IPv4HeaderLen
	var b [at + AHLen + maxLen2]byte
	n := at + AHLen + len(d.Payload)
	ip := b[md5.BlockSize:]
	source, destination := d.Source.As4(), d.Destination.As4()
	ip[0], ip[8], ip[9] = 0x45, d.TTL, ProtocolAH
	binary.BigEndian.PutUint16(ip[2:], uint16(n-md5.BlockSize))
	binary.BigEndian.PutUint16(ip[4:], d.AH.ID)
	copy(ip[12:], source[:])
	copy(ip[16:], destination[:])
	d.AH.put(b[at:])
	copy(b[at+AHLen:], d.Payload)
	k.pad(b[:], 0x36)
	inner := md5.Sum(b[:n])
	var outer [md5.BlockSize + md5.Size]byte
	k.pad(outer[:], 0x5c)
	copy(outer[md5.BlockSize:], inner[:])
	sum := md5.Sum(outer[:])
	copy(icv[:], sum[:])
	return icv
}

// pad writes the block that a key makes of HMAC's inner or outer pad.
func (k Key) pad(b []byte, with byte) {
	for i := range md5.BlockSize {
		b[i] = with
	}
	for i, c := range k {
		b[i] ^= c
	}
}

// Sequence is the number of the last advert that was sent or accepted: one for both ways and all peers, as keepalived has
// it, so that who takes over goes on where the MASTER before stopped. It stays at the highest number, which no peer then
// accepts (after 136 years at an advert a second). The zero Sequence is that of a start; it is not safe for concurrent use.
type Sequence uint32

// Next is the number of the next advert.
func (s *Sequence) Next() uint32 {
	if *s < math.MaxUint32 {
		*s++
	}
	return uint32(*s)
}

// Take refuses an advert that was heard before: its number has to be higher than all before. One without authentication
// header is none of its business.
func (s *Sequence) Take(d Datagram) Finding {
	if !d.AH.Present {
		return Finding{}
	}
	if n := d.AH.Sequence; n <= uint32(*s) {
		return Finding{Cause: Replayed, Got: int(n), Want: int(*s)}
	}
	*s = Sequence(d.AH.Sequence)
	return Finding{}
}
