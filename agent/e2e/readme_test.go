package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// block is one block of commands of the README: "```sh three" belongs to the example of that name, and runs in its terminal,
// or in another one if the words after the name say so.
type block struct{ example, terminal, text string }

var blockPattern = regexp.MustCompile("(?ms)^```sh (\\w+)(, another terminal)?\n(.*?)^```$")

// readme gives the blocks of one example, in order.
func readme(t *testing.T, example string) []block {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	for _, m := range blockPattern.FindAllStringSubmatch(string(text), -1) {
		if m[1] == example {
			out = append(out, block{m[1], m[2], m[3]})
		}
	}
	if len(out) == 0 {
		t.Fatalf("the README has no commands of the example %q", example)
	}
	return out
}

// reader is somebody who follows the README in a clone of the repository, on a machine of their own.
type reader struct {
	t         *testing.T
	lab       *lab.Test
	box       *lab.Host
	dir       string
	terminals map[string]*terminal
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, lab: lab.New(t), dir: t.TempDir(), terminals: map[string]*terminal{}}
	r.box = r.lab.Host("box", "10.77.0.1/24")
	for _, name := range []string{"go.mod", "go.sum", "examples"} {
		if out, err := exec.Command("cp", "-r", "../../"+name, r.dir).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %s", name, out)
		}
	}
	r.lab.Must(os.Mkdir(filepath.Join(r.dir, "bin"), 0o755), os.Symlink(lab.Program(), filepath.Join(r.dir, "bin", "reeve")))
	return r
}

// terminal is a shell that commands are typed into.
type terminal struct {
	t     *testing.T
	shell *lab.Process
	keys  *os.File
	marks int
}

func (r *reader) terminal(name string) *terminal {
	r.t.Helper()
	if t := r.terminals[name]; t != nil {
		return t
	}
	out, in, err := os.Pipe()
	r.lab.Must(err)
	t := &terminal{t: r.t, keys: in, shell: r.box.Command("bash")}
	t.shell.Dir, t.shell.Stdin = r.dir, out
	r.lab.StartProcess(t.shell)
	r.t.Cleanup(func() { in.Close(); out.Close() })
	r.terminals[name] = t
	return t
}

// typed types commands, as they stand, and gives what they print until all that is not in the background has ended.
func (t *terminal) typed(ctx context.Context, text string) (string, error) {
	before := len(t.shell.Output())
	t.marks++
	mark := fmt.Sprintf("all typed so far is done %d", t.marks)
	if _, err := fmt.Fprintf(t.keys, "%s\necho %s\n", text, mark); err != nil {
		return "", err
	}
	err := t.shell.AwaitOutput(ctx, mark)
	return t.shell.Output()[before:], err
}

// until types a block again and again, as people do who were faster than what they started, until the answer has all
// that it should.
func (t *terminal) until(text string, want ...string) string {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for {
		out, err := t.typed(ctx, text)
		if err == nil {
			missing := ""
			for _, w := range want {
				if !regexp.MustCompile(w).MatchString(out) {
					missing = w
				}
			}
			if missing == "" {
				return out
			}
			err = fmt.Errorf("nothing in it is like %q", missing)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			t.t.Fatalf("%v:\n%s\nprinted:\n%s", err, text, out)
		}
	}
}

// TestReadmeFirst: the two lines of the first example serve it, and its two servers answer in turn.
func TestReadmeFirst(t *testing.T) {
	r := newReader(t)
	blocks := readme(t, "first")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	first := r.terminal("")
	if _, err := fmt.Fprintln(first.keys, blocks[0].text); err != nil { // the agent stays in the foreground: no end to wait for
		t.Fatal(err)
	}
	out := r.terminal(blocks[1].terminal).until(blocks[1].text,
		`I am server one\. You are 127\.0\.0\.1\.`, `I am server two\. You are 127\.0\.0\.1\.`, `(?m)^agent:$`)
	if strings.Count(out, "I am server") != 2 {
		t.Errorf("two questions got\n%s", out)
	}
	// The README goes on: change the file and say reload.
	file := filepath.Join(r.dir, "examples/first/haproxy.cfg")
	text, err := os.ReadFile(file)
	r.lab.Must(err, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "127.0.0.1:8080", "127.0.0.1:8090")), 0o644))
	out, err = r.terminal("another").typed(ctx, "./bin/reeve reload && curl -sS http://127.0.0.1:8090/")
	if err != nil || !strings.Contains(out, "Reloaded.") || !strings.Contains(out, "I am server") {
		t.Errorf("reload: %v\n%s", err, out)
	}
	r.ends()
}

// TestReadmeThree: three agents on 127.0.0.2 to .4 find each other, what is applied on one is served by all, and the
// answers of two nodes come from one server.
func TestReadmeThree(t *testing.T) {
	r := newReader(t)
	blocks := readme(t, "three")
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	term := r.terminal("")
	if _, err := term.typed(ctx, blocks[0].text); err != nil {
		t.Fatalf("%v: %s", err, term.shell.Output())
	}
	// Who types is slower than `go run`: the servers are there before the proxies ask for them.
	term.until(`curl -s http://127.0.0.1:8081/ http://127.0.0.1:8082/`, `server one`, `server two`)
	term.until(`./bin/reeve members -http-addr 127.0.0.3:7500`, `lb1 .*alive`, `lb2 .*alive`, `lb3 .*alive`)
	term.until(`./bin/reeve info -http-addr 127.0.0.4:7500`, `leader = lb[123]`)
	out, err := term.typed(ctx, blocks[1].text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`lb1 runs version 1 `, `lb2 runs version 1 `, `lb3 runs version 1 `, `==> Version 1 is in force`} {
		if !strings.Contains(out, want) {
			t.Fatalf("%q is not in\n%s", want, out)
		}
	}
	who := regexp.MustCompile(`I am server (one|two)\.`)
	first := who.FindString(out)
	out = term.until(blocks[2].text, `127\.0\.0\.1 +(one|two) `, `1 \*? +.*site\.hcl`, `lb1 .*true`, `lb2 .*true`, `lb3 .*true`)
	if second := who.FindString(out); first == "" || first != second {
		t.Errorf("one node answers %q, another %q:\n%s", first, second, out)
	}

	// A change given to another node reaches all three too.
	out, err = term.typed(ctx, `sed 's/:8080"/:8090"/' examples/three/site.hcl | ./bin/reeve apply -http-addr 127.0.0.2:7500 -`)
	if err != nil || !strings.Contains(out, "==> Version 2 is in force") {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	for n := 2; n <= 4; n++ {
		term.until(fmt.Sprintf("curl -sS http://127.0.0.%d:8090/; curl -sS http://127.0.0.%d:8080/", n, n), `I am server`, `(?i)connect`)
	}
	if _, err := term.typed(ctx, "kill $(jobs -p); wait"); err != nil {
		t.Errorf("the agents do not end: %v", err)
	}
	r.ends()
}

// ends closes the terminals and wants that nothing of the README lives on.
func (r *reader) ends() {
	r.t.Helper()
	for _, t := range r.terminals {
		t.keys.Close()
	}
	for _, t := range r.terminals {
		_ = t.shell.SignalGroup(syscall.SIGINT) // ^C
		<-t.shell.Done()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := r.box.Pids()
		if err == nil && len(pids) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("processes %v outlive the README (%v)", pids, errors.Join(err, ctx.Err()))
		}
	}
}

// TestReadmeAgentFile: the agent's file, as the README and the site print it, is one that the program takes.
func TestReadmeAgentFile(t *testing.T) {
	fence := regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$")
	for _, page := range []string{"../../README.md", "../../website/guide/machines.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		m := fence.FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s has no file", page)
		}
		key, err := exec.CommandContext(t.Context(), lab.Program(), "keygen").Output()
		if err != nil {
			t.Fatal(err)
		}
		filled := strings.Replace(string(m[1]), "PASTE THE KEY HERE", strings.TrimSpace(string(key)), 1)
		path := filepath.Join(t.TempDir(), "agent.hcl")
		if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), lab.Program(), "validate", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", page, err, out)
		}
	}
}
