// Package haproxy is the haproxy personality: haproxy's command line, messages, exit codes and signals around a data
// plane of one node. What runs the data plane is given by who knows the program (Env.New).
package haproxy
