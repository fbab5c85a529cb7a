// Package interop holds no code: its tests set the speaker beside a real keepalived, and read both with tshark, on hosts
// of a lab.
package interop
