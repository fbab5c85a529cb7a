// Package lab builds small networks out of network namespaces: hosts on a switch, links that can be cut and healed, real
// processes on the hosts, and a watch that tells who held which address when. Tests, the demo and the benchmarks stand
// on it.
//
// Everything lives in namespaces of the lab's own (network, mount, process ids and, for an ordinary user, a user
// namespace), which Enter re-executes the program into. When that program ends, however it ends, the kernel takes all
// of it away: no interface, process, mount or file of a lab outlives it.
//
// A test package says
//
//	func TestMain(m *testing.M) { lab.Main(m) }
//
// and a test
//
//	n := lab.New(t)
//	a := n.Host("a", "10.0.0.1/24")
//	b := n.Host("b", "10.0.0.2/24")
//	b.Cut() // both ways, carrier stays up
//
// Cuts are made by the switch alone, with plain rtnetlink: neither ip nor nft nor tc is needed, and no kernel module but
// bridge and veth.
package lab
