// Package raftnode runs one node's Raft: its store in the data_dir, its transport on the nodes' common port, and the
// agreed state that entries are applied to. Who is a member is not its business; it offers the changes.
package raftnode

import "golang.org/x/sys/unix"

const (
	errNoSpace  = unix.ENOSPC
	errReadOnly = unix.EROFS
)
