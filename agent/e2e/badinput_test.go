package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// refused runs the program on a host and wants it to end by itself with exit code 1 and one line that has all the words.
func refused(t *testing.T, l *lab.Test, h *lab.Host, words []string, argv ...string) {
	t.Helper()
	p := l.Start(h, append([]string{lab.Program()}, argv...)...)
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("%v runs on: %s", argv, p.Output())
	}
	if p.Err() == nil || !strings.Contains(p.Err().Error(), "exit status 1") {
		t.Errorf("ended with %v, want exit status 1", p.Err())
	}
	var said []string
	for line := range strings.Lines(p.Output()) {
		if strings.HasPrefix(line, "reeve agent: ") {
			said = append(said, line)
		}
	}
	if len(said) != 1 {
		t.Fatalf("want one line that says why, got %q in:\n%s", said, p.Output())
	}
	for _, w := range words {
		if !strings.Contains(said[0], w) {
			t.Errorf("%q does not say %q", said[0], w)
		}
	}
}

const someKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// TestStartRefused: what an agent can't start with is one line and exit 1.
func TestStartRefused(t *testing.T) {
	l := lab.New(t)
	h := l.Host("lb1", "10.77.0.1/24")
	agent := func(dir string, more ...string) []string {
		return append([]string{"agent", "-node", "lb1", "-bind", "10.77.0.1", "-data-dir", dir}, more...)
	}
	t.Run("no key", func(t *testing.T) {
		refused(t, l, h, []string{"reeve keygen"}, agent(t.TempDir())...)
	})
	t.Run("no data_dir", func(t *testing.T) {
		refused(t, l, h, []string{"data_dir", "-dev"}, "agent", "-encrypt", someKey)
	})
	t.Run("a key that is none", func(t *testing.T) {
		refused(t, l, h, []string{"reeve keygen"}, agent(t.TempDir(), "-encrypt", "hello")...)
	})
	t.Run("api off loopback without a token", func(t *testing.T) {
		refused(t, l, h, []string{"10.77.0.1:7500", "token"}, agent(t.TempDir(), "-encrypt", someKey, "-http-addr", "10.77.0.1:7500")...)
	})
	t.Run("data_dir is a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, l, h, []string{path}, agent(path, "-encrypt", someKey)...)
	})
	t.Run("full disk", func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(dir, unix.MNT_DETACH)
		filler, err := os.Create(filepath.Join(dir, "filler"))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = filler.Write(make([]byte, 4096))
		}
		filler.Close()
		refused(t, l, h, []string{dir, "no space left"}, agent(dir, "-encrypt", someKey)...)
	})
	t.Run("corrupt store", func(t *testing.T) {
		dir := t.TempDir()
		p := l.Start(h, append([]string{lab.Program()}, agent(dir, "-encrypt", someKey, "-bootstrap-expect", "1")...)...)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := p.AwaitOutput(ctx, "cluster leader"); err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		store := raftStore(t, dir)
		garbage := []byte(strings.Repeat("this is no store ", 4096))
		if err := os.WriteFile(store, garbage, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, l, h, []string{store}, agent(dir, "-encrypt", someKey, "-bootstrap-expect", "1")...)
		left, err := os.ReadFile(store)
		if err != nil || string(left) != string(garbage) {
			t.Errorf("the store was changed (%v): nobody can look at it any more", err)
		}
	})
	t.Run("data_dir in use", func(t *testing.T) {
		dir := t.TempDir()
		p := l.Start(h, append([]string{lab.Program()}, agent(dir, "-encrypt", someKey)...)...)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := p.AwaitOutput(ctx, "cluster node is up"); err != nil {
			t.Fatal(err)
		}
		refused(t, l, h, []string{dir, "in use"}, agent(dir, "-encrypt", someKey, "-http-addr", "127.0.0.1:7501")...)
	})
}

// raftStore finds the log's file.
func raftStore(t *testing.T, dir string) string {
	t.Helper()
	var found string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".db") {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no store below %s (%v)", dir, err)
	}
	return found
}

// TestPortTaken: at a start the rest runs and the holder is named; at apply the version is refused everywhere.
func TestPortTaken(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	holder, err := s.hosts["lb2"].Listen("tcp", "0.0.0.0:8088")
	s.must(err)
	defer holder.Close()
	s.write("haproxy.cfg", haproxyCfg+"\nfrontend taken\n    bind 0.0.0.0:8088\n    default_backend app\n")
	p := s.lab.Start(s.hosts["lb3"], append([]string{s.bin(), "apply"}, s.files()...)...)
	<-p.Done()
	if p.Err() == nil {
		t.Fatalf("applied: %s", p.Output())
	}
	for _, w := range []string{"node lb2", "haproxy.cfg:" + lineOf(t, s.dir, "bind 0.0.0.0:8088"), "8088", "e2e.test"} {
		if !strings.Contains(p.Output(), w) {
			t.Errorf("apply does not say %q: %s", w, p.Output())
		}
	}
	for _, n := range s.names {
		s.version(n, 1)
	}

	alone := s.lab.Start(s.hosts["lb2"], s.bin(), "agent", "-dev", "-http-addr", "127.0.0.1:7502", filepath.Join(s.dir, "haproxy.cfg"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.must(alone.AwaitOutput(ctx, "e2e.test"))
	s.must(alone.AwaitOutput(ctx, "configuration version runs"))
}

// lineOf is the number of the line of haproxy.cfg that has the text.
func lineOf(t *testing.T, dir, text string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if strings.Contains(line, text) {
			return strconv.Itoa(n)
		}
	}
	t.Fatalf("no line has %q", text)
	return ""
}

// TestInterfaces: a VIP on an interface that a node lacks refuses the version; one without carrier is said.
func TestInterfaces(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	for _, n := range s.names {
		b, err := os.ReadFile(filepath.Join(s.dir, n+".conf"))
		s.must(err)
		s.write(n+".conf", strings.Replace(string(b), "interface eth0", "interface eth7", 1))
	}
	p := s.lab.Start(s.hosts["lb1"], append([]string{s.bin(), "apply"}, s.files()...)...)
	<-p.Done()
	if p.Err() == nil || !strings.Contains(p.Output(), "eth7") || !strings.Contains(p.Output(), "lb1.conf:") {
		t.Errorf("apply of an interface that is not there: %v: %s", p.Err(), p.Output())
	}
	for _, n := range s.names {
		s.version(n, 1)
	}
	s.must(s.hosts["lb3"].Carrier(false))
	s.poll("lb3 to say that eth0 has no carrier", func(ctx context.Context) bool {
		y, err := s.api("lb3").Why(ctx, "VI_1")
		return err == nil && y.State == "FAULT" && strings.Contains(y.Cause, "eth0")
	})
}

// TestStrangers: who has another key is refused by address, a second node of a name by its name, and the cluster goes on.
func TestStrangers(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	stranger := s.lab.Host("stranger", "10.77.0.40/24")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.lab.Start(stranger, s.bin(), "agent", "-node", "lb9", "-bind", "10.77.0.40", "-data-dir", t.TempDir(), "-encrypt", someKey,
		"-retry-join", "10.77.0.1", "-http-addr", "127.0.0.1:7500")
	s.must(s.procs["lb1"].AwaitOutput(ctx, "10.77.0.40"))

	double := s.lab.Host("double", "10.77.0.41/24")
	second := s.lab.Start(double, s.bin(), "agent", "-node", "lb2", "-bind", "10.77.0.41", "-data-dir", t.TempDir(), "-encrypt", s.key,
		"-retry-join", "10.77.0.1", "-http-addr", "127.0.0.1:7500")
	s.must(second.AwaitOutput(ctx, "lb2"))
	select {
	case <-second.Done():
		if !strings.Contains(second.Output(), "name") {
			t.Errorf("the second lb2 ended without naming the reason: %s", second.Output())
		}
	case <-ctx.Done():
		t.Errorf("the second lb2 runs on: %s", second.Output())
	}
	ms, err := s.api("lb1").Members(t.Context())
	s.must(err)
	alive := 0
	for _, m := range ms {
		if m.Status == "alive" {
			alive++
		}
	}
	if alive != 3 {
		t.Errorf("%d members live, want the 3 that belong here: %+v", alive, ms)
	}
	s.owner(vip1, "lb1")
	s.neverTwo()
}
