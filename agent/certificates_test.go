package agent

import (
	"bytes"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/cluster"
)

// TestOwnTicketKeysAreRenewed: of a node that stands alone, once one was set.
func TestOwnTicketKeysAreRenewed(t *testing.T) {
	var o ownTLS
	at := time.Unix(1e9, 0)
	if _, renewed := o.renew(at); renewed {
		t.Error("a key is made where none was set")
	}
	first, err := o.change(at, cluster.TLSChange{TicketKeys: []cluster.Secret{bytes.Repeat([]byte("k"), 32)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, renewed := o.renew(at.Add(cluster.DefaultTicketKeyAge)); renewed {
		t.Error("a key is renewed too early")
	}
	now, renewed := o.renew(at.Add(cluster.DefaultTicketKeyAge + time.Second))
	if !renewed || len(now.TicketKeys) != 2 || len(now.TicketKeys[0].Key) != 32 || !bytes.Equal(now.TicketKeys[1].Key, first.TicketKeys[0].Key) ||
		bytes.Equal(now.TicketKeys[0].Key, first.TicketKeys[0].Key) {
		t.Errorf("renewed %v: %v", renewed, now)
	}
	if _, renewed := o.renew(at.Add(cluster.DefaultTicketKeyAge + 2*time.Second)); renewed {
		t.Error("a key is renewed twice")
	}
}
