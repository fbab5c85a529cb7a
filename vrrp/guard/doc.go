// Package guard is the second process that takes an agent's addresses off when the agent can't.
//
// The agent starts it from its own binary, twice removed so that it is not the agent's child, in a session of its own.
// It is deaf to TERM, INT and HUP, has its netlink socket open from the beginning, and knows nothing but what the agent
// pets it with: which addresses it has on and when the right to them ends, by the boot clock.
//
//   - What expires without a newer pet it takes off at once.
//   - When the agent is gone (end of file on their socket) it takes everything off at once, whatever the expiry.
//   - What it took off it says through the hook Said, which tells the cluster, so that nobody waits for a timeout that
//     need not be waited for. Saying never delays a removal.
//
// Parent side: Start, Client. Process side: Main. Between them lies a socketpair of SOCK_SEQPACKET, which keeps messages
// whole; wire.go has the messages, keeper.go the pure core.
//
// A pet that only extends what the guard knows wakes nobody. It waits in the socket, for which the guard hears no more
// than its end; what the guard wakes for is its timer, the agent's end of file, and a bell (an eventfd, link.go) that the
// agent rings after any other message: a first hold, other addresses, a new epoch, an earlier expiry, a drop, new
// instructions, and when the socket may be filling up. Thus a lease of 250 ms renewed every 50 ms costs four or five wake-ups a
// second, not twenty. It loses nothing, by two rules:
//
//   - The guard, whatever woke it, reads the clock, takes in all that the socket holds, and only then judges deadlines, as
//     of the clock that it read. So what was sent before a deadline is never overlooked at that deadline, for which there
//     is a timer: the one set to it, or to an earlier deadline that has moved away since.
//   - The agent reads the clock after sending. Has the expiry that it told before passed by then, the guard may have given
//     the addresses up and have no timer left: it rings.
//
// The agent has to Pet before it puts an address on, and to Drop after it took one off: then there is no moment at which
// its death leaves an address that the guard does not know of. Should the guard be dead as well, the addresses'
// valid_lft (package vip) ends them.
package guard
