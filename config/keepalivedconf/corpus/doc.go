// Package corpus holds keepalived.conf files, one feature or mistake each and named by it, and compares what the real
// keepalived says of each with what Reeve says.
package corpus
