// Package speaker drives the VRRP instances of a node: it joins the pure machine to sockets, addresses, trackers, notify
// scripts, the guard and the arbiter.
//
// Each instance has a goroutine that owns its timers and takes the machine's actions in order. What asks the kernel's
// configuration is done by its hands, a second goroutine, in that order too, and how it went is fed back: an advert never
// waits for the kernel. Nothing slow of one instance delays another. One more goroutine, the supervisor (Run), owns who exists: it makes,
// changes and ends instances as Apply wants them, and hands on links, addresses, script results and verdicts.
//
// Raw sockets (netio.Port) and scripts (track.Tracker) are shared by the instances that need them.
package speaker
