package drill

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp/alert"
)

// mailbox makes a host a mail server that takes every mail. A mail is a line of the journal:
// "HELO|<FROM>|<TO>,<TO>|From header|To header|subject|first line of the body".
func (s *segment) mailbox(host string) *journal {
	s.t.Helper()
	l, err := s.host(host).Listen("tcp", ":25")
	s.Must(err)
	j := newJournal()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			all.Go(func() {
				defer c.Close()
				if err := takeMail(c, j); err != nil {
					fmt.Fprintf(j, "bad dialogue: %v\n", err)
				}
			})
		}
	})
	s.t.Cleanup(func() {
		l.Close()
		all.Wait()
		if s.t.Failed() {
			s.t.Logf("mails:\n%s", j)
		}
	})
	return j
}

// takeMail is a server's side of RFC 5321, as far as it takes to get mails.
func takeMail(c net.Conn, j *journal) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	p := textproto.NewConn(c)
	if err := p.PrintfLine("220 mail.example.org"); err != nil {
		return err
	}
	var helo, from string
	var to []string
	for {
		l, err := p.ReadLine()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
				return nil // whoever ends in the middle of it has said nothing
			}
			return err
		}
		answer := "250 good"
		switch word, arg, _ := strings.Cut(l, " "); strings.ToUpper(word) {
		case "EHLO":
			answer = "502 not here"
		case "HELO":
			helo = arg
		case "MAIL":
			from = arg[strings.IndexByte(arg, ':')+1:]
		case "RCPT":
			to = append(to, arg[strings.IndexByte(arg, ':')+1:])
		case "DATA":
			if err := p.PrintfLine("354 go on"); err != nil {
				return err
			}
			m, err := mail.ReadMessage(p.DotReader())
			if err != nil {
				return err
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil {
				return err
			}
			body, _ := bufio.NewReader(m.Body).ReadString('\n')
			_, _ = io.Copy(io.Discard, m.Body)
			fmt.Fprintf(j, "%s|%s|%s|%s|%s|%s|%s\n", helo, from, strings.Join(to, ","), m.Header.Get("From"), m.Header.Get("To"), subject, strings.TrimSpace(body))
			from, to = "", nil
		case "QUIT":
			return p.PrintfLine("221 good bye")
		}
		if err := p.PrintfLine("%s", answer); err != nil {
			return err
		}
	}
}

// hooks makes a host a web server for webhooks, port 8090, that fails each event once. A request is a line of the
// journal: "STATUS PATH BODY", the status being the answer, 403 if the signature is wrong.
func (s *segment) hooks(host, secret string) *journal {
	s.t.Helper()
	l, err := s.host(host).Listen("tcp", ":8090")
	s.Must(err)
	j := newJournal()
	var mu sync.Mutex
	tried := map[string]bool{}
	srv := http.Server{ReadHeaderTimeout: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		mu.Lock()
		defer mu.Unlock()
		code := http.StatusOK
		switch {
		case err != nil, r.Method != http.MethodPost, r.Header.Get("Content-Type") != "application/json",
			r.Header.Get(alert.SignatureHeader) != alert.Sign(secret, body):
			code = http.StatusForbidden
		case !tried[string(body)]:
			code = http.StatusInternalServerError
		}
		tried[string(body)] = true
		w.WriteHeader(code)
		fmt.Fprintf(j, "%d %s %s\n", code, r.URL.Path, body)
	})}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = srv.Serve(l) // ends by Close
	}()
	s.t.Cleanup(func() {
		_ = srv.Close()
		<-over
		if s.t.Failed() {
			s.t.Logf("webhooks:\n%s", j)
		}
	})
	return j
}

// trapSink runs net-snmp's snmptrapd on a host with these lines of configuration. A trap is a line of the journal: its
// variables in numbers, separated by tabs.
func (s *segment) trapSink(host string, conf ...string) *journal {
	s.t.Helper()
	dir := s.t.TempDir()
	file := filepath.Join(dir, "snmptrapd.conf")
	s.Must(os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600))
	j := newJournal()
	p := s.host(host).Command("snmptrapd", "-f", "-Lo", "-On", "-n", "-C", "-c", file, "-m", "", "-F", "%v\n", "udp:162")
	p.Env = append(p.Env, "SNMP_PERSISTENT_DIR="+dir)
	p.Stdout = j
	s.Must(p.Start())
	s.Must(p.AwaitOutput(s.ctx, "NET-SNMP version"))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("traps:\n%s\n%s", j, p.Output())
		}
	})
	return j
}

// agent starts `reeve agent` on a host that stands alone: with a keepalived.conf, and an .hcl file for what keepalived.conf
// has no words for.
func (s *segment) agent(host, conf, hcl string) *lab.Process {
	s.t.Helper()
	dir := s.t.TempDir()
	files := []string{filepath.Join(dir, "keepalived.conf"), filepath.Join(dir, "alerts.hcl")}
	s.Must(os.WriteFile(files[0], []byte(conf), 0o600), os.WriteFile(files[1], []byte(hcl), 0o600))
	key := make([]byte, 32)
	_, err := rand.Read(key)
	s.Must(err)
	p := s.host(host).Command(append([]string{lab.Program(), "agent", "-node", host, "-bind", address(host).String(),
		"-data-dir", filepath.Join(dir, "data"), "-encrypt", base64.StdEncoding.EncodeToString(key)}, files...)...)
	s.StartProcess(p)
	return p
}
