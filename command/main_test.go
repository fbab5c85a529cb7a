package command

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// beReeve makes the test binary behave as the program.
const beReeve = "REEVE_TEST_BE_REEVE"

func TestMain(m *testing.M) {
	if os.Getenv(beReeve) != "" {
		os.Exit(Main(os.Args))
	}
	goleak.VerifyTestMain(m)
}

// result is what one run of a command left behind.
type result struct {
	code     int
	out, err string
}

// run runs one subcommand in this process: words of its name, then its arguments.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return runIn(t, "", args...)
}

// runIn is run with standard input.
func runIn(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var found *leaf
	rest := args
	for _, l := range leaves() {
		if n := len(strings.Fields(l.name)); len(args) >= n && strings.Join(args[:n], " ") == l.name {
			found, rest = l, args[n:]
		}
	}
	if found == nil {
		t.Fatalf("no subcommand in %q", args)
	}
	var out, errOut bytes.Buffer
	c := &call{ctx: t.Context(), out: &out, errOut: &errOut, in: strings.NewReader(stdin)}
	code := found.main(c, rest)
	return result{code, out.String(), errOut.String()}
}

// program runs the whole program as a process of its own.
func program(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), beReeve+"=1")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// good fails the test unless the command ended well and said nothing on standard error.
func (r result) good(t *testing.T) string {
	t.Helper()
	if r.code != 0 || r.err != "" {
		t.Fatalf("exit code %d, errors %q, output %q", r.code, r.err, r.out)
	}
	return r.out
}

// bad fails the test unless the command ended with 1, left standard output alone and said each of the words.
func (r result) bad(t *testing.T, words ...string) {
	t.Helper()
	if r.code != 1 || r.out != "" {
		t.Errorf("exit code %d, output %q, want 1 and none; errors: %s", r.code, r.out, r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			t.Errorf("%q is not in %q", w, r.err)
		}
	}
}
