package raftnode

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// lonely is a network without anybody.
type lonely struct{ closed chan struct{} }

func (l lonely) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l lonely) Close() error              { close(l.closed); return nil }
func (l lonely) Addr() net.Addr            { return &net.TCPAddr{} }
func (l lonely) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return nil, errors.New("nobody is there")
}

// TestNoHeartbeatAfterClose: a heartbeat that is being handled is waited for, since it may write to the stores that are
// closed next, and a later one is turned away.
func TestNoHeartbeatAfterClose(t *testing.T) {
	tr := newTransport(lonely{make(chan struct{})}, nil, time.Second, hclog.NewNullLogger())
	begun, goOn, handled := make(chan struct{}), make(chan struct{}), 0
	tr.SetHeartbeatHandler(func(raft.RPC) {
		close(begun)
		<-goOn
		handled++
	})
	beat := func() error {
		answer := make(chan raft.RPCResponse, 1)
		(*tr.beats.handle.Load())(raft.RPC{Command: &raft.AppendEntriesRequest{}, RespChan: answer})
		select {
		case a := <-answer:
			return a.Error
		default:
			return nil
		}
	}
	go func() { _ = beat() }()
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- tr.Close() }()
	select {
	case <-closed:
		t.Fatal("closed while a heartbeat was handled")
	case <-time.After(50 * time.Millisecond): // for what must not happen there is no event
	}
	close(goOn)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := beat(); !errors.Is(err, errTransportClosed) || handled != 1 {
		t.Errorf("after the end: %v, handled %d", err, handled)
	}
}
