// Package machine is the VRRP state machine of one instance (RFC 3768 and RFC 9568, section 6.4) as a pure function: a
// Machine, an Event and the time give the next Machine and the Actions to take, in order. It knows no socket, no clock, no
// log.
//
// It holds two sets of rules. Plain VRRP, with the words of RFC 3768 and keepalived's additions (nopreempt,
// preempt_delay, FAULT): election by adverts. And the cluster's: MASTER only by a lease, as long as the lease lasts,
// whatever adverts say. An instance of a cluster that has no quorum may take part in plain VRRP (on_quorum_loss); which
// rules are in force follows from the state, see plain.
//
// Decisions:
//
//   - The driver answers AddAddresses with AddressesOn or AddressesFailed and RemoveAddresses with AddressesOff or
//     RemoveFailed. Released and the notifications that promise something about addresses follow only from these.
//   - The machine looks at its right to be MASTER before anything else in every step: a lease that ran out, or (plain) a
//     last advert so long ago that others must have taken over, ends it before the event that woke us is looked at. So a
//     machine that was frozen never speaks before it has let go.
//   - A lease that ran out is given back by Released once the addresses are off. Adverts of priority 0 are for hand-overs
//     by will; a lapse is silent.
//   - A member of a sync group decides nothing about MASTER itself: it tells its Group what it wants (TellGroup) and does
//     what the group says (GroupSays), or what its verdicts say. Group is a pure core of its own, under the same rules.
//   - In version 3 the timers of BACKUP go by the master's interval, as the protocol wants it: who bears a worse and
//     quicker master learns its interval too.
//   - What an attacker on the segment can trigger (answers to adverts) is bounded by AnswerInterval.
package machine
