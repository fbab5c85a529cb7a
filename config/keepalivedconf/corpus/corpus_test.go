package corpus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/keepalivedt"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/internal/source"
)

func TestMain(m *testing.M) { lab.Main(m) }

const workers = 8

// verdict is what both say of a file.
type verdict struct {
	name         string
	theirs, ours int
	said         string // by keepalived
	problems     source.Problems
	err          error
}

// TestCorpus: Reeve answers `-t` as the real keepalived does, or it is written down why not.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d files, want at least 150 (%v)", len(files), err)
	}
	n := lab.New(t)
	h := n.Host("lb1", "10.0.0.1/24") // on eth0
	n.Attach(h, "right", "eth1", "10.1.0.1/24")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	names, verdicts := make(chan string), make(chan verdict)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for name := range names {
				verdicts <- ask(ctx, h, name)
			}
		})
	}
	go func() {
		for _, f := range files {
			names <- f
		}
		close(names)
		wg.Wait()
		close(verdicts)
	}()
	seen := map[string]bool{}
	for v := range verdicts {
		seen[v.name] = true
		judge(t, v)
	}
	for _, list := range []map[string]string{deliberate, notYet} {
		for name := range maps.Keys(list) {
			if !seen[name] {
				t.Errorf("%s is allowed to differ, but there is no such file", name)
			}
		}
	}
	t.Logf("%d files, %d of them differ on purpose, %d have words that are not supported yet",
		len(files), len(deliberate), len(notYet))
}

// judge compares the two answers.
func judge(t *testing.T, v verdict) {
	t.Helper()
	reason, ok := "", false
	for _, list := range []map[string]string{deliberate, notYet} {
		if r, is := list[v.name]; is {
			if ok {
				t.Errorf("%s is in two lists", v.name)
			}
			reason, ok = r, true
		}
	}
	var ours strings.Builder
	for _, p := range v.problems {
		fmt.Fprintf(&ours, "\n\t[%s] %s", p.Kind(), p.Error())
	}
	switch {
	case v.err != nil:
		t.Errorf("%s: %v", v.name, v.err)
	case v.theirs == v.ours && ok:
		t.Errorf("%s: both say %d: it is allowed to differ for no reason (%s)", v.name, v.ours, reason)
	case v.theirs != v.ours && !ok:
		t.Errorf("%s: keepalived says %d, Reeve %d%s\n\tkeepalived: %s", v.name, v.theirs, v.ours, ours.String(), v.said)
	}
}

// ask lets both read a file.
func ask(ctx context.Context, h *lab.Host, path string) verdict {
	v := verdict{name: strings.TrimSuffix(filepath.Base(path), ".conf")}
	p := h.Command("keepalived", "-t", "-i", "lb1", "-f", filepath.Base(path))
	p.Dir = filepath.Dir(path)
	err := p.Run(ctx)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		v.theirs = exit.ExitCode()
	case err != nil:
		v.err = fmt.Errorf("keepalived -t: %w: %s", err, p.Output())
		return v
	}
	v.said = unrepeated(p.Output())
	files, ps := config.ReadFiles([]string{path})
	if ps.HasErrors() {
		v.err = ps.Err()
		return v
	}
	files[0].Format = "keepalived"
	_, v.problems, v.ours = keepalivedt.Test(files, config.Options{ConfigID: "lb1"}, machine())
	return v
}

// machine is the host of the lab: its interfaces, the files and users of the machine it is on.
func machine() keepalivedt.Machine {
	return keepalivedt.Machine{
		Interface: func(name string) bool { return slices.Contains([]string{"lo", "eth0", "eth1"}, name) },
		User:      func(name string) error { _, err := user.Lookup(name); return err },
		Program:   func(name string) error { _, err := exec.LookPath(name); return err },
		Insecure:  script.Insecure,
	}
}

// unrepeated leaves out what another of keepalived's processes said before.
func unrepeated(text string) string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, " | ")
}

// TestNames: a file says in its first line what it shows, and its name does too.
func TestNames(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		if !strings.HasPrefix(line, "! ") || len(line) < 10 {
			t.Errorf("%s begins with %q, not with what it shows", f, line)
		}
		if other := said[line]; other != "" {
			t.Errorf("%s and %s show the same", f, other)
		}
		said[line] = f
	}
}
