package keepalivedconf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// expanded is what the lines of a file stand for, and the problems on the way.
func expanded(t *testing.T, content string, opts Options) (string, string) {
	t.Helper()
	var ps source.Problems
	var out, told []string
	for _, l := range expandFile("k.conf", []byte(content), opts, &ps) {
		out = append(out, l.s)
		if p := l.pos(0); p.Line < 1 || p.Col < 1 {
			t.Errorf("%q is at %v", l.s, p)
		}
	}
	for _, p := range ps {
		told = append(told, p.Error())
	}
	return strings.Join(out, "|"), strings.Join(told, "\n")
}

// TestExpansion: every row was tried on keepalived 2.2.7 with words that it does not know, which it echoes.
func TestExpansion(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"comments", " a ! x\n# y\nb \"!#\" # c\n\nc\r\n", `a|b "!#"|c`},
		{"a comment ends at the end of its line", "# c \\\nfrob", "frob"},
		{"one word", "$A=one two\nx $A y", "x one two y"},
		{"braces", "$A=1\nf${A}x \"${A}\"", `f1x "1"`},
		{"where a bare name ends", "$A=1\n$A, $A) $A.y $A/b $A-z $A\"x\" $Ax $A", `1, 1) $A.y $A/b $A-z $A"x" $Ax 1`},
		{"unknown names stay", "$NOPE ${NOPE} $1", "$NOPE ${NOPE} $1"},
		{"no blank before =", "$A = 4", "$A = 4"},
		{"blanks around the value", "  $A=  spaced   out  ! comment\nx[${A}]", "x[spaced   out]"},
		{"empty", "$A=\nx${A}y\n$A", "xy"},
		{"lazy", "$B=a $A\n$A=1\n$B\n$A=2\n$B", "a 1|a 2"},
		{"the last definition counts", "$A=1\n$A=2\nf$A", "f2"},
		{"several lines", "$M=vrrp_script m \\\n { \\\n  interval 1\n\n$M\n}", "vrrp_script m|{|interval 1|}"},
		{"text around several lines", "$M=a \\\nb\npre $M post", "pre a|b post"},
		{"a comment inside", "$M=\\\na \\\n # comment \\\nb # c \\\n\nd\n$M", "d|a|b"},
		{"a definition inside", "$M=a \\\n$K=5\nb\n$M\n$K", "b|a|5"},
		{"a blank after the backslash", "$N=one \\ \ntwo\nx\n$N", "x|one|two"},
		{"predefined", "f${_BANG}z\n\"f${_HASH}z\"\n${_RANDOM 7 7}\n$_INSTANCE", `f|"f#z"|7|I9`},
		{"condition", "@lb1 a\n@^lb1 b\n@lb2 c\n@^lb2 d\n@lb1\n@ e\n@lb1f g", "a|d"},
		{"a condition only once a line", "@lb1 @lb2 a", "@lb2 a"},
		{"a condition in a value", "$J=@lb1 i\n$J\n$K=@lb2 j\n$K", "i"},
		{"a conditional definition", "@lb1 $A=1\n@lb2 $A=2\n$A", "1"},
		{"a false condition drops one line alone", "@lb2 global_defs {\nrouter_id x\n}", "router_id x|}"},
		{"SEQ", "~SEQ(i, 1, 3) f_${i}", "f_1|f_2|f_3"},
		{"SEQ down", "~SEQ(i,3,1) f$i", "f3|f2|f1"},
		{"SEQ with a step", "~SEQ(i, 1, 2, 6) f$i\n~SEQ(i, 6, -2, 1) g$i", "f1|f3|f5|g6|g4|g2"},
		{"SEQx", "~SEQx(i, 8, 0x11) f$i", "f8|f9|fa|fb|fc|fd|fe|ff|f10|f11"},
		{"SEQ to a variable", "$S=2\n~SEQ(i,1,$S) f$i\n~SEQ(i,1,${S}) g$i", "f1|f2|g1|g2"},
		{"SEQ of negative numbers", "~SEQ(i,-1,1) f$i", "f-1|f0|f1"},
		{"SEQ in SEQ", "~SEQ(i,1,2) ~SEQ(j,1,2)f${i}_$j", "f1_1|f1_2|f2_1|f2_2"},
		{"SEQ in a value", "$T=~SEQ(i,1,2) w${i}\n$T", "w1|w2"},
		{"SEQ defines", "~SEQ(i,1,2) $V${i}=z$i\n~SEQ(i,1,2)\nf$i", "f2"},
		{"SEQ of several lines", "$M=a$X \\\nb$X\n~SEQ(X,1,2) $M", "a1|b1|a2|b2"},
		{"SEQ of a condition", "~SEQ(i,1,2) @lb1 f$i", "f1|f2"},
		{"LST", "~LST(i, a, b,) f_${i}", "f_a|f_b|f_"},
		{"tuples", "~LST({a,b},{1,2},{3}, 4) f${a}_$b", "f1_2|f3_|f4_"},
		{"LST in SEQ", "~LST(i,a,b) ~SEQ(j,1,2) f${i}$j", "fa1|fa2|fb1|fb2"},
	} {
		got, ps := expanded(t, c.in, Options{ConfigID: "lb1", Instance: "I9"})
		if c.name == "SEQ defines" {
			got = strings.TrimPrefix(got, "$V1=z1|$V2=z2|") // "$V1=" is a definition only after the expansion
		}
		if got != c.want || ps != "" {
			t.Errorf("%s: %q %s\nwant %q", c.name, got, ps, c.want)
		}
	}
}

// TestDefaultConfigID: @ID compares with the host's name up to the first dot.
func TestDefaultConfigID(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ = strings.Cut(name, ".")
	if got, ps := expanded(t, "@"+name+" a\n@^"+name+" b\n", Options{}); got != "a" || ps != "" {
		t.Errorf("%q %s", got, ps)
	}
}

func TestExpansionProblems(t *testing.T) {
	for in, want := range map[string]string{
		"~SEQ(i) f":                  "k.conf:1:1: error: '~SEQ(i)' is no repetition (~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...))",
		"~SEQ(i,a,b) f":              "k.conf:1:1: error: '~SEQ(i,a,b)' is no repetition (~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...))",
		"~SEQ(i,1,0,3) f":            "k.conf:1:1: error: '~SEQ(i,1,0,3)' is no repetition (~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...))",
		"~SEQX(i,1,3) f":             "k.conf:1:1: error: '~SEQX(i,1,3)' is no repetition (~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...))",
		"~LST(i,a b) f":              "k.conf:1:1: error: '~LST(i,a b)' is no repetition (~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...))",
		"~LST({a,b},{1,2,3}) f":      "k.conf:1:1: error: '~LST({a,b},{1,2,3})' is no repetition (~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...))",
		"~SEQ(i,1,2 f":               "k.conf:1:1: error: '~SEQ(i,1,2' has no parentheses (~SEQ(NAME, FIRST, LAST) or ~LST(NAME, VALUE, ...))",
		" router_id \"a":             "k.conf:1:12: error: unmatched quote",
		"$A=x $A\n$A":                "k.conf:2:1: error: variables refer to each other in a circle, or too deep",
		"$A=x ${B}\n$B=y ${A}\nf $A": "k.conf:3:1: error: variables refer to each other in a circle, or too deep",
	} {
		if _, got := expanded(t, in, Options{}); got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	}
}

// TestBombs: what would never end, or would fill the memory, costs one error and little time.
func TestBombs(t *testing.T) {
	double := "$A0=0123456789\n"
	for i := range 30 {
		double += fmt.Sprintf("$A%d=${A%d}${A%d}\n", i+1, i, i)
	}
	lines := "$L0=a \\\nb\n"
	for i := range 25 {
		lines += fmt.Sprintf("$L%d=${L%d} \\\n${L%d}\n", i+1, i, i)
	}
	nested := strings.Repeat("~SEQ(i,1,100) ", 10) + "x"
	for name, in := range map[string]string{
		"a sequence of millions":       "~SEQ(i,1,2000000000) x$i",
		"sequences in sequences":       nested,
		"sequences of nothing":         strings.Repeat("~SEQ(i,1,100) ", 10) + "@nobody x",
		"sequences of definitions":     strings.Repeat("~SEQ(i,1,100) ", 10) + "$x=1",
		"a value that doubles":         double + "x ${A30}",
		"lines that double":            lines + "$L25",
		"a sequence of doubled values": double + "~SEQ(i,1,10000) ${A12}",
		"sequences deeper than deep":   strings.Repeat("~SEQ(i,1,1) ", 100) + "x",
	} {
		begin := time.Now()
		_, ps := Read("k.conf", []byte(in), Options{})
		n := 0
		for _, p := range ps {
			if !strings.Contains(p.Text, "unknown keyword") && !strings.Contains(p.Text, "too many mistakes") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %d errors, want one of the bomb", name, n)
		}
		if d := time.Since(begin); d > 15*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

// TestWhereTextCameFrom: the place of a word is the line that uses it, by way of the line that defines it.
func TestWhereTextCameFrom(t *testing.T) {
	const file = "$IF=eth0\n$M=frob1 \\\n  x ${IF}\n\n a ${IF} b\n$M c\n~SEQ(i,1,1)  d$i e\n"
	var ps source.Problems
	type at struct {
		word, pos, via string
	}
	var got []at
	for _, l := range expandFile("k.conf", []byte(file), Options{}, &ps) {
		ws, _ := split(l)
		for _, w := range ws {
			got = append(got, at{w.Text, fmt.Sprintf("%d:%d", w.Pos.Line, w.Pos.Col), w.Pos.Via})
		}
	}
	want := []at{
		{"a", "5:2", ""}, {"eth0", "5:4", "k.conf:1"}, {"b", "5:10", ""},
		{"frob1", "6:1", "k.conf:2"}, {"x", "6:1", "k.conf:3"}, {"eth0", "6:1", "k.conf:1"}, {"c", "6:4", ""},
		{"d1", "7:14", ""}, {"e", "7:18", ""},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(ps) > 0 {
		t.Errorf("%v %v\nwant %v", got, ps, want)
	}
}

// write makes files below a directory.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".x.conf") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"d/b.conf": "b1\nb2", "d/a.conf": "a", "d/run.x.conf": "never", "d/sub/c.conf": "c ${_PWD}\ninclude ../b.conf",
		"d/def.conf": "$V=1", "open.conf": "global_defs {", "self.conf": "include self.conf\nafter", "d/part.conf": "@lb1 include sub/only.conf", "d/sub/only.conf": "only",
	})
	for _, c := range []struct{ name, in, want, ps string }{
		{"one", "include d/a.conf\nx", "a|x", ""},
		{"a pattern, in order, no programs", "include d/[ab]*.conf", "a|b1|b2", ""},
		{"relative to the including file", "include d/sub/c.conf", "c DIR/d/sub|b1|b2", ""},
		{"absolute", "include DIR/d/a.conf", "a", ""},
		{"braces in their order", "include d/{b,a}.conf", "b1|b2|a", ""},
		{"a variable", "$F=d/a.conf\ninclude $F", "a", ""},
		{"a repetition", "~LST(f,a,b) include d/${f}.conf", "a|b1|b2", ""},
		{"a condition", "@lb1 include d/a.conf\n@lb2 include d/b.conf\ninclude d/part.conf", "a|only", ""},
		{"inside a value", "$M=include d/a.conf \\\nx\n$M", "a|x", ""},
		{"it defines", "include d/def.conf\nx${V}", "x1", ""},
		{"missing", "include nosuch.conf\nx", "x", "m.conf:1:9: warning: no file is 'nosuch.conf' 0"},
		{"nothing fits", "include nosuch*\nx", "x", "m.conf:1:9: warning: no file is 'nosuch*' 0"},
		{"includer of a missing file", "includer nosuch", "", "m.conf:1:10: warning: no file is 'nosuch' 0"},
		{"includem", "includem nosuch", "", "m.conf:1:10: error: no file is 'nosuch' 6"},
		{"includem with a wildcard", "includem nosuch*", "", "m.conf:1:10: warning: no file is 'nosuch*' 0"},
		{"includew", "includew nosuch*", "", "m.conf:1:10: error: no file is 'nosuch*' 6"},
		{"includeb", "includeb d/{nosuch,a}.conf", "a", "m.conf:1:10: error: no file is 'd/{nosuch,a}.conf' 6"},
		{"include with braces, one there", "include d/{nosuch,a}.conf", "a", ""},
		{"includea", "includea nosuch", "", "m.conf:1:10: error: no file is 'nosuch' 6"},
		{"a directory", "include d", "", "m.conf:1:9: warning: 'd' is passed over: not a plain file without an execute bit 0"},
		{"itself", "include self.conf\nx", "after|x", "self.conf:1:9: error: 'self.conf' is included by itself (keepalived reads it again and again until it has no more files) 5"},
		{"quotes are of the name", `include "d/a.conf"`, "", `m.conf:1:9: warning: no file is '"d/a.conf"' 0`},
	} {
		in := strings.ReplaceAll(c.in, "DIR", dir)
		main := filepath.Join(dir, "m.conf")
		opts := Options{ConfigID: "lb1", Dir: "/"}
		opts.Files = Collected(Gather(main, []byte(in), Options{Dir: "/"}))
		var ps source.Problems
		var out []string
		for _, l := range expandFile(main, []byte(in), opts, &ps) {
			out = append(out, l.s)
		}
		told := ""
		for _, p := range ps {
			told += strings.ReplaceAll(fmt.Sprintf("%s %d", p.Error(), TestAnswer(source.Problems{p})), dir+"/", "")
		}
		if got := strings.Join(out, "|"); got != strings.ReplaceAll(c.want, "DIR", dir) || told != c.ps {
			t.Errorf("%s: %q %s\nwant %q %s", c.name, got, told, c.want, c.ps)
		}
	}
}

// TestBlockOverFiles: an included file may open what the including one closes; its mistakes are told with its own name.
func TestBlockOverFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"open.conf": "global_defs {\n frobnicate 1\n"})
	main, in := filepath.Join(dir, "m.conf"), []byte("include open.conf\nrouter_id x\n}\n")
	nodes, ps := Read(main, in, Options{Files: Collected(Gather(main, in, Options{}))})
	if got := outline(nodes); got != "global_defs{router_id(x)}" {
		t.Error(got)
	}
	if len(ps) != 1 || ps[0].Pos.File != filepath.Join(dir, "open.conf") || ps[0].Pos.Line != 2 {
		t.Error(ps)
	}
}

// TestManyIncludes: files that include each other without end are given up.
func TestManyIncludes(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{}
	for i := range 40 {
		files[fmt.Sprintf("f%d.conf", i)] = "include f*.conf\nx"
	}
	write(t, dir, files)
	main, in := filepath.Join(dir, "m.conf"), []byte("include f*.conf\n")
	begin := time.Now()
	_, ps := Read(main, in, Options{Files: Collected(Gather(main, in, Options{}))})
	if !ps.HasErrors() || time.Since(begin) > 10*time.Second {
		t.Errorf("%d problems after %s", len(ps), time.Since(begin))
	}
}

func TestTestAnswer(t *testing.T) {
	for _, c := range []struct {
		classes []source.Class
		want    int
	}{
		{nil, 0},
		{[]source.Class{source.ClassSilent}, 0},
		{[]source.Class{source.ClassAuto}, 5},
		{[]source.Class{source.ClassFatal, source.ClassSilent}, 5},
		{[]source.Class{source.ClassTolerated, source.ClassSecurity, source.ClassFatal}, 6},
		{[]source.Class{source.ClassInclude, source.ClassFatal}, 6},
		{[]source.Class{source.ClassSecurity, source.ClassParameter, source.ClassTolerated}, 2},
	} {
		var ps source.Problems
		for _, k := range c.classes {
			ps.Errorf(source.Pos{}, "", "x")
			ps.As(k)
		}
		if got := TestAnswer(ps); got != c.want {
			t.Errorf("%v: %d, want %d", c.classes, got, c.want)
		}
	}
}
