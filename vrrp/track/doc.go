// Package track turns what a node knows of itself into an instance's effective priority: the results of vrrp_scripts and
// the state of interfaces, each with its weight.
//
// A script runs once for all instances that track it. Its first result decides at once, as keepalived does it, unless
// init_fail; later ones count by rise and fall. The arithmetic (rate.go, count.go) is pure; Tracker is the rim that runs
// scripts.
package track
