package engine

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// tigersHash is made of "secret".
const tigersHash = "$6$rounds=1000$Uw3PyHPnrTGpAPrj$8mHW7YhYGLhXGUqXuic/K0hs2YNL8IvBx7.9LvVggDfG3iIvAVmyCs2wSIzU.37L4f2Juwjrik2MdPD15WUDx1"

// doored is a site of one loop that asks for tiger's password, except for /open.
func doored(t *testing.T, change func(*proxy.Config)) *site {
	t.Helper()
	_, a := named(t, "a")
	return startLoops(t, 1, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.UserLists = []proxy.UserList{{Name: "staff", Users: []proxy.User{{Name: "tiger", Password: tigersHash}}}}
		c.Frontends[0].Timeouts.Client = time.Minute
		c.Frontends[0].Rules.HTTPRequest = []proxy.Rule{{Words: proxy.Words("auth unless { path /open } or { http_auth(staff) }")}}
		if change != nil {
			change(c)
		}
	})
}

// asks sends a request of tiger's and does not wait for its answer.
func (k talk) asks(password string) talk {
	fmt.Fprintf(k, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n\r\n", base64.StdEncoding.EncodeToString([]byte("tiger:"+password)))
	return k
}

func (k talk) is(t *testing.T, what string, status int) {
	t.Helper()
	k.SetDeadline(time.Now().Add(time.Minute))
	if got := k.answer(); got != status {
		t.Errorf("%s: status %d, want %d", what, got, status)
	}
}

// While the hash of a password is computed its loop serves others, and those whose password is known by then.
func TestPasswordsAreCheckedOffTheLoop(t *testing.T) {
	s := doored(t, nil)
	known := s.talk(s.addr)
	known.asks("secret").is(t, "a right password", 200)
	known.asks("wrong").is(t, "a wrong one", 401)

	s.e.checking <- struct{}{} // as a hash that takes its time
	waiting := []talk{s.talk(s.addr).asks("other"), s.talk(s.addr).asks("other")}
	known.asks("secret").is(t, "a right password again", 200)
	known.asks("wrong").is(t, "a wrong one again", 401)
	open := s.talk(s.addr)
	fmt.Fprintf(open, "GET /open HTTP/1.1\r\nHost: x\r\n\r\n")
	open.is(t, "no password", 200)
	gone := s.talk(s.addr).asks("other")
	gone.Close()
	<-s.e.checking
	for _, k := range waiting {
		k.is(t, "who has waited", 401)
	}
}

// Who sends more passwords than can be checked is turned away, which is logged, and so is who has waited too long.
func TestPasswordsBeyondTheBounds(t *testing.T) {
	s := doored(t, nil)
	s.e.checking <- struct{}{}
	var waiting []talk
	for i := range maxChecks {
		waiting = append(waiting, s.talk(s.addr).asks(fmt.Sprint(i)))
	}
	for done := make(chan int); ; { // they come to the loop by ways of their own
		s.e.loops[0].post(func() { done <- len(s.e.loops[0].checks) })
		if <-done == maxChecks {
			break
		}
	}
	s.talk(s.addr).asks("one more").is(t, "one too many", 503)
	s.want(" fe fe/<NOSRV> ", " 503 ", " RR-- ")
	<-s.e.checking
	for _, k := range waiting {
		k.is(t, "who has waited", 401)
	}

	s = doored(t, func(c *proxy.Config) { c.Frontends[0].Timeouts.Client = 50 * time.Millisecond })
	s.e.checking <- struct{}{}
	s.talk(s.addr).asks("secret").is(t, "who waits too long", 503)
	s.want(" fe fe/<NOSRV> ", " 503 ", " RR-- ")
	<-s.e.checking
}

// An engine that ends waits for no password's turn.
func TestPasswordsWhenTheEngineEnds(t *testing.T) {
	s := doored(t, nil)
	s.e.checking <- struct{}{}
	s.talk(s.addr).asks("secret")
	for done := make(chan int); ; {
		s.e.loops[0].post(func() { done <- len(s.e.loops[0].checks) })
		if <-done == 1 {
			return // the site's end sees that Run returns
		}
	}
}

// curl is let in by its password, over HTTP/2 as over HTTP/1.
func TestPasswordsOfCurl(t *testing.T) {
	s := doored(t, nil)
	for _, version := range []string{"--http1.1", "--http2-prior-knowledge"} {
		for user, want := range map[string]string{"tiger:secret": "200", "tiger:wrong": "401", "nobody:secret": "401"} {
			if got := runClient(t, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", version, "-u", user, "http://"+s.addr+"/"); got != want {
				t.Errorf("curl %s -u %s: %s, want %s", version, user, got, want)
			}
		}
	}
}
