package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/pki"
)

// secured is a site whose nodes serve TLS with a file, and a client: openssl.
type secured struct {
	*site
	ca   *pki.Authority
	file string
}

func newSecured(t *testing.T, first pki.Pair, ca *pki.Authority) *secured {
	s := &secured{site: newSite(t, 3), ca: ca}
	s.file = s.write("site.pem", string(first.PEM()))
	s.write("haproxy.cfg", haproxyCfg+"\nfrontend secured\n    bind :443 ssl crt "+s.file+"\n    default_backend app\n")
	s.up()
	return s
}

// openssl asks a node once by a real client, and returns what that saw.
func (s *secured) openssl(name string, options ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := s.user.Command("sh", "-c", fmt.Sprintf(`printf 'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n' |
		openssl s_client -connect %s:443 -servername a.example -CAfile %s -verify_return_error -ign_eof %s`, s.ip(name), s.ca.File, strings.Join(options, " ")))
	err := p.Run(ctx)
	if out := p.Output(); err == nil && strings.Contains(out, "HTTP/1.1 200") {
		return out
	}
	return fmt.Sprintf("failed: %v\n%s", err, p.Output())
}

// shows waits until a node shows a certificate.
func (s *secured) shows(name string, want pki.Pair) {
	s.t.Helper()
	last := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s said last: %s", name, last)
		}
	}()
	s.poll(name+" to show the certificate", func(context.Context) bool {
		last = s.openssl(name)
		b, _ := pem.Decode([]byte(last[max(0, strings.Index(last, "-----BEGIN CERTIFICATE")):]))
		return b != nil && bytes.Equal(b.Bytes, want.Leaf.Raw)
	})
}

// shown is shows at once: what a command said to be so has to be so.
func (s *secured) shown(name string, want pki.Pair) {
	s.t.Helper()
	out := s.openssl(name)
	b, _ := pem.Decode([]byte(out[max(0, strings.Index(out, "-----BEGIN CERTIFICATE")):]))
	if b == nil || !bytes.Equal(b.Bytes, want.Leaf.Raw) {
		s.t.Errorf("%s shows another certificate: %s", name, out)
	}
}

// resumes reports whether a node resumes the session in a file.
func (s *secured) resumes(name, session string) bool {
	s.t.Helper()
	out := s.openssl(name, "-sess_in", session)
	if !strings.Contains(out, "Reused, TLSv1.3") && !strings.Contains(out, "New, TLSv1.3") {
		s.t.Fatalf("%s: %s", name, out)
	}
	return strings.Contains(out, "Reused, TLSv1.3")
}

// run runs a reeve command on a node.
func (s *secured) run(name string, args ...string) (string, error) {
	p := s.lab.Start(s.hosts[name], append([]string{s.bin()}, args...)...)
	<-p.Done()
	return p.Output(), p.Err()
}

// does is run of a command that works and says something.
func (s *secured) does(want, name string, args ...string) {
	s.t.Helper()
	if out, err := s.run(name, args...); err != nil || !strings.Contains(out, want) {
		s.t.Fatalf("reeve %s on %s: %v: %s", strings.Join(args, " "), name, err, out)
	}
}

// follower is a node that does not lead.
func (s *secured) follower() string {
	s.t.Helper()
	for _, n := range s.names {
		if self, err := s.api(n).Self(s.t.Context()); err == nil && !self.IsLeader {
			return n
		}
	}
	s.t.Fatal("everybody leads")
	return ""
}

// joins starts a fourth node, which has no files.
func (s *secured) joins() {
	s.t.Helper()
	s.names = append(s.names, "lb4")
	s.hosts["lb4"] = s.lab.Host("lb4", "10.77.0.4/24")
	s.procs["lb4"] = s.lab.Start(s.hosts["lb4"], lab.Program(), "agent", "-node", "lb4", "-bind", s.ip("lb4"), "-data-dir", filepath.Join(s.dir, "lb4"),
		"-retry-join", s.ip("lb1"), "-retry-join", s.ip("lb2"), "-encrypt", s.key, "-log-level", "debug")
}

// TestCertificatesOfTheCluster: a certificate set on a follower is shown by all, a ticket of one node is good at another,
// both outlive a kill and reach who joins later, and the file counts again when that is said. No log and no answer has a key.
func TestCertificatesOfTheCluster(t *testing.T) {
	ca := pki.New(t)
	first, second, third := ca.ECDSA("a.example"), ca.ECDSA("a.example"), ca.ECDSA("a.example")
	s := newSecured(t, first, ca)
	for _, n := range s.names {
		s.shows(n, first)
	}
	wrong := s.write("wrong.pem", string(second.Cert)+string(third.Key))
	if out, err := s.run(s.follower(), "certificate", "set", "site.pem", wrong); err == nil || !strings.Contains(out, "the private key is not the certificate's: nothing was changed") {
		t.Errorf("a key that does not fit: %v: %s", err, out)
	}
	s.does("on 3 of 3 nodes", s.follower(), "certificate", "set", "site.pem", s.write("second.pem", string(second.PEM())))
	for _, n := range s.names {
		s.shown(n, second)
	}

	session := filepath.Join(s.dir, "session")
	s.openssl("lb1", "-sess_out", session)
	if !s.resumes("lb1", session) || s.resumes("lb2", session) {
		t.Error("without keys of the cluster each node resumes its own sessions, and no others")
	}
	s.does("on 3 of 3 nodes", s.follower(), "certificate", "ticket-keys")
	s.openssl("lb1", "-sess_out", session)
	for _, n := range s.names {
		if !s.resumes(n, session) {
			t.Errorf("%s does not resume a session of lb1", n)
		}
	}

	s.must(os.Remove(s.file)) // who needs the file now has lost what was set
	s.must(s.procs["lb3"].Signal(syscall.SIGKILL))
	<-s.procs["lb3"].Done()
	s.start("lb3")
	s.joins()
	for _, n := range []string{"lb3", "lb4"} {
		s.shows(n, second)
		if !s.resumes(n, session) {
			t.Errorf("%s does not resume a session of lb1", n)
		}
	}
	if out, err := s.run("lb1", "certificate", "remove", "site.pem"); err == nil || !strings.Contains(out, "no such file") {
		t.Errorf("without the file: %v: %s", err, out)
	}
	s.write("site.pem", string(third.PEM()))
	s.shown("lb2", second)
	s.does("on 4 of 4 nodes", "lb4", "certificate", "remove", "site.pem")
	for _, n := range s.names {
		s.shown(n, third)
	}
	s.keepsSecrets(second)
}

// keepsSecrets looks for a private key where none may be.
func (s *secured) keepsSecrets(p pki.Pair) {
	s.t.Helper()
	b, _ := pem.Decode(p.Key)
	told := map[string]string{}
	for _, n := range s.names {
		told["log of "+n] = s.procs[n].Output()
	}
	for _, args := range [][]string{{"config", "show", "-format=json"}, {"config", "history"}, {"certificate", "list", "-format=json"}, {"info", "-format=json"}} {
		out, err := s.run("lb1", args...)
		s.must(err)
		told["reeve "+strings.Join(args, " ")] = out
	}
	for what, text := range told {
		for _, k := range []string{"PRIVATE KEY", base64.StdEncoding.EncodeToString(b.Bytes)[:60], fmt.Sprintf("%x", b.Bytes[60:80])} {
			if strings.Contains(text, k) {
				s.t.Errorf("%s has a private key", what)
			}
		}
	}
	found := 0
	for _, n := range s.names {
		s.must(filepath.WalkDir(filepath.Join(s.dir, n), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			st, err := d.Info()
			switch filepath.Base(path) {
			case "raft.db", "state.bin", "tls.json":
				found++
				if err == nil && st.Mode().Perm() != 0o600 {
					s.t.Errorf("%s has mode %v", path, st.Mode())
				}
			}
			return err
		}))
	}
	if found < 2*len(s.names) {
		s.t.Errorf("only %d files of logs and certificates were found", found)
	}
}

// ahead sets a certificate before the configuration names it, and then names it: there is no such file.
func (s *secured) ahead(cfg string, first pki.Pair) {
	s.t.Helper()
	third := s.ca.ECDSA("a.example")
	path, pem := filepath.Join(s.dir, "none", "third.pem"), s.write("third.src", string(third.PEM()))
	if out, err := s.run("lb1", "certificate", "set", "third.pem", pem); err == nil || !strings.Contains(out, "give the whole path to set one before a bind names it") {
		s.t.Errorf("a short name that nothing has: %v: %s", err, out)
	}
	s.does("no bind names it yet", "lb1", "certificate", "set", path, pem)
	s.does(path, "lb1", "certificate", "list")
	before, err := os.ReadFile(cfg)
	s.must(err)
	s.must(os.WriteFile(cfg, []byte(strings.Replace(string(before), "crt "+s.file, "crt "+path, 1)), 0o600))
	s.does("", "lb1", "reload")
	s.shows("lb1", third)
	s.must(os.WriteFile(cfg, before, 0o600))
	s.does("", "lb1", "reload")
	s.shows("lb1", first)
	s.does("on 1 of 1 node.", "lb1", "certificate", "remove", path)
}

// TestCertificatesOfALoneAgent: what is set counts until it is taken back, or until the agent ends.
func TestCertificatesOfALoneAgent(t *testing.T) {
	ca := pki.New(t)
	first, second := ca.ECDSA("a.example"), ca.ECDSA("a.example")
	s := &secured{site: newSite(t, 1), ca: ca}
	s.file = s.write("site.pem", string(first.PEM()))
	cfg := s.write("secured.cfg", "defaults\n    mode http\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n"+
		"frontend secured\n    bind :443 ssl crt "+s.file+"\n    default_backend app\nbackend app\n    server web1 10.77.0.21:8080\n")
	starts := func() {
		s.procs["lb1"] = s.lab.Start(s.hosts["lb1"], lab.Program(), "agent", "-node", "lb1", "-bind", s.ip("lb1"), "-data-dir", filepath.Join(s.dir, "lb1"),
			"-encrypt", s.key, cfg)
		s.shows("lb1", first)
	}
	starts()
	other := s.write("second.pem", string(second.PEM()))
	s.does("on 1 of 1 node.", "lb1", "certificate", "set", s.file, other)
	s.shown("lb1", second)
	s.does("set 20", "lb1", "certificate", "list")
	s.does("on 1 of 1 node.", "lb1", "certificate", "remove", "site.pem")
	s.shown("lb1", first)
	if out, err := s.run("lb1", "certificate", "remove", "site.pem"); err == nil || !strings.Contains(out, "no certificate was set in place of that file") {
		t.Errorf("taken back twice: %v: %s", err, out)
	}
	s.ahead(cfg, first)
	s.does("on 1 of 1 node.", "lb1", "certificate", "ticket-keys")
	s.does("on 1 of 1 node.", "lb1", "certificate", "set", "site.pem", other)
	s.must(s.procs["lb1"].Signal(syscall.SIGTERM))
	<-s.procs["lb1"].Done()
	starts()
}
