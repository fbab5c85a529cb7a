package config

import "github.com/reeve-lb/reeve/internal/source"

// Node is what belongs to one machine and never to the cluster: it comes from the top level of that machine's own .hcl
// files, and a flag of the same name wins over it. The zero value says nothing; the agent fills in the defaults.
type Node struct {
	Name            string   // node = "lb1"; default the host's name
	Bind            string   // address the cluster's ports listen on
	Advertise       string   // address the others are told; default Bind
	DataDir         string   // where Raft and the keys live
	BootstrapExpect int      // servers to wait for before the first election; 0: none
	RetryJoin       []string // host[:port] of others, tried until one answers
	Encrypt         string   // the cluster key, base64
	HTTPAddr        string   // host:port of the API and UI
	HTTPToken       string   // guards the API; needed off loopback
	LogLevel        string   // trace, debug, info, warn, error
	Witness         bool     // a voter with no data plane
	MemoryMax       int      // MiB that the whole process may take; 0: no bound
	Ports           Ports
	TLS             *TLS // nil: certificates derived from the cluster key
	Pos             source.Pos
}

// Ports moves the three ports of an agent; 0 is the default.
type Ports struct {
	HTTP   int // 7500
	RPC    int // 7300
	Gossip int // 7301
}

// TLS names certificate files of the node's own.
type TLS struct {
	CAFile, CertFile, KeyFile string
	Pos                       source.Pos
}
