// Package vip puts virtual addresses on interfaces and takes them off again, with the routes, rules, virtual MACs and
// filters that go with them; announces them by gratuitous ARP and neighbour advertisements; and tells what happens to
// links and addresses behind our back.
//
// How it is used: Plans works out what each instance of a configuration needs. Prepare, given NewSetup of them, makes the
// machine ready before the first advert and after each reload. Add, Extend and Remove move a Plan's Group with its
// mastership; Announce tells the segment. Run feeds Watch. Undo, after the last Remove, leaves the machine as it was.
//
// Addresses, routes, rules and links go through netlink on sockets that stay open, the addresses of an instance in one
// message: between the decision and the address lies one system call. The messages are written here rather than by a
// netlink library, because none sends several requests at once and each allocates its receive buffer anew; the guard,
// which shares this code, has to stay small. Tables of nftables are google/nftables' business.
//
// Decisions:
//
//   - An address carries a lifetime (valid_lft) that Extend renews, so that the kernel takes it off when everybody who
//     should have done so is dead. Extend is cheap to call at every renewal: it only speaks to the kernel when a quarter
//     of the lifetime has passed.
//   - Add and Extend look at the clock directly before the system call: an expired lease puts no address on, and ends
//     announcements that were still to come.
//   - On go the filter, addresses, routes, rules; off they go in the reverse order. A filter, route or rule that fails
//     keeps no instance from being MASTER: it is logged and in Faults.
//   - Routes are put before others of the same destination and removed by their protocol number, so that nobody else's
//     is lost.
//   - The kernel drops all addresses of a subnet with its first one unless the interface promotes secondaries. Prepare
//     switches that on where an address with a prefix shorter than /32 will be, also where nobody asked for it.
//   - What Prepare changes that outlives this process (kernel settings, interfaces, tables, static routes) is in a journal
//     before it is changed. The next life undoes it, whatever its own configuration says. A setting that somebody else
//     changed meanwhile is left as it is. (keepalived leaves arp_ignore and arp_filter of a virtual MAC's base changed.)
//   - Names of interfaces are resolved anew at each call: an interface that was replaced under the same name is found.
//   - Announcing has a lock and a goroutine of its own: a long list, a slow pace or a full queue delays no address.
//   - Who else claims an address of ours is heard by packet sockets whose filter lets nothing else pass, so that the
//     traffic of a busy segment wakes nobody; reports are bounded.
//   - That nft shows the interfaces in vmac_map as numbers is for want of a word in the library about the order of their
//     bytes; the kernel has them right.
package vip
