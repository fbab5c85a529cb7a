// Package packet is the codec of VRRP adverts: version 2 over IPv4 (RFC 3768 section 5, with the authentication field of
// RFC 2338 that version 2 keeps on the wire) and version 3 over IPv4 and IPv6 (RFC 9568 section 5, RFC 5798 before it).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
//	|   Auth Type   |   Adver Int   |          Checksum             |  version 2: seconds
//	|  0    | Max Advertise Interval|          Checksum             |  version 3: centiseconds
//	|                  Count x IP Address (4 or 16)                 |
//	|                Authentication Data (8), version 2             |
//
// Adverts are sent byte for byte as keepalived sends them: in version 2 the eight bytes of authentication data are there
// for authentication type 0 too, and nothing but the payload is summed; in version 3 the checksum covers a pseudo-header
// of either family. What keepalived calls old_unicast_checksum is version 3 by unicast over IPv4 with the multicast group
// in the pseudo-header's destination, as its releases before 1.3.7 had it; it is understood on receipt unless forbidden.
//
// With auth_type AH an advert of version 2, whose authentication data are zeros, comes behind IPsec's authentication header
// (IP protocol 51, RFC 4302, HMAC-MD5-96 of RFC 2403). As keepalived 2.2.7 has it the SPI is the source address; the ICV
// covers the IP header with TOS, flags, fragment offset and checksum 0, and the TTL 0 by unicast but as sent by multicast; and
// a router has one counter for the sequence numbers that it sends and hears, each higher than all before.
//
// What is received is judged in keepalived's order, so that the two count one and the same packet under one and the same
// cause; lists of addresses that differ are told, not refused (as keepalived does since 2.3.3), because refusing them
// makes two masters out of a rolling change. Alarms makes of these findings what an operator can read: each cause once
// for a peer, with a count.
//
// An Advert is a value; nothing here keeps a reference to the bytes it was given, and nothing is logged.
package packet
