package tree

import (
	"slices"
	"testing"
)

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		line  string
		argv  []string
		shell bool
	}{
		{line: "/usr/bin/pgrep -x haproxy", argv: []string{"/usr/bin/pgrep", "-x", "haproxy"}},
		{line: `/bin/sh -c 'a; b | c'`, argv: []string{"/bin/sh", "-c", "a; b | c"}},
		{line: `/bin/sh -c "a && b"`, argv: []string{"/bin/sh", "-c", "a && b"}},
		{line: `/bin/echo a\ b \"c\" 'd'"e"`, argv: []string{"/bin/echo", "a b", `"c"`, "de"}},
		{line: `/bin/echo \x41 \101 \n`, argv: []string{"/bin/echo", "A", "A", "\n"}},
		{line: `/bin/echo \cA \q "a\"b"'c\d'`, argv: []string{"/bin/echo", "\x01", "q", `a"bc\d`}},
		{line: `/bin/echo ""`, argv: []string{"/bin/echo", ""}},
		{line: `/bin/echo a=b`, argv: []string{"/bin/echo", "a=b"}},
		{line: "</dev/tcp/127.0.0.1/80", shell: true},
		{line: "a | b", shell: true},
		{line: "a; b", shell: true},
		{line: "a && b", shell: true},
		{line: "echo $HOME", shell: true},
		{line: `echo "$HOME"`, shell: true},
		{line: "echo `id`", shell: true},
		{line: "ls *.conf", shell: true},
		{line: "ls 2>/dev/null", shell: true},
		{line: "A=1 env", shell: true},
		{line: `echo '$HOME * ; |'`, argv: []string{"echo", "$HOME * ; |"}},
		{line: `echo \$HOME`, argv: []string{"echo", "$HOME"}},
	} {
		argv, shell, err := Command(c.line)
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
		}
		if !slices.Equal(argv, c.argv) || c.shell != (shell == c.line) {
			t.Errorf("%q: argv %q, shell %q; want argv %q, shell %v", c.line, argv, shell, c.argv, c.shell)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	for _, line := range []string{"", "  ", `""`, `echo "a`, `echo 'a`} {
		if argv, shell, err := Command(line); err == nil {
			t.Errorf("%q: argv %q, shell %q, want an error", line, argv, shell)
		}
	}
}

func TestSplitSaysWhere(t *testing.T) {
	parts, err := Split(`  notify "a b" 'c'd   e`)
	want := []Part{{"notify", 2}, {"a b", 9}, {"cd", 15}, {"e", 22}}
	if err != nil || !slices.Equal(parts, want) {
		t.Errorf("%v %v, want %v", parts, err, want)
	}
}
