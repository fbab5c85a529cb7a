// Package dump writes what a running VRRP speaker knows in the formats of the files that keepalived writes at a signal:
// keepalived.json, .data and .stats. Programs that read those files (exporters, scripts) find the keys, the order and the
// types that keepalived 2.2.7 has.
//
// It is pure: a Snapshot in, bytes out. Where the numbers come from and where the bytes go is the caller's.
package dump
