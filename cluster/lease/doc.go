// Package lease decides which node owns an instance's addresses, so that no two nodes ever do.
//
// A lease names an instance, its holder and an epoch that only grows. A change of holder is a Raft log entry (State is
// the part of the FSM that applies it); renewals are small messages to the leader that are not logged. The package is
// built of pure parts, each state + event + now -> state + actions, and two drivers:
//
//	State    what the log says: who holds what under which epoch
//	Keeper   the leader's side: answers renewals in confirmed rounds, moves leases, asks holders to yield
//	Holder   a node's side: counts its leases from the moment it sent what was answered, tells what is lost
//	Client   drives the Holder: one kept stream to the leader, timers, verdicts
//	Service  drives the Keeper while this node leads, and takes the guards' words on every node
//
// Why two nodes never hold one lease. Let a holder have sent a renewal at s and the leader of term T have received it at
// a >= s. The leader answers only when a majority of the voters said, after s, that their term is still T. A later leader
// needs votes of a majority, one of whom said so before it voted: that leader was elected after s. It waits TTL + margin
// from its election before it moves a lease it has not answered for, so it moves it after s + TTL, when the holder has
// stopped: a holder counts from s. The leader of T itself moves a lease no sooner than TTL + margin after the arrival
// of the last renewal it answered. The margin pays for clocks that run at different rates.
//
// Who says so after s: the sender, for a renewal carries its term, read after the moment s was taken; the leader, which
// reads its own after the renewal came; and, where these two are no majority, as many other voters as one needs, asked
// after a. So among three voters a follower's renewal is answered at once, and only the leader's own makes it ask one
// follower. Who does not answer soon costs no time but the leader's: then all are asked.
//
// The leader asks the voters for their term over the same streams that carry the renewals, not by hashicorp/raft's
// VerifyLeader: there an answer to a heartbeat that was already under way counts for a round that began after it, so a
// leader that slept between the two would be confirmed by the past.
//
// What the streams carry are heartbeats too: a renewal that tells of the last answer shows the leader that both directions
// work, an answer shows a follower that its leader leads. Raft is told of either (Log.Contact, Log.Led) and sends heartbeats
// of its own only where a stream is silent. Answers also say how far they are from the step in which the leader would like all
// renewals to come, so that an idle cluster wakes as one. A node that holds nothing renews half as often.
//
// A life is one run of a Client. A lease belongs to a life, not only to a node: what a former life of the same node held
// is never extended to the next one, so a guard's late word about an old epoch can't concern addresses that are on.
package lease
