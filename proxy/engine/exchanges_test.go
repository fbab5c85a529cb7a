package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testdata/exchanges holds raw HTTP/1 exchanges. A file has several; each begins with its name:
//
//	= name
//	set WORDS         a line of haproxy.cfg for the proxy; SERVER in it is the server's address,
//	                  SELF the section's own name
//	backend NAME LINE another backend, whose server is the same, and a line of haproxy.cfg for it
//	cache LINE        a line of a cache section, whose name is CACHE in the lines above
//	users LINE        a line of a userlist whose name is SELF
//	server WORDS      words of haproxy.cfg for its server
//	only whole        the pieces in which the bytes come are part of the exchange
//	haproxy REASON    HAProxy 2.6 does otherwise, and what (sometimes, if it depends on who is quicker)
//	a> TEXT           client a sends (clients are a and b)
//	>1 TEXT           connection 1 to the server, the first that it is given, sees just that
//	a>1 TEXT          both: the client sends and the server sees the same
//	1< TEXT           the server sends on connection 1
//	<a TEXT           client a sees just that
//	1<a TEXT          both
//	a closes          its sending side; leaves: all of it; resets: by RST (1 closes and so on: the server)
//	a ends            sees the end of its connection, and not a byte before
//	a stays           its connection goes on, and not a byte comes
//	pause 200ms       the time that passes is part of the exchange
//	refused           client a is answered 400, its connection ends, and a line is logged: PR--
//	log STATUS FLAGS  a line of the log, with its retries if there were any, and by BACKEND/SERVER if these are not the
//	                  proxy itself (whose name is x) and its server s; a line of tcplog has the STATUS tcp
//
// For rules, whose exchanges are all alike, there are short forms:
//
//	when COND         set http-request return: the answer is yes if the condition is met, and no otherwise
//	says FORMAT       set http-request return: the answer is the FORMAT
//	get TARGET LINES  client a asks for it, with these header lines besides Host: x
//	served            the server answers 200 on connection 1, client a sees that, and a line is logged: 200 ----
//	told TEXT         client a sees an answer that a rule has made, and a line is logged: 200 LR--
//
// In a TEXT | is CRLF, \r \n \t \0 \\ \xNN are bytes, \p is |, {N*TEXT} is N times TEXT, and @STATUS is Reeve's own page.
// No connection but those named is made, and no line but those named is logged.
type rawExchange struct {
	at      string // file:line
	name    string
	set     []string
	backs   []backLine
	cache   []string
	server  []string
	users   []string
	whole   bool
	differs string
	steps   []step
}

// backLine is a line of another backend.
type backLine struct{ name, words string }

// step is one line of an exchange that does something.
type step struct {
	line int
	does string // sends, sees, closes, leaves, resets, ends, stays, logs, pauses
	who  string // a, b: clients; 1, 2, ..: connections to the server
	text []byte
	page int // sees: a page of our own of that status
}

var (
	arrowLine = regexp.MustCompile(`^([ab1-9]?)([<>])([ab1-9]?)(?: (.*))?$`)
	fateLine  = regexp.MustCompile(`^([ab1-9]) (closes|leaves|resets|ends|stays)$`)
)

// readExchanges reads the whole corpus.
func readExchanges(t *testing.T) []*rawExchange {
	t.Helper()
	return readExchangesIn(t, "exchanges")
}

// readExchangesIn reads those of one directory.
func readExchangesIn(t *testing.T, dir string) (all []*rawExchange) {
	t.Helper()
	files, err := filepath.Glob("testdata/" + dir + "/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges: %v", err)
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			line = strings.TrimRight(line, "\n")
			at := fmt.Sprintf("%s:%d", filepath.Base(file), n)
			if name, ok := strings.CutPrefix(line, "= "); ok {
				if names[name] {
					t.Fatalf("%s: %q is there twice", at, name)
				}
				names[name] = true
				all = append(all, &rawExchange{at: at, name: name})
				continue
			}
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if len(all) == 0 || !all[len(all)-1].add(line, n) {
				t.Fatalf("%s: %q is not understood", at, line)
			}
		}
	}
	for _, x := range all {
		x.pages()
	}
	return all
}

// add takes in one line.
func (x *rawExchange) add(line string, n int) bool {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "set":
		x.set = append(x.set, rest)
		return true
	case "backend":
		name, words, _ := strings.Cut(rest, " ")
		x.backs = append(x.backs, backLine{name, words})
		return name != ""
	case "cache":
		x.cache = append(x.cache, rest)
		return true
	case "users":
		x.users = append(x.users, rest)
		return true
	case "server":
		x.server = append(x.server, rest)
		return true
	case "only":
		x.whole = true
		return rest == "whole"
	case "haproxy":
		x.differs = rest
		return rest != ""
	case "log":
		x.steps = append(x.steps, step{line: n, does: "logs", text: []byte(rest)})
		return true
	case "pause":
		_, err := time.ParseDuration(rest)
		x.steps = append(x.steps, step{line: n, does: "pauses", text: []byte(rest)})
		return err == nil
	case "refused":
		x.steps = append(x.steps, step{line: n, does: "sees", who: "a", page: 400}, step{line: n, does: "ends", who: "a"},
			step{line: n, does: "logs", text: []byte("400 PR--")})
		return true
	}
	if out, ok := shortForm(word, rest); ok {
		for _, l := range out {
			if !x.add(l, n) {
				return false
			}
		}
		return true
	}
	if m := fateLine.FindStringSubmatch(line); m != nil {
		x.steps = append(x.steps, step{line: n, does: m[2], who: m[1]})
		return true
	}
	m := arrowLine.FindStringSubmatch(line)
	if m == nil || m[1] == "" && m[3] == "" {
		return false
	}
	text, ok := rawText(m[4])
	if m[1] != "" {
		x.steps = append(x.steps, step{line: n, does: "sends", who: m[1], text: text})
	}
	if m[3] != "" {
		s := step{line: n, does: "sees", who: m[3], text: text}
		if status, page := strings.CutPrefix(m[4], "@"); page {
			s.page, _ = strconv.Atoi(status)
			ok = ok && s.page != 0
		}
		x.steps = append(x.steps, s)
	}
	return ok
}

// shortForm tells the lines that a line stands for.
func shortForm(word, rest string) (lines []string, ok bool) {
	const answer, ok200 = "set http-request return status 200 content-type text/plain ", "HTTP/1.1 200 OK|Content-Length: 2||ok"
	switch word {
	case "when":
		return []string{answer + "string yes if " + rest, answer + "string no"}, true
	case "says":
		return []string{answer + "lf-string " + rest}, true
	case "get":
		target, headers, _ := strings.Cut(rest, " ")
		if headers != "" {
			headers += "|"
		}
		return []string{"a> GET " + target + " HTTP/1.1|Host: x|" + headers + "|"}, true
	case "served":
		return []string{"1<a " + ok200, "log 200 ----"}, true
	case "told":
		text, _ := rawText(rest)
		return []string{fmt.Sprintf("<a HTTP/1.1 200 OK|content-length: %d|content-type: text/plain||%s", len(text), rest), "log 200 LR--"}, true
	}
	return nil, false
}

// pages fills in what our own pages look like: they tell whether the connection ends.
func (x *rawExchange) pages() {
	for i := range x.steps {
		s := &x.steps[i]
		if s.page == 0 {
			continue
		}
		page, end := errorPages[s.page], ""
		for _, later := range x.steps[i:] {
			if later.who == s.who && later.does == "ends" {
				end = "connection: close\r\n"
			}
		}
		s.text = []byte(page.head + end + "\r\n" + page.body)
	}
}

// rawText makes bytes of what a line says.
func rawText(s string) ([]byte, bool) {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '|':
			b.WriteString("\r\n")
		case c == '{':
			end := strings.IndexByte(s[i:], '}')
			count, text, ok := strings.Cut(s[i+1:max(i+end, i+1)], "*")
			n, err := strconv.Atoi(count)
			part, fine := rawText(text)
			if end < 0 || !ok || err != nil || !fine {
				return nil, false
			}
			b.Write(bytes.Repeat(part, n))
			i += end
		case c == '\\' && i+1 < len(s):
			i++
			plain, ok := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\', 'p': '|'}[s[i]]
			if s[i] == 'x' && i+2 < len(s) {
				n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
				plain, ok = byte(n), err == nil
				i += 2
			}
			if !ok {
				return nil, false
			}
			b.WriteByte(plain)
		default:
			b.WriteByte(c)
		}
	}
	return b.Bytes(), true
}

// TestExchangesCoverTheIssue counts: each class of bad input and each feature has its share.
func TestExchangesCoverTheIssue(t *testing.T) {
	per := map[string]int{}
	all := readExchanges(t)
	for _, x := range all {
		file, _, _ := strings.Cut(x.at, ":")
		per[strings.TrimSuffix(file, ".txt")]++
		for _, c := range x.clients() {
			if !x.tells(c) {
				t.Errorf("%s: %s: what becomes of %s is not told", x.at, x.name, c)
			}
		}
	}
	rules := 0
	for file, n := range per {
		if strings.HasPrefix(file, "rules_") {
			rules += n
		}
	}
	if rules < 180 || len(all)-rules < 200 {
		t.Errorf("%d exchanges of rules and %d others, want 180 and 200", rules, len(all)-rules)
	}
	for _, class := range strings.Fields("cl_te te_cl te_te cl_0 duplicate_cl chunk_sizes bare_cr_lf names absolute_form garbage") {
		if per[class] < 8 {
			t.Errorf("%d exchanges of %s, want 8", per[class], class)
		}
	}
	if per["cache"] < 12 {
		t.Errorf("%d exchanges of caches, want 12", per["cache"])
	}
	for _, feature := range strings.Fields(`keep_alive reuse pipelining chunked continue interim bodiless until_close upgrade connect http10 retry aborts
		duplex limits errorfiles timeouts hop_by_hop close_options`) {
		if per[feature] < 5 {
			t.Errorf("%d exchanges of %s, want 5", per[feature], feature)
		}
	}
	for _, words := range []string{"option http-server-close", "option httpclose", "option abortonclose", "option http-buffer-request", "retry-on", "http-reuse"} {
		n := 0
		for _, x := range all {
			if slices.ContainsFunc(x.set, func(line string) bool { return line == words || strings.HasPrefix(line, words+" ") }) {
				n++
			}
		}
		if n < 5 {
			t.Errorf("%d exchanges with %s, want 5", n, words)
		}
	}
}

// clients are those that take part.
func (x *rawExchange) clients() (out []string) {
	for _, c := range []string{"a", "b"} {
		for _, s := range x.steps {
			if s.who == c {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// tells reports whether an exchange says how a client's connection ends.
func (x *rawExchange) tells(client string) bool {
	for _, s := range x.steps {
		switch s.does {
		case "ends", "stays", "leaves", "resets":
			if s.who == client {
				return true
			}
		}
	}
	return false
}
