// Package netio sends and receives VRRP adverts: one pair of raw sockets of IP protocol 112 for each interface, family and
// way (multicast or unicast), shared by all instances there; instances with auth_type AH share a pair of protocol 51.
//
// What is sent has keepalived's header (TOS or traffic class 0xc0, TTL or hop limit 255, DF clear), goes out by the bound
// interface whatever the routes say, and is not looped back. What is received is told with the header's addresses and TTL;
// it is judged elsewhere. An interface that is missing, or that was replaced by another of the same name, is no failure:
// the Port says so and tries again when it is poked.
//
// Anybody on the segment can send to these sockets. A Port therefore reads several packets a system call into buffers of
// its own and allocates nothing for any of them, has room in the kernel for the while a busy machine needs to come round
// to reading, counts what did not fit, and lets other goroutines run after a bounded number of packets. A Queue carries
// datagrams on to the goroutine of an instance without allocating either; a flood of one and the same advert takes one
// place in it.
package netio
