// Package cluster turns a handful of nodes into one: who is in (Serf), what is agreed (Raft), and how nodes speak to each
// other (one mutual TLS port). It keeps configuration versions, leases and sticky entries, all of them opaque to it: it
// knows no frontend and no VRRP packet.
//
// A [Cluster] is made by [New], which allocates only, and lives in [Cluster.Run], which ends when its context does. What
// the rest of the program has to do is told through [App].
package cluster
