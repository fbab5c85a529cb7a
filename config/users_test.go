package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/source"
)

const usersText = "userlist staff\n group admins users anna,bert\n group readers\n user anna password $5$rounds=1000$x$Rjaif9beRLjUO9uyAcgSfYZ3yM.sm88lY6P8a7E1PP/ groups readers\n user bert insecure-password elgato\n"

func TestUserListsAreRead(t *testing.T) {
	d, ps := parseText(t, "a.cfg", usersText)
	if ps.HasErrors() || len(d.Proxy.UserLists) != 1 {
		t.Fatal(ps, d.Proxy.UserLists)
	}
	l := d.Proxy.UserLists[0]
	if l.Name != "staff" || !slices.Equal(l.Groups, []string{"admins", "readers"}) || len(l.Users) != 2 {
		t.Fatalf("%+v", l)
	}
	anna, bert := l.Users[0], l.Users[1]
	if anna.Insecure || !strings.HasPrefix(anna.Password, "$5$") || !slices.Equal(anna.Groups, []string{"readers", "admins"}) {
		t.Errorf("%+v", anna)
	}
	if !bert.Insecure || bert.Password != "elgato" || !slices.Equal(bert.Groups, []string{"admins"}) {
		t.Errorf("%+v", bert)
	}
	// A plan shows no password.
	other := d
	other.Proxy.UserLists = slices.Clone(d.Proxy.UserLists)
	other.Proxy.UserLists[0].Users = slices.Clone(l.Users)
	other.Proxy.UserLists[0].Users[1].Password = "another"
	if changes := Diff(d, other); len(changes) != 1 || strings.Contains(changes[0].String(), "elgato") || strings.Contains(changes[0].String(), "another ") {
		t.Errorf("%v", changes)
	}
}

func TestUserListMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"user a password secret":              "2:18: error: the password of user 'a' is no hash of crypt(3) by SHA-512, SHA-256, bcrypt, yescrypt or MD5 (mkpasswd -m sha-512, or insecure-password)",
		"user a":                              "2:2: error: user 'a' needs one password (user NAME password HASH, or insecure-password TEXT)",
		"user a insecure-password x groups g": "2:36: error: user 'a' is of group 'g', which there is not",
		"group g users a":                     "2:16: error: group 'g' has a user 'a', whom there is not",
		"group g\n group g":                   "3:8: error: there is a group 'g' already",
		"user a password $6$rounds=2000000$abcdefgh$" + strings.Repeat("x", 86): "2:18: error: the password of user 'a' is a hash that takes too long: at most 1000000 rounds, bcrypt's cost 14, yescrypt's 64 MB (",
		"user a password $2b$15$" + strings.Repeat("x", 53):                     "2:18: error: the password of user 'a' is a hash that takes too long: ",
		"user a password $y$jDT$abcdefgh$" + strings.Repeat("x", 43):            "2:18: error: the password of user 'a' is a hash that takes too long: ",
		"user a password $6$abcdefgh$tooshort":                                  "2:18: error: the password of user 'a' is no hash of crypt(3) by",
		"user a password $2x$10$" + strings.Repeat("x", 53):                     "2:18: error: the password of user 'a' is no hash of crypt(3) by",
		"\nuserlist l": "3:10: error: there is a userlist 'l' already",
		"user a insecure-password x\n user a insecure-password y": "3:7: error: there is a user 'a' already",
		"usr a": "2:2: error: unknown keyword 'usr' in userlist (did you mean 'user'?)",
	} {
		_, ps := parseText(t, "a.cfg", "userlist l\n "+text+"\n")
		if !slices.ContainsFunc(ps, func(p source.Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s:\n got %v\nwant %s", text, ps, want)
		}
	}
	_, ps := parseText(t, "a.cfg", usersText+frontText+"http-request deny unless { http_auth(stuff) }\n")
	if want := "'http_auth': there is no userlist 'stuff' (did you mean 'staff'?)"; !strings.Contains(ps.Err().Error(), want) {
		t.Errorf("%v, want %s", ps, want)
	}
	_, ps = parseText(t, "a.cfg", usersText+frontText+"http-request auth realm a\\\"b\n")
	if want := "is no realm: one line without quotes"; !strings.Contains(fmt.Sprint(ps), want) {
		t.Errorf("%v, want %s", ps, want)
	}
}

// The bounds of heads have bounds.
func TestLimitsOfHeadsAreRead(t *testing.T) {
	d, ps := parseText(t, "a.cfg", "global\n tune.bufsize 32768\n tune.maxrewrite 2048\n tune.http.maxhdr 201\n")
	if g := d.Proxy.Global; ps.HasErrors() || g.BufSize != 32768 || g.MaxRewrite != 2048 || g.MaxHdr != 201 {
		t.Error(ps, g)
	}
	for text, want := range map[string]string{
		"tune.bufsize 100000":   "a.cfg:2:15: error: '100000' is no value for 'tune.bufsize' (a number from 1024 to 65536)",
		"tune.maxrewrite 0":     "a.cfg:2:18: error: '0' is no value for 'tune.maxrewrite' (a number from 1 to 32768)",
		"tune.http.maxhdr many": "a.cfg:2:19: error: 'many' is no value for 'tune.http.maxhdr' (a number from 1 to 32767)",
	} {
		if _, ps := parseText(t, "a.cfg", "global\n "+text+"\n"); !strings.Contains(fmt.Sprint(ps), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, ps, want)
		}
	}
}
