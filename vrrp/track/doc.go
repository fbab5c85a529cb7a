// Package track turns what a node knows of itself into an instance's effective priority: the results of vrrp_scripts,
// processes that run or don't, numbers in files and the state of interfaces, each with its weight.
//
// A script runs once for all instances that track it. Its first result decides at once, as keepalived does it, unless
// init_fail; later ones count by rise and fall. Processes are followed by the kernel's own messages (the netlink process
// connector) where there is one, and by pidfds and a look at /proc otherwise; files by inotify. The arithmetic (rate.go,
// count.go, quorum.go, match.go) is pure; Tracker is the rim that runs scripts and reads the machine.
package track
