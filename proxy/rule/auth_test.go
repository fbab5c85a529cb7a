package rule

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

const secretsHash = "$6$rounds=1000$Uw3PyHPnrTGpAPrj$8mHW7YhYGLhXGUqXuic/K0hs2YNL8IvBx7.9LvVggDfG3iIvAVmyCs2wSIzU.37L4f2Juwjrik2MdPD15WUDx1"

// doorkeeper is a list of rules that lets tiger in by the password secret.
func doorkeeper(t testing.TB) *List {
	t.Helper()
	p := New(Options{Users: []proxy.UserList{{Name: "staff", Users: []proxy.User{{Name: "tiger", Password: secretsHash}}}}})
	set := p.Proxy(Side{Name: "fe", Mode: proxy.HTTP}, &proxy.Rules{HTTPRequest: []proxy.Rule{
		{Words: words("add-header X-Before 1")}, {Words: words("auth unless { http_auth(staff) }")}}})
	if err := p.Problems().Err(); err != nil {
		t.Fatal(err)
	}
	return set.Request
}

func showing(t testing.TB, password string) *Ctx {
	return asking(t, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "+base64.StdEncoding.EncodeToString([]byte("tiger:"+password))+"\r\n\r\n")
}

// A list stops where a password has to be checked and goes on there; the answer is remembered, and never for another one.
func TestPasswordsAreAskedOnce(t *testing.T) {
	list := doorkeeper(t)
	for password, right := range map[string]bool{"secret": true, "wrong": false, "": false, strings.Repeat("s", maxPassword): false} {
		c := showing(t, password)
		req := c.Req
		_, out := list.Run(c)
		if out != Asking || c.From != 1 || c.Question == nil {
			t.Fatalf("%q: outcome %d at %d", password, out, c.From)
		}
		if got := c.Question.Answer(); got != right {
			t.Errorf("%q is right: %v", password, got)
		}
		c.Learn(c.Question.ID, right)
		for from := range 2 {
			c.Begin()
			c.Req, c.From = req, 1-from
			f, out := list.Run(c)
			if through := out == Through; through != right || !right && (out != Ended || f.Status != 401) {
				t.Errorf("%q, once answered: outcome %d", password, out)
			}
		}
		if n := req.Edits.added; len(n) != 2 {
			t.Errorf("%q: %d headers, one a run was wanted", password, len(n))
		}
	}
	// What crypt(3) would not take is wrong without a look.
	c := showing(t, strings.Repeat("s", maxPassword+1))
	if _, out := list.Run(c); out != Ended {
		t.Errorf("a password too long: outcome %d", out)
	}
}

// Wrong passwords push out no right one, and take no more than their room.
func TestPasswordsThatAreRemembered(t *testing.T) {
	c := NewCtx()
	c.Learn(PasswordID{1}, true)
	for i := range 5 * maxWrong {
		c.Learn(PasswordID{2, byte(i), byte(i >> 8)}, false)
	}
	if _, is := c.known.right[PasswordID{1}]; !is || len(c.known.wrong) != maxWrong {
		t.Errorf("right %v, %d wrong ones", is, len(c.known.wrong))
	}
	for i := range 2 * maxRight {
		c.Learn(PasswordID{1, byte(i), byte(i >> 8)}, true)
	}
	if len(c.known.right) != maxRight {
		t.Errorf("%d right ones", len(c.known.right))
	}
}

// A request whose password is known costs no memory.
func TestPasswordsAllocateNothing(t *testing.T) {
	list := doorkeeper(t)
	c := showing(t, "secret")
	req := c.Req
	list.Run(c)
	c.Learn(c.Question.ID, true)
	run := func() {
		c.Begin()
		c.Req, c.From = req, 1
		if _, out := list.Run(c); out != Through {
			t.Fatal(out)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Two Ctx know the same password by different digests.
func TestPasswordsAreKeyed(t *testing.T) {
	list := doorkeeper(t)
	a, b := showing(t, "secret"), showing(t, "secret")
	b.Secret[0] = 1
	list.Run(a)
	list.Run(b)
	if a.Question.ID == b.Question.ID {
		t.Error("the digest of a password is the same under another key")
	}
}
