package config

import (
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// userList reads a `userlist` section: users, and groups that may name users as users may name groups.
func (d *decoder) userList(n tree.Node) {
	l := proxy.UserList{Name: n.Args[0].Text, Pos: n.Args[0].Pos}
	if slices.ContainsFunc(d.doc.Proxy.UserLists, func(o proxy.UserList) bool { return o.Name == l.Name }) {
		d.errorf(l.Pos, "", "there is a userlist '%s' already", l.Name)
	}
	for _, k := range n.Kids {
		if k.Def.Name != "group" {
			continue
		}
		if g := k.Args[0]; slices.Contains(l.Groups, g.Text) {
			d.errorf(g.Pos, "", "there is a group '%s' already", g.Text)
		} else {
			l.Groups = append(l.Groups, g.Text)
		}
	}
	for _, k := range n.Kids {
		if k.Def.Name == "user" {
			d.listUser(&l, k)
		}
	}
	for _, k := range n.Kids {
		if k.Def.Name == "group" {
			d.listGroup(&l, k)
		}
	}
	d.doc.Proxy.UserLists = append(d.doc.Proxy.UserLists, l)
}

// named are the names behind `groups` and `users`, in one word with commas or in several.
func named(k tree.Node) (names []tree.Word) {
	for _, w := range k.Args {
		for name := range strings.SplitSeq(w.Text, ",") {
			names = append(names, tree.Word{Text: name, Pos: w.Pos})
		}
	}
	return names
}

func (d *decoder) listUser(l *proxy.UserList, k tree.Node) {
	u := proxy.User{Name: k.Args[0].Text, Pos: k.Args[0].Pos}
	given := 0
	for _, kid := range k.Kids {
		switch kid.Def.Name {
		case "password", "insecure-password":
			given++
			u.Password, u.Insecure = kid.Args[0].Text, kid.Def.Name == "insecure-password"
			if err := rule.CheckPassword(u.Password); !u.Insecure && err != nil {
				d.errorf(kid.Args[0].Pos, "mkpasswd -m sha-512, or insecure-password", "the password of user '%s' %v", u.Name, err)
			}
		case "groups":
			for _, g := range named(kid) {
				if !slices.Contains(l.Groups, g.Text) {
					d.errorf(g.Pos, meant(g.Text, l.Groups), "user '%s' is of group '%s', which there is not", u.Name, g.Text)
				} else if !slices.Contains(u.Groups, g.Text) {
					u.Groups = append(u.Groups, g.Text)
				}
			}
		}
	}
	switch {
	case given != 1:
		d.errorf(k.Pos, "user NAME password HASH, or insecure-password TEXT", "user '%s' needs one password", u.Name)
	case slices.ContainsFunc(l.Users, func(o proxy.User) bool { return o.Name == u.Name }):
		d.errorf(u.Pos, "", "there is a user '%s' already", u.Name)
	default:
		l.Users = append(l.Users, u)
	}
}

// listGroup adds its users to it.
func (d *decoder) listGroup(l *proxy.UserList, k tree.Node) {
	group := k.Args[0].Text
	for _, kid := range k.Kids {
		for _, w := range named(kid) {
			i := slices.IndexFunc(l.Users, func(u proxy.User) bool { return u.Name == w.Text })
			if i < 0 {
				d.errorf(w.Pos, "", "group '%s' has a user '%s', whom there is not", group, w.Text)
			} else if !slices.Contains(l.Users[i].Groups, group) {
				l.Users[i].Groups = append(l.Users[i].Groups, group)
			}
		}
	}
}

// userLists writes them.
func (w writer) userLists(all []proxy.UserList) {
	for _, l := range all {
		b := w.top("userlist", l.Name)
		for _, g := range l.Groups {
			b.block("group", g)
		}
		for _, u := range l.Users {
			c := b.block("user", u.Name)
			if u.Insecure {
				c.text("insecure-password", u.Password)
			} else {
				c.text("password", u.Password)
			}
			c.list("groups", u.Groups)
		}
	}
}
