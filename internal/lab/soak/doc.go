// Package soak keeps a proxy at work for long: at a good part of what it can do, with its configuration changed each
// second, with servers that die and return and with clients that are slow or rude. What the configuration does not explain
// is an error: any answer but 200 to a well-behaved client, and memory, descriptors or goroutines that grow.
package soak
