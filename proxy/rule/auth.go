package rule

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-crypt/crypt/algorithm"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Who asks, by HTTP's Basic scheme (RFC 7617), among the users of a `userlist`.

// users are a userlist as requests are checked against it.
type users struct {
	by   map[string]*user
	slow bool // of some only a hash is known
}

type user struct {
	groups [][]byte
	plain  []byte           // of insecure-password
	hash   algorithm.Digest // nil: plain is the password
	text   []byte           // of the hash
}

// right reports whether the password is the user's; miss: its hash has not been computed yet.
func (u *user) right(c *Ctx, password []byte) truth {
	switch {
	case u.hash == nil:
		return is(subtle.ConstantTimeCompare(u.plain, password) == 1)
	case len(password) > maxPassword:
		return no
	}
	return c.known.verdict(&c.Secret, u.text, password)
}

// userList finds a userlist that the configuration has.
func (p *program) userList(name string) (*users, error) {
	i := slices.IndexFunc(p.o.Users, func(l proxy.UserList) bool { return l.Name == name })
	if i < 0 {
		known := make([]string, len(p.o.Users))
		for k := range p.o.Users {
			known[k] = p.o.Users[k].Name
		}
		return nil, &unknownError{fmt.Sprintf("there is no userlist '%s'", short(name)), meant(name, known)}
	}
	if us := p.users[name]; us != nil {
		return us, nil
	}
	us := &users{by: map[string]*user{}}
	for _, u := range p.o.Users[i].Users {
		to := &user{plain: []byte(u.Password)}
		if !u.Insecure {
			var err error
			if to.hash, err = parseHash(u.Password); err != nil {
				continue // the reader has said so; nobody gets in by it
			}
			to.plain, to.text, us.slow = nil, []byte(u.Password), true
		}
		for _, g := range u.Groups {
			to.groups = append(to.groups, []byte(g))
		}
		us.by[u.Name] = to
	}
	if p.users == nil {
		p.users = map[string]*users{}
	}
	p.users[name] = us
	return us, nil
}

// credentials are what a request shows; ok is false where it shows none. They lie in the scratch.
func (c *Ctx) credentials() (name, password []byte, ok bool) {
	var v Value
	if c.Req == nil || !c.Req.occurrence("authorization", 1, false, &v) {
		return nil, nil, false
	}
	scheme, token, ok := bytes.Cut(v.Bytes, []byte{' '})
	if !ok || !http1.EqualFold(scheme, "basic") {
		return nil, nil, false
	}
	token = bytes.TrimSpace(token)
	if base64.StdEncoding.DecodedLen(len(token)) > cap(c.rest()) {
		return nil, nil, false
	}
	text, err := base64.StdEncoding.AppendDecode(c.rest(), token)
	if err != nil || !c.take(text) {
		return nil, nil, false
	}
	return bytes.Cut(text, []byte{':'})
}

// who is the user that a request shows the right password of; shown is false where it shows none at all. A password that
// has not been checked yet is not right: what asks has it checked first, see Userlists.
func (us *users) who(c *Ctx) (name []byte, u *user, shown bool) {
	name, password, shown := c.credentials()
	if u = us.by[string(name)]; !shown || u == nil || u.right(c, password) != yes {
		return nil, nil, shown
	}
	return name, u, true
}

// Userlists are those that something asks about a request, and that know some passwords by their hashes alone.
type Userlists []*users

// Settled reports whether they can tell at once who asks. Where they can't c.Question is to be answered first.
func (ls Userlists) Settled(c *Ctx) bool {
	c.Question = nil
	for _, us := range ls {
		used := c.used
		name, password, shown := c.credentials()
		if u := us.by[string(name)]; shown && u != nil && u.right(c, password) == miss {
			c.Question = &Question{ID: c.known.id, hash: u.hash, password: bytes.Clone(password)}
		}
		if c.used = used; c.Question != nil {
			return false
		}
	}
	return true
}

// Userlists are what has been compiled since the last Proxy asks outside its lists: conditions, names, samples.
func (p *Program) Userlists() Userlists {
	asked := p.asking
	p.asking = nil
	return asked
}

// asks takes down that an expression asks a userlist.
func (p *Program) asks(us *users) {
	if us != nil && !slices.Contains(p.asking, us) {
		p.asking = append(p.asking, us)
	}
}

func init() {
	fetches["http_auth"] = &fetchDef{out: Bool, needs: atRequest, costly: true, least: 1, most: 1, make: makeAuth}
	fetches["http_auth_group"] = &fetchDef{out: Str, needs: atRequest, costly: true, least: 1, most: 1, make: makeAuthGroup}
}

func (e *expr) ask(p *program, name string) (us *users, err error) {
	if us, err = p.userList(name); err == nil && us.slow {
		e.asks = us
	}
	return us, err
}

func makeAuth(p *program, e *expr, args []string) error {
	us, err := e.ask(p, args[0])
	e.fetch = func(c *Ctx, v *Value) truth {
		used := c.used
		_, u, shown := us.who(c)
		c.used = used
		v.setBool(u != nil)
		return is(shown)
	}
	return err
}

// makeAuthGroup: as a sample it is the user's name, and values are compared with the user's groups.
func makeAuthGroup(p *program, e *expr, args []string) error {
	us, err := e.ask(p, args[0])
	e.fetch = func(c *Ctx, v *Value) truth {
		name, u, _ := us.who(c)
		v.setStr(name)
		return is(u != nil)
	}
	e.next = func(c *Ctx, it *cursor, v *Value) bool {
		used := c.used
		_, u, _ := us.who(c)
		c.used = used
		if u == nil || it.off >= len(u.groups) {
			return false
		}
		v.setStr(u.groups[it.off])
		it.off++
		return true
	}
	return err
}

// auth reads `auth [realm R]`: the client is asked who it is.
func (r *actionReader) auth(to *ruleLine) bool {
	realm := r.p.proxy
	if len(r.ws) > 0 && r.ws[0].Text == "realm" {
		r.ws = r.ws[1:]
		w, ok := r.word("a realm")
		if !ok {
			return false
		}
		if realm = w.Text; !headerValue([]byte(realm)) || strings.ContainsAny(realm, `"\`) {
			return r.errorf(w.Pos, "", "'%s' is no realm: one line without quotes", short(realm))
		}
	}
	value := &format{parts: []formatPart{{text: `Basic realm="` + realm + `"`}}}
	to.final = &Final{Kind: Return, Status: 401, Unauthorized: true, headers: []headerFormat{{"www-authenticate", value}}}
	return true
}
