package script

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// identity is whom a script runs as. The zero identity is the agent itself.
type identity struct {
	credential *syscall.Credential
	name, home string
}

// identify finds the user and group; asking for another identity than one's own takes root.
func identify(userName, groupName string) (identity, error) {
	if userName == "" && groupName == "" {
		return identity{}, nil
	}
	u, err := lookupUser(userName)
	if err != nil {
		return identity{}, err
	}
	uid, err := number("uid", u.Uid)
	if err != nil {
		return identity{}, err
	}
	gid, err := lookupGroup(groupName, u)
	if err != nil {
		return identity{}, err
	}
	id := identity{name: u.Username, home: u.HomeDir}
	if os.Geteuid() != 0 {
		if int(uid) == os.Geteuid() && int(gid) == os.Getegid() {
			return id, nil
		}
		return identity{}, fmt.Errorf("run as %s: only root may run scripts as somebody else (this is uid %d)", u.Username, os.Geteuid())
	}
	id.credential = &syscall.Credential{Uid: uid, Gid: gid, Groups: supplementary(u, gid)}
	return id, nil
}

// IDs are the numbers of a user, or user:group; of the process itself for "".
func IDs(who string) (uid, gid int, err error) {
	if who == "" {
		return os.Geteuid(), os.Getegid(), nil
	}
	name, group, _ := strings.Cut(who, ":")
	u, err := lookupUser(name)
	if err != nil {
		return 0, 0, err
	}
	id, err := number("uid", u.Uid)
	if err != nil {
		return 0, 0, err
	}
	g, err := lookupGroup(group, u)
	return int(id), int(g), err
}

func lookupUser(name string) (*user.User, error) {
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("current user: %w", err)
		}
		return u, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if byID, idErr := user.LookupId(name); idErr == nil {
			return byID, nil
		}
		return nil, fmt.Errorf("user %q: %w", name, err)
	}
	return u, nil
}

func lookupGroup(name string, u *user.User) (uint32, error) {
	if name == "" {
		return number("gid", u.Gid)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		if g, idErr := user.LookupGroupId(name); idErr == nil {
			return number("gid", g.Gid)
		}
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	return number("gid", g.Gid)
}

// supplementary lists the user's other groups. Without a list the script would keep root's.
func supplementary(u *user.User, gid uint32) []uint32 {
	groups := []uint32{gid}
	ids, err := u.GroupIds()
	if err != nil {
		return groups
	}
	for _, id := range ids {
		if n, err := number("gid", id); err == nil && n != gid {
			groups = append(groups, n)
		}
	}
	return groups
}

func number(what, s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w", what, s, err)
	}
	return uint32(n), nil
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what every script inherits: enough to find programs and speak the right language, and no secret that
// the agent was started with.
func environment(who identity) []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = defaultPath
	}
	env := []string{"PATH=" + path}
	for _, name := range []string{"LANG", "LC_ALL", "TZ", "HOME", "USER", "LOGNAME"} {
		if v, ok := os.LookupEnv(name); ok && (who.name == "" || strings.HasPrefix(name, "L") && name != "LOGNAME" || name == "TZ") {
			env = append(env, name+"="+v)
		}
	}
	if who.name != "" {
		env = append(env, "HOME="+who.home, "USER="+who.name, "LOGNAME="+who.name)
	}
	return env
}
