package cluster

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/cluster/raftnode"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// logBuffer collects what nodes log.
type logBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{}
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
	return l.b.Write(p)
}

func (l *logBuffer) logger(name string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Info, Output: l})
}

// await waits for a line with all of the words and returns it.
func (l *logBuffer) await(t *testing.T, words ...string) string {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		l.mu.Lock()
		text := l.b.String()
		if l.news == nil {
			l.news = make(chan struct{})
		}
		news := l.news
		l.mu.Unlock()
	lines:
		for line := range strings.Lines(text) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return line
		}
		select {
		case <-news:
		case <-deadline:
			t.Fatalf("no line with %q in:\n%s", words, text)
		}
	}
}

func (l *logBuffer) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), word)
}

func TestWrongKeyIsRefusedByAddress(t *testing.T) {
	logs := &logBuffer{}
	one := testConfig("lb1", takeIP())
	one.BootstrapExpect, one.Logger = 1, logs.logger("lb1")
	in := start(t, one, &testApp{})
	leaderOf(t, in)

	strange := testConfig("lb2", takeIP())
	strange.Key = []byte("ffffffffffffffffffffffffffffffff")
	strange.RetryJoin = []string{one.Bind.String()}
	mine := &logBuffer{}
	strange.Logger = mine.logger("lb2")
	out := start(t, strange, &testApp{})
	logs.await(t, "refused gossip of another cluster key", "address=127.")

	_, err := out.Join(t.Context(), []string{one.Bind.String()})
	if err == nil || !strings.Contains(err.Error(), one.Bind.String()) || !strings.Contains(err.Error(), "another cluster key") {
		t.Errorf("Join with a wrong key: %v", err)
	}
	// The common port refuses too, both ways, and says so once for many tries.
	for range 5 {
		_, err = out.mux.Call(t.Context(), mux.Target{Addr: in.Info().RPC.String()}, methodStatus, []byte("{}"))
		if !errors.Is(err, mux.ErrWrongKey) {
			t.Fatalf("call with a wrong key: %v", err)
		}
	}
	logs.await(t, "refused a connection to the cluster port", "address="+strange.Bind.String(), "another cluster key")
	if n := logs.count("refused a connection to the cluster port"); n != 1 {
		t.Errorf("%d lines for one stranger", n)
	}
	if ms := in.Members(); len(ms) != 1 {
		t.Errorf("members %+v", ms)
	}
}

func TestNodeOfAnotherClusterIsRefusedByName(t *testing.T) {
	logs := &logBuffer{}
	one := testConfig("lb1", takeIP())
	one.BootstrapExpect, one.Logger = 1, logs.logger("lb1")
	in := start(t, one, &testApp{})
	other := testConfig("stranger", takeIP())
	other.ClusterID = "elsewhere"
	out := start(t, other, &testApp{})
	if _, err := out.Join(t.Context(), []string{one.Bind.String()}); err == nil || !strings.Contains(err.Error(), "node lb1") || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("Join of another cluster: %v", err)
	}
	logs.await(t, "refused a node", "node=stranger", "another cluster")
	if n := len(in.Members()) + len(out.Members()); n != 2 {
		t.Errorf("they see each other: %+v %+v", in.Members(), out.Members())
	}
}

func TestSecondNodeOfANameIsRefused(t *testing.T) {
	logs := &logBuffer{}
	nodes := testCluster(t, 3, func(c *Config, _ *testApp) { c.Logger = logs.logger(c.Name) })
	leaderOf(t, nodes...)
	conf := testConfig("lb2", takeIP())
	conf.DataDir, conf.RetryJoin = t.TempDir(), []string{nodes[0].conf.Bind.String()}
	c, err := New(conf, &testApp{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	err = c.Run(ctx)
	if !errors.Is(err, ErrNameTaken) || !strings.Contains(err.Error(), "lb2") || !strings.Contains(err.Error(), nodes[1].conf.Bind.String()) {
		t.Errorf("the second lb2 ended with: %v", err)
	}
	logs.await(t, "refused a node", "node=lb2", "is taken")
	if _, reports := apply(t, nodes[1], "one"); len(reports) != 3 {
		t.Errorf("the first lb2 suffered: %+v", reports)
	}
	eventually(t, "the first lb2 alive everywhere", nodes, func() bool {
		for _, n := range nodes {
			for _, m := range n.Members() {
				if m.Name == "lb2" && (m.ID != nodes[1].ID() || m.Status != StatusAlive) {
					return false
				}
			}
		}
		return true
	})
}

func TestDataDirInUse(t *testing.T) {
	conf := testConfig("lb1", takeIP())
	conf.DataDir, conf.BootstrapExpect = t.TempDir(), 1
	start(t, conf, &testApp{})
	_, err := New(conf, &testApp{})
	if !errors.Is(err, raftnode.ErrInUse) || !strings.Contains(err.Error(), conf.DataDir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("second agent on a data_dir: %v", err)
	}
}

func TestDamagedStoreIsNeverEmptied(t *testing.T) {
	damage := map[string]func(t *testing.T, db string){
		"truncated": func(t *testing.T, db string) { must(t, os.Truncate(db, 9000)) },
		"emptied":   func(t *testing.T, db string) { must(t, os.Truncate(db, 0)) },
		"gone":      func(t *testing.T, db string) { must(t, os.Remove(db)) },
		"zeroed": func(t *testing.T, db string) {
			overwrite(t, db, func(b []byte) { clear(b[:min(len(b), 16384)]) })
		},
		"scribbled": func(t *testing.T, db string) {
			overwrite(t, db, func(b []byte) {
				for i := 8192; i < len(b); i++ {
					b[i] = byte(i * 7)
				}
			})
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			conf := testConfig("lb1", takeIP())
			conf.DataDir, conf.BootstrapExpect = t.TempDir(), 1
			n := start(t, conf, &testApp{})
			leaderOf(t, n)
			for range 5 {
				apply(t, n, strings.Repeat("x", 3000))
			}
			n.stop()
			db := filepath.Join(conf.DataDir, "raft", "raft.db")
			do(t, db)
			before, _ := os.ReadFile(db)
			c, err := New(conf, &testApp{})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Run(t.Context())
			if !errors.Is(err, raftnode.ErrCorrupt) || !strings.Contains(err.Error(), conf.DataDir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line that names the path", err)
			}
			t.Log(err)
			if after, _ := os.ReadFile(db); !bytes.Equal(before, after) {
				t.Errorf("the damaged file of %d bytes was changed to one of %d", len(before), len(after))
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, file string, f func([]byte)) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	f(b)
	must(t, os.WriteFile(file, b, 0o600))
}

func TestDamagedSnapshotIsAnError(t *testing.T) {
	conf := testConfig("lb1", takeIP())
	conf.DataDir, conf.BootstrapExpect = t.TempDir(), 1
	conf.SnapshotLogs, conf.SnapshotInterval = 4, 20*time.Millisecond
	n := start(t, conf, &testApp{})
	leaderOf(t, n)
	pattern := filepath.Join(conf.DataDir, "raft", "snapshots", "*-*", "state.bin")
	var states []string
	eventually(t, "a snapshot", []*testNode{n}, func() bool {
		apply(t, n, "x")
		states, _ = filepath.Glob(pattern)
		return len(states) > 0
	})
	n.stop()
	states, _ = filepath.Glob(pattern)
	for _, s := range states {
		overwrite(t, s, func(b []byte) { b[len(b)-2] ^= 0xff })
	}
	c, err := New(conf, &testApp{})
	must(t, err)
	if err := c.Run(t.Context()); !errors.Is(err, raftnode.ErrCorrupt) || !strings.Contains(err.Error(), "snapshot") {
		t.Errorf("got %v", err)
	}
}

func TestDataDirThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/reeve"} {
		conf := testConfig("lb1", takeIP())
		conf.DataDir = dir
		_, err := New(conf, &testApp{})
		if err == nil || !strings.Contains(err.Error(), "data_dir") || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line", dir, err)
		}
	}
}

func TestPortTakenIsAnError(t *testing.T) {
	conf := testConfig("lb1", takeIP())
	start(t, conf, &testApp{})
	conf.Name = "lb2"
	for _, change := range []func(*Config){func(*Config) {}, func(c *Config) { c.RPCPort = -1 }} {
		change(&conf)
		c, err := New(conf, &testApp{})
		must(t, err)
		if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("got %v", err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	good := testConfig("lb1", takeIP())
	for want, change := range map[string]func(*Config){
		"no name":     func(c *Config) { c.Name = "" },
		"has 5 bytes": func(c *Config) { c.Key = []byte("short") },
		"is negative": func(c *Config) { c.BootstrapExpect = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c, &testApp{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
