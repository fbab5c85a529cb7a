package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/cluster/tables"
	"github.com/reeve-lb/reeve/internal/source"
)

// change makes a change of TLS on a node, and fails the test if any of the nodes does not serve so.
func change(t *testing.T, n *testNode, c TLSChange) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	reports, err := n.ChangeTLS(ctx, c)
	if err != nil {
		t.Fatalf("on %s: %v", n.conf.Name, err)
	}
	for _, r := range reports {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Node, r.Error)
		}
	}
}

func certificate(name, pem string) TLSChange {
	return TLSChange{Put: &Certificate{Name: name, PEM: Secret(pem)}}
}

func ticketKey(k string) TLSChange { return TLSChange{TicketKeys: []Secret{Secret(k)}} }

func follower(t *testing.T, nodes []*testNode) *testNode {
	return without(nodes, leaderOf(t, nodes...))[0]
}

// TestCertificatesReachEveryNode: whoever is asked, and when the answer is there all serve so.
func TestCertificatesReachEveryNode(t *testing.T) {
	nodes := testCluster(t, 3)
	leaderOf(t, nodes...)
	for i, n := range nodes {
		pem, key := fmt.Sprint("certificate ", i), fmt.Sprint("key ", i)
		change(t, n, certificate("/a.pem", pem))
		change(t, n, ticketKey(key))
		for _, m := range nodes {
			m.app.mu.Lock()
			if p, k := m.app.serves("/a.pem"); p != pem || k != key {
				t.Errorf("%s serves %q and %q after the answer, want %q and %q", m.conf.Name, p, k, pem, key)
			}
			m.app.mu.Unlock()
		}
	}
	change(t, follower(t, nodes), TLSChange{Remove: "/a.pem"})
	for _, m := range nodes {
		m.app.mu.Lock()
		if p, k := m.app.serves("/a.pem"); p != "" || k != "key 2" {
			t.Errorf("%s serves %q and %q after it was taken back", m.conf.Name, p, k)
		}
		m.app.mu.Unlock()
	}
	for _, n := range nodes {
		if _, err := n.ChangeTLS(t.Context(), TLSChange{Remove: "/a.pem"}); !errors.Is(err, ErrNotSet) {
			t.Errorf("%s: taken back twice: %v", n.conf.Name, err)
		}
		if _, err := n.ChangeTLS(t.Context(), TLSChange{}); err == nil {
			t.Errorf("%s: no change is a change", n.conf.Name)
		}
	}
}

// TestNodeThatCannotServeRefusesForAll: nothing changes anywhere; what it finds out later is in its report.
func TestNodeThatCannotServeRefusesForAll(t *testing.T) {
	nodes := testCluster(t, 3)
	other := follower(t, nodes)
	change(t, nodes[0], certificate("/a.pem", "one"))
	other.app.mu.Lock()
	other.app.refuse.Errorf(source.Pos{}, "", "the key is not the certificate's")
	other.app.mu.Unlock()
	for _, n := range nodes {
		_, err := n.ChangeTLS(t.Context(), certificate("/a.pem", "PRIVATE two"))
		if re, ok := errors.AsType[*RefusedError](err); !ok || len(re.Nodes) != 1 || re.Nodes[0].Node != other.conf.Name {
			t.Errorf("%s: %v", n.conf.Name, err)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("the refusal tells the key: %v", err)
		}
		if now := n.TLS(); string(now.Certificates[0].PEM) != "one" {
			t.Errorf("%s has changed after a refusal", n.conf.Name)
		}
	}
	other.app.mu.Lock()
	other.app.refuse, other.app.cant = nil, "no such file"
	other.app.mu.Unlock()
	reports, err := nodes[0].ChangeTLS(t.Context(), certificate("/a.pem", "two"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		if (r.Error == "no such file") != (r.Node == other.conf.Name) {
			t.Errorf("report %+v", r)
		}
	}
}

// TestTicketKeysAreRenewed: once a key was set the leader makes new ones, on every node, also after another one leads; what
// the key before it sealed still opens.
func TestTicketKeysAreRenewed(t *testing.T) {
	const age = 2 * time.Second
	nodes := testCluster(t, 3, func(c *Config, _ *testApp) { c.TicketKeyAge = age })
	leader := leaderOf(t, nodes...)
	change(t, nodes[0], certificate("/a.pem", "one"))
	change(t, nodes[1], ticketKey("0123456789abcdef"))
	set := time.Now()
	// renewed waits until a node was told of a key that came before this one.
	renewed := func(n *testNode, was string) {
		t.Helper()
		n.app.until(t, "a new ticket key on "+n.conf.Name, func() bool {
			return slices.ContainsFunc(n.app.secrets, func(told TLS) bool {
				return len(told.TicketKeys) > 1 && string(told.TicketKeys[1].Key) == was && len(told.TicketKeys[0].Key) == len(was)
			})
		})
	}
	renewed(leader, "0123456789abcdef")
	if took := time.Since(set); took < age/2 {
		t.Errorf("the key was renewed after %v, want %v", took, age)
	}
	for _, n := range without(nodes, leader) {
		renewed(n, "0123456789abcdef")
	}
	leader.stop()
	next := leaderOf(t, without(nodes, leader)...)
	renewed(next, newest(next))
}

// newest is the ticket key that a node seals with.
func newest(n *testNode) string {
	n.app.mu.Lock()
	defer n.app.mu.Unlock()
	_, key := n.app.serves("/a.pem")
	return key
}

// TestCertificatesOutliveNodes: a restart of all with snapshots and without a majority, and a node that joins later.
func TestCertificatesOutliveNodes(t *testing.T) {
	nodes := testCluster(t, 3, func(c *Config, _ *testApp) { c.SnapshotLogs, c.SnapshotInterval = 8, 50*time.Millisecond })
	leaderOf(t, nodes...)
	apply(t, nodes[0], "configuration")
	change(t, nodes[0], certificate("/a.pem", "old"))
	change(t, nodes[1], certificate("/a.pem", "PRIVATE new"))
	change(t, nodes[2], ticketKey("PRIVATE key"))
	for i := range 20 { // beyond a snapshot
		n := nodes[i%3]
		k := tables.Key{Table: "web", Key: fmt.Sprint(i)}
		n.Tables().Offer([]tables.Binding{{Key: k, Server: "s", Expire: time.Hour}})
		n.app.until(t, "entry "+k.Key, func() bool { return n.app.entries[k] == "s" })
	}
	eventually(t, "a snapshot with the certificate", nodes, func() bool {
		files, _ := filepath.Glob(filepath.Join(nodes[0].conf.DataDir, "raft/snapshots/*/state.bin"))
		return slices.ContainsFunc(files, func(f string) bool {
			content, _ := os.ReadFile(f)
			return strings.Contains(string(content), "PRIVATE new")
		})
	})
	found := map[string]bool{}
	for _, n := range nodes {
		n.stop()
		onlyForTheOwner(t, n.conf.DataDir, found)
	}
	if !found["state.bin"] || !found["tls.json"] {
		t.Errorf("keys were found in %v", found)
	}
	alone := nodes[0].again(t) // the two others are gone: no leader, no log
	alone.app.until(t, "the last certificates without a majority", func() bool {
		pem, key := alone.app.serves("/a.pem")
		return pem == "PRIVATE new" && key == "PRIVATE key" && len(alone.app.versions) > 0
	})
	alone.app.mu.Lock()
	if alone.app.order[0] != "tls" {
		t.Errorf("told of %v: a configuration may need the certificates", alone.app.order)
	}
	alone.app.mu.Unlock()
	nodes[0], nodes[1], nodes[2] = alone, nodes[1].again(t), nodes[2].again(t)
	leaderOf(t, nodes...)
	conf := testConfig("lb4", takeIP())
	conf.RetryJoin, conf.DataDir = []string{nodes[0].conf.Bind.String()}, t.TempDir()
	late := start(t, conf, &testApp{})
	for _, n := range append(nodes, late) {
		n.app.until(t, "the certificates on "+n.conf.Name, func() bool {
			pem, key := n.app.serves("/a.pem")
			return pem == "PRIVATE new" && key == "PRIVATE key"
		})
		n.app.mu.Lock()
		for _, told := range n.app.secrets {
			if told.Index < n.app.secrets[0].Index {
				t.Errorf("%s went back from %d to %d", n.conf.Name, n.app.secrets[0].Index, told.Index)
			}
		}
		n.app.mu.Unlock()
	}
	change(t, late, certificate("/a.pem", "newest"))
}

// onlyForTheOwner looks whether others could read a file that has a private key in it, and notes the names of those files.
func onlyForTheOwner(t *testing.T, dir string, found map[string]bool) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		log := d.Name() == "raft.db"                                                                                                 // it may have been cut after the snapshot
		if err != nil || !log && !strings.Contains(string(content), "PRIVATE") && !strings.Contains(string(content), "UFJJVkFURS") { // in base64
			return err
		}
		found[d.Name()] = true
		if st, err := d.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", path, st.Mode(), err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
