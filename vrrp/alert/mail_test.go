package alert

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// mailSink is an SMTP server that knows HELO, and EHLO only if it is modern.
type mailSink struct {
	port   int
	modern bool
	says   func(verb string, n int) string // "": the usual; "hang": nothing
	mu     sync.Mutex
	dialog []string // verbs and arguments of all connections
	mails  []string
}

func newMailSink(t *testing.T, modern bool, says func(verb string, n int) string) *mailSink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailSink{port: l.Addr().(*net.TCPAddr).Port, modern: modern, says: says}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return s
}

func (s *mailSink) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	fmt.Fprint(c, "220 sink\r\n")
	for in := bufio.NewScanner(c); in.Scan(); {
		line := in.Text()
		verb := strings.ToUpper(strings.Fields(line + " ?")[0])
		s.mu.Lock()
		n := 0
		for _, d := range s.dialog {
			if strings.HasPrefix(d, verb) {
				n++
			}
		}
		s.dialog = append(s.dialog, line)
		s.mu.Unlock()
		answer := map[string]string{
			"HELO": "250 sink", "EHLO": "500 what?", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on", "QUIT": "221 bye", "RSET": "250 ok",
		}[verb]
		if verb == "EHLO" && s.modern {
			answer = "250-sink\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN"
		}
		if other := s.says(verb, n); other == "hang" {
			_, _ = bufio.NewReader(c).ReadString(0) // until the other side gives up
			return
		} else if other != "" {
			answer = other
		}
		fmt.Fprint(c, answer+"\r\n")
		switch {
		case verb == "QUIT":
			return
		case verb == "DATA" && strings.HasPrefix(answer, "354"):
			var text []string
			for in.Scan() && in.Text() != "." {
				text = append(text, in.Text())
			}
			s.mu.Lock()
			s.mails = append(s.mails, strings.Join(text, "\n"))
			s.mu.Unlock()
			fmt.Fprint(c, "250 taken\r\n")
		}
	}
}

func (s *mailSink) subjects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, m := range s.mails {
		for line := range strings.SplitSeq(m, "\n") {
			if rest, ok := strings.CutPrefix(line, "Subject: "); ok {
				out = append(out, rest)
			}
		}
	}
	return out
}

func usual(string, int) string { return "" }

func settings(port int) Settings {
	return Settings{RouterID: "LVS_1", Mail: vrrp.Mail{
		To: []string{"ops@example.com", "boss@example.com"}, From: "lb1@example.com", Server: "127.0.0.1", Port: port, HeloName: "lb1.example.com",
		ConnectTimeout: 2 * time.Second,
	}}
}

// TestMail: the plain dialogue, with an old server and with one that offers TLS and passwords.
func TestMail(t *testing.T) {
	for _, modern := range []bool{false, true} {
		sink := newMailSink(t, modern, usual)
		a := running(t, settings(sink.port))
		a.Transition(Event{Name: "VI_1", From: "BACKUP", To: "MASTER", Priority: 100, Epoch: 7, Cause: "nothing heard", Mail: true})
		idle(t, a)
		verbs := []string{"EHLO lb1.example.com", "HELO lb1.example.com", "MAIL FROM:<lb1@example.com>", "RCPT TO:<ops@example.com>", "RCPT TO:<boss@example.com>", "DATA", "QUIT"}
		if modern {
			verbs = slices.Delete(verbs, 1, 2)
		}
		got := slices.DeleteFunc(slices.Clone(sink.dialog), func(l string) bool { return l == "RSET" })
		if !slices.Equal(got, verbs) {
			t.Errorf("modern %v: said %q", modern, sink.dialog)
		}
		if len(sink.mails) != 1 {
			t.Fatalf("modern %v: %d mails: %+v", modern, len(sink.mails), a.Counts())
		}
		for _, want := range []string{"Subject: [LVS_1] VRRP Instance VI_1 - Entering MASTER state", "From: <lb1@example.com>", "Date: ", "Message-ID: ", "To: <ops@example.com>, <boss@example.com>",
			"before:   BACKUP", "priority: 100", "epoch:    7", "cause:    nothing heard"} {
			if !strings.Contains(sink.mails[0], want) {
				t.Errorf("no %q in\n%s", want, sink.mails[0])
			}
		}
	}
}

// TestWhatIsMailed: only with smtp_alert, only states, none twice, no faults if those are not wanted.
func TestWhatIsMailed(t *testing.T) {
	sink := newMailSink(t, false, usual)
	s := settings(sink.port)
	a := running(t, s)
	tell := func(group bool, state string, mail bool) {
		a.Transition(Event{Group: group, Name: "X", To: state, Mail: mail})
	}
	tell(false, "BACKUP", true)
	tell(false, "BACKUP", true)
	tell(false, "MASTER", false)
	tell(false, "STOP", true)
	tell(false, "INIT", true)
	tell(false, "FAULT", true)
	tell(true, "FAULT", true)
	tell(false, "BACKUP", true)
	idle(t, a)
	s.Mail.NoFaults = true
	a.Apply(s) // what was mailed is not forgotten
	tell(false, "BACKUP", true)
	tell(false, "FAULT", true)
	tell(false, "BACKUP", true)
	tell(false, "MASTER", true)
	idle(t, a)
	want := []string{"Instance X - Entering BACKUP", "Instance X - Entering FAULT", "Group X - Entering FAULT", "Instance X - Entering BACKUP", "Instance X - Entering MASTER"}
	got := sink.subjects()
	for i := range got {
		got[i] = strings.TrimSuffix(strings.TrimPrefix(got[i], "[LVS_1] VRRP "), " state")
	}
	if !slices.Equal(got, want) {
		t.Errorf("mailed %q", got)
	}
}

// TestMailTriesAgain: "later" and silence are tried again, "no" is not; nobody waits longer than smtp_connect_timeout.
func TestMailTriesAgain(t *testing.T) {
	once := func(verb, answer string) func(string, int) string {
		return func(v string, n int) string {
			if v == verb && n == 0 {
				return answer
			}
			return ""
		}
	}
	for name, tc := range map[string]struct {
		says         func(string, int) string
		sent, failed uint64
	}{
		"greylisted":   {once("RCPT", "450 later"), 1, 0},
		"hangs":        {once("MAIL", "hang"), 1, 0},
		"hangs at end": {once("DATA", "hang"), 1, 0},
		"refused":      {func(v string, _ int) string { return map[string]string{"MAIL": "550 no"}[v] }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			sink := newMailSink(t, false, tc.says)
			s := settings(sink.port)
			s.Mail.ConnectTimeout = 300 * time.Millisecond
			a := running(t, s)
			a.Transition(Event{Name: "VI_1", To: "MASTER", Mail: true})
			idle(t, a)
			if n := a.Counts()["mail"]; n.Sent != tc.sent || n.Failed != tc.failed {
				t.Errorf("%+v, said %q", n, sink.dialog)
			}
			if uint64(len(sink.mails)) != tc.sent {
				t.Errorf("%d mails", len(sink.mails))
			}
		})
	}
}

// TestNoMail: with no server or nobody to write to there is none, and a bad address is a fault that is told.
func TestNoMail(t *testing.T) {
	for _, m := range []vrrp.Mail{{}, {To: []string{"a@example.com"}}, {Server: "127.0.0.1"}} {
		a := New(Options{})
		a.Apply(Settings{Mail: m})
		a.Transition(Event{Name: "VI_1", To: "MASTER", Mail: true})
		if n := a.Counts(); len(n) != 0 {
			t.Errorf("%+v: %+v", m, n)
		}
	}
	s := settings(1)
	s.Mail.To = []string{"not an address"}
	a := running(t, s)
	a.Transition(Event{Name: "VI_1", To: "MASTER", Mail: true})
	idle(t, a)
	if n := a.Counts()["mail"]; n.Failed != 1 || !strings.Contains(n.Error, "notification_email") {
		t.Errorf("%+v", n)
	}
}
