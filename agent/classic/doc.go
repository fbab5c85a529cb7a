// Package classic is the keepalived personality's outside: what scripts, units, supervisors and exporters see of a
// keepalived. It reads keepalived's command line, goes into the background as a daemon does, keeps pid files, writes to
// syslog under keepalived's identities, obeys its signals and writes the files they ask for. What speaks VRRP inside is a
// Daemon, which the agent composes.
//
// There is one process where keepalived has a parent and children: all pid files name it. One more, the guard, takes
// addresses off when this one can't.
package classic
