// Package packet is the codec of VRRP version 2 adverts over IPv4 (RFC 3768 section 5, with the authentication field of
// RFC 2338 that version 2 keeps on the wire).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
//	|   Auth Type   |   Adver Int   |          Checksum             |
//	|                     Count x IP Address (4)                    |
//	|                     Authentication Data (8)                   |
//
// Adverts are sent byte for byte as keepalived sends them: the eight bytes of authentication data are there for
// authentication type 0 too. What is received is judged in keepalived's order, so that the two count one and the same
// packet under one and the same cause; lists of addresses that differ are told, not refused (as keepalived does since
// 2.3.3), because refusing them makes two masters out of a rolling change.
//
// An Advert is a value; nothing here keeps a reference to the bytes it was given, and nothing is logged.
package packet
