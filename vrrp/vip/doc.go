// Package vip puts virtual addresses on interfaces and takes them off again, announces them by gratuitous ARP, and
// tells what happens to links and addresses behind our back.
//
// Everything goes through netlink on sockets that stay open, the addresses of an instance in one message: between the
// decision and the address lies one system call. The messages are written here rather than by a netlink library,
// because none sends several requests at once and each allocates its receive buffer anew; the guard, which shares this
// code, has to stay small.
//
// Decisions:
//
//   - An address carries a lifetime (valid_lft) that Extend renews, so that the kernel takes it off when everybody who
//     should have done so is dead. Extend is cheap to call at every renewal: it only speaks to the kernel when a quarter
//     of the lifetime has passed.
//   - Add and Extend look at the clock directly before the system call: an expired lease puts no address on.
//   - The kernel drops all addresses of a subnet with its first one unless the interface promotes secondaries. Add
//     switches that on (by netlink, so that a read-only /proc/sys does not matter) before it adds an address with a
//     prefix shorter than /32, and leaves it on.
//   - Names of interfaces are resolved anew at each call: an interface that was replaced under the same name is found.
package vip
