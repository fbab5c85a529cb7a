// Package netio sends and receives VRRP adverts: one pair of raw sockets of IP protocol 112 on each interface, shared by
// the instances there.
//
// What is sent has the header of package packet (TOS 0xc0, TTL 255, DF clear), goes out by the bound interface whatever
// the routes say, and is not looped back. What is received is what the group on that interface got, with the header's
// addresses and TTL; it is judged elsewhere. An interface that is missing, or that was replaced by another of the same
// name, is no failure: the Port says so and tries again when it is poked.
package netio
