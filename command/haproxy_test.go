package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
)

const haproxyCfg = `defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:21980
    default_backend app
backend app
    server a 127.0.0.1:21981
`

// haproxyChecks are haproxy.cfgs with what `-c` makes of them, by the real haproxy too.
var haproxyChecks = map[string]string{
	"good":             haproxyCfg,
	"timeouts missing": "listen x\n    bind 127.0.0.1:21980\n    server a 127.0.0.1:21981\n",
	"nobody listens":   "backend app\n    timeout connect 1s\n    timeout server 1s\n    server a 127.0.0.1:21981\n",
	"unknown keyword":  haproxyCfg + "    balanse roundrobin\n",
	"weight too large": haproxyCfg + "    server b 127.0.0.1:21982 weight 257\n",
	"a slip in a line": haproxyCfg + "    server b 127.0.0.1:21982 wieght 2\n",
	"unit unknown":     strings.Replace(haproxyCfg, "client 5s", "client 5x", 1),
	"backend missing":  strings.Replace(haproxyCfg, "backend app\n    server a 127.0.0.1:21981\n", "", 1),
	"no line feed":     strings.TrimSuffix(haproxyCfg, "\n"),
	"name twice":       haproxyCfg + "    server a 127.0.0.1:21982\n",
	"out of section":   "bind 127.0.0.1:21980\n" + haproxyCfg,
	"bad port":         strings.Replace(haproxyCfg, "21980", "65536", 1),
	"balance unknown":  haproxyCfg + "    balance fastest\n",
	"quote unmatched":  haproxyCfg + "    cookie \"SRV insert\n",
	"no certificate":   strings.Replace(haproxyCfg, "bind 127.0.0.1:21980", "bind 127.0.0.1:21980 ssl crt /nonexistent/site.pem", 1),
	"no error file":    haproxyCfg + "    errorfile 503 /nonexistent/503.http\n",
	"no file of a map": haproxyCfg + "    http-request set-header X-A %[path,map(/nonexistent/a.map)]\n",
	"no ca-file":       haproxyCfg + "    server b 127.0.0.1:21982 ssl verify required ca-file /nonexistent/ca.pem\n",
	"empty":            "",
}

// TestHAProxyChecks: -c answers with the codes of the real haproxy and prints the same on standard output; mistakes are
// told in its format, with the file and the line that it names.
func TestHAProxyChecks(t *testing.T) {
	for name, text := range haproxyChecks {
		for _, flags := range [][]string{{"-c"}, {"-c", "-q"}, {"-c", "-V", "-dW"}} {
			file := filepath.Join(t.TempDir(), "haproxy.cfg")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append(flags, "-f", file)
			theirs, ours := real(t, args...), program(t, append([]string{"haproxy"}, args...)...)
			if ours.code != theirs.code || ours.out != theirs.out {
				t.Errorf("%s %q: %d %q, haproxy: %d %q\n%s\n%s", name, flags, ours.code, ours.out, theirs.code, theirs.out, ours.err, theirs.err)
			}
			for _, place := range places(theirs.err, file) {
				if !strings.Contains(ours.err, place) {
					t.Errorf("%s %q: %s is not told:\n%s\nhaproxy:\n%s", name, flags, place, ours.err, theirs.err)
				}
			}
			if (ours.err == "") != (theirs.err == "") {
				t.Errorf("%s %q: said %q, haproxy %q", name, flags, ours.err, theirs.err)
			}
		}
	}
}

// places are the "[FILE:LINE]" of haproxy's alerts.
func places(said, file string) []string {
	var out []string
	for line := range strings.Lines(said) {
		_, rest, ok := strings.Cut(line, "["+file+":")
		if number, _, closed := strings.Cut(rest, "]"); ok && closed && strings.HasPrefix(line, "[ALERT]") {
			out = append(out, "["+file+":"+number+"]")
		}
	}
	return out
}

// real runs the real haproxy.
func real(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut strings.Builder
	cmd := exec.CommandContext(t.Context(), "haproxy", args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// TestHAProxySays: the command line is haproxy's in what it answers at once.
func TestHAProxySays(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.cfg")
	if err := os.WriteFile(file, []byte(haproxyCfg), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.txt"), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{}, {"-c"}, {"-zz"}, {"-c", file}, {"-c", "--", file}, {"-c", "-f", dir}, {"-c", "-f", dir + "/none.cfg"}, {"-v"},
		{"-C", dir + "/none", "-c", "-f", file}, {"-C", dir, "-c", "-f", "a.cfg"}, {"-c", "-n", "100", "-N", "5", "-f", file},
	} {
		theirs, ours := real(t, args...), program(t, append([]string{"haproxy"}, args...)...)
		if ours.code != theirs.code {
			t.Errorf("%q: %d, haproxy: %d\n%s\n%s", args, ours.code, theirs.code, ours.err, theirs.err)
		}
	}
	if v := program(t, "haproxy", "-vv"); !strings.HasPrefix(v.out, "HAProxy version 2.6.12 ") || !strings.Contains(v.out, " -LUA ") {
		t.Errorf("-vv: %q", v.out)
	}
	for _, args := range [][]string{{"-D"}, {"-sf", "12", "13"}} {
		program(t, append(append([]string{"haproxy"}, args...), "-f", file)...).bad(t, "not supported yet")
	}
}

// TestHAProxyByName: a program called haproxy is haproxy, whatever its folder; reeve is only when told so.
func TestHAProxyByName(t *testing.T) {
	for _, argv := range [][]string{{"haproxy", "-v"}, {"/usr/sbin/haproxy", "-v"}, {"/usr/bin/reeve", "haproxy", "-v"}} {
		var out strings.Builder
		if code, ok := asHAProxy(argv, &out, io.Discard); code != 0 || !ok || !strings.HasPrefix(out.String(), "HAProxy version 2.6.12 (Reeve ") {
			t.Errorf("%q: %d, %v, %q", argv, code, ok, out.String())
		}
	}
	for _, argv := range [][]string{{"reeve"}, {"reeve", "version"}, {"/srv/haproxy/reeve", "-v"}, {"reeve", "haproxy", "-h"}} {
		if _, ok := asHAProxy(argv, io.Discard, io.Discard); ok {
			t.Errorf("%q is taken for haproxy", argv)
		}
	}
}

// running is a personality at work.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	said *bufio.Reader
	addr string
	file string
	done chan error
}

const runCfg = `global
    pidfile %s
    hard-stop-after %s
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
frontend web
    bind %s
    default_backend app
backend app
    server %s %s check inter 100
`

// start runs the personality before a server and waits until it answers.
func start(t *testing.T, hardStop string, server *httptest.Server, flags ...string) *running {
	t.Helper()
	return startBy(t, nil, hardStop, server, flags...)
}

// startBy starts it by another program, which must become it.
func startBy(t *testing.T, by []string, hardStop string, server *httptest.Server, flags ...string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{t: t, addr: fmt.Sprintf("127.0.0.1:%d", ports.Free(t, "127.0.0.1").Port()), file: filepath.Join(dir, "haproxy.cfg"), done: make(chan error, 1)}
	r.write(fmt.Sprintf(runCfg, dir+"/pid", hardStop, r.addr, "one", server.Listener.Addr()))
	argv := append(append(by, os.Args[0], "haproxy", "-db", "-f", r.file), flags...)
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Env = append(os.Environ(), beReeve+"=1")
	pipe, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.said = bufio.NewReader(pipe)
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	deadline := time.Now().Add(10 * time.Second)
	for ; time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(dir + "/pid"); err == nil && string(b) == fmt.Sprintln(r.cmd.Process.Pid) {
			return r
		}
	}
	t.Fatal("no pid file")
	return nil
}

func (r *running) write(text string) {
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// await reads what the program says until a line has the text.
func (r *running) await(text string) {
	r.t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	for {
		line, err := r.said.ReadString('\n')
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			r.t.Fatalf("%q was not said: %v", text, err)
		}
	}
}

func (r *running) signal(s syscall.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// ended waits for the end and returns the exit code.
func (r *running) ended() int {
	r.t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { r.t.Error("it does not end"); _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, r.said)
	_ = r.cmd.Wait() // the code says it
	return r.cmd.ProcessState.ExitCode()
}

// slow is a server that holds the answer to /slow until told.
func slow(t *testing.T) (s *httptest.Server, asked chan struct{}, answer chan struct{}) {
	asked, answer = make(chan struct{}, 1), make(chan struct{})
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			asked <- struct{}{}
			<-answer
		}
		fmt.Fprint(w, "hello")
	}))
	t.Cleanup(s.Close)
	return s, asked, answer
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func client(t *testing.T) *http.Client {
	tr := &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// TestHAProxySoftStop: USR1 lets the request that is under way end and takes no more.
func TestHAProxySoftStop(t *testing.T) {
	server, asked, answer := slow(t)
	r, c := start(t, "20s", server), client(t)
	type reply struct {
		body string
		err  error
	}
	got := make(chan reply, 1)
	go func() { body, err := get(t, c, "http://"+r.addr+"/slow"); got <- reply{body, err} }()
	<-asked
	r.signal(syscall.SIGUSR1)
	r.await("Stopping frontend web")
	d := net.Dialer{Timeout: time.Second}
	for ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := d.DialContext(ctx, "tcp", r.addr)
		if err != nil {
			cancel()
			break
		}
		conn.Close()
	}
	close(answer)
	if g := <-got; g.err != nil || g.body != "hello" {
		t.Errorf("the request under way got %q, %v", g.body, g.err)
	}
	if code := r.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(r.file), "pid")); err == nil {
		t.Error("the pid file was left behind")
	}
}

// TestHAProxyHardStop: what lasts longer than hard-stop-after is cut, and TERM waits for nobody.
func TestHAProxyHardStop(t *testing.T) {
	for signal, limit := range map[syscall.Signal]string{syscall.SIGUSR1: "100ms", syscall.SIGTERM: "1h", syscall.SIGINT: "1h"} {
		server, asked, answer := slow(t)
		r, c := start(t, limit, server), client(t)
		failed := make(chan error, 1)
		go func() { _, err := get(t, c, "http://"+r.addr+"/slow"); failed <- err }()
		<-asked
		r.signal(signal)
		if code := r.ended(); code != 0 {
			t.Errorf("%v: exit code %d", signal, code)
		}
		if err := <-failed; err == nil {
			t.Errorf("%v: the request that was cut has an answer", signal)
		}
		close(answer)
	}
}

// TestHAProxyReload: USR2 reads the files again in place; files with a mistake change nothing. HUP does so with -W, and
// tells the servers without.
func TestHAProxyReload(t *testing.T) {
	server, _, _ := slow(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "other") }))
	defer other.Close()
	for _, how := range []struct {
		flags  []string
		signal syscall.Signal
	}{{nil, syscall.SIGUSR2}, {[]string{"-W"}, syscall.SIGHUP}} {
		r, c := start(t, "1s", server, how.flags...), client(t)
		dir := filepath.Dir(r.file)
		expect := func(want string) {
			t.Helper()
			if body, err := get(t, c, "http://"+r.addr+"/"); err != nil || body != want {
				t.Errorf("%q, %v; want %q", body, err, want)
			}
		}
		expect("hello")
		if how.flags == nil {
			r.signal(syscall.SIGHUP)
			r.await("Server app/one is UP")
		}
		r.write(fmt.Sprintf(runCfg, dir+"/pid", "1s", r.addr, "two", other.Listener.Addr()) + "    balanse roundrobin\n")
		r.signal(how.signal)
		r.await("Loading failure")
		expect("hello")
		r.write(fmt.Sprintf(runCfg, dir+"/pid", "1s", r.addr, "two", other.Listener.Addr()))
		r.signal(how.signal)
		r.await("Loading success")
		expect("other")
		r.signal(syscall.SIGTERM)
		r.ended()
	}
}

// TestHAProxyPortTaken: a start that can't listen says where and why, and ends with 1.
func TestHAProxyPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(strings.Replace(haproxyCfg, "127.0.0.1:21980", taken.Addr().String(), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "haproxy", "-db", "-f", file).bad(t, "[ALERT]", "["+file+":7]", "is held by", "cannot bind socket")
}

// TestHAProxyDescriptors: where descriptors are too few for maxconn it is said at the start, who does not fit waits in the
// backlog, and is served as soon as others leave.
func TestHAProxyDescriptors(t *testing.T) {
	server, _, _ := slow(t)
	r := startBy(t, []string{"sh", "-c", `ulimit -n 200 && exec "$@"`, "sh"}, "1s", server, "-n", "1000")
	r.await("too few descriptors for maxconn")
	d := net.Dialer{Timeout: 5 * time.Second}
	const clients = 150
	var conns []net.Conn
	answered := make(chan int, clients)
	for i := range clients {
		conn, err := d.DialContext(t.Context(), "tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		conns = append(conns, conn)
		go func() {
			reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil && reply.StatusCode == http.StatusOK {
				answered <- i
			}
		}()
	}
	for served := 0; served < clients; served++ {
		select {
		case i := <-answered:
			conns[i].Close() // makes room for one that waits
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d were served", served, clients)
		}
	}
	r.signal(syscall.SIGTERM)
	if code := r.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
