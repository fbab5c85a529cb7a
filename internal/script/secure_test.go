package script

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rootFolder is a folder that only root can get at, on a way that only root can change. Where the test is not root there is
// none, and then everything of ours is insecure, which is as good to see.
func rootFolder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestInsecure(t *testing.T) {
	if err := Insecure("sh"); err != nil {
		t.Errorf("sh: %v", err)
	}
	if err := Insecure("/no/such/program"); err == nil {
		t.Error("a missing program is secure")
	}
	dir := rootFolder(t)
	path := filepath.Join(dir, "prog")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho ran\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	check := func(what, program, want string) {
		t.Helper()
		err := Insecure(program)
		switch {
		case !root && (err == nil || !strings.Contains(err.Error(), "belongs to uid")):
			t.Errorf("%s: ours, and %v", what, err)
		case root && want == "" && err != nil, root && want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v", what, err)
		}
	}
	check("root's own", path, "")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("prog", link); err != nil {
		t.Fatal(err)
	}
	check("by a link", link, "")
	_ = os.Chmod(path, 0o757)
	check("writable", path, "written by everybody")
	check("writable, by a link", link, "written by everybody")
	_ = os.Chmod(path, 0o755)
	_ = os.Chmod(dir, 0o777)
	check("in a writable folder", path, "written by everybody")
	_ = os.Chmod(dir, 0o777|os.ModeSticky)
	check("in a folder like /tmp", path, "")
	_ = os.Chmod(dir, 0o755)
	if root {
		_ = os.Chmod(path, 0o775)
		_ = os.Chown(path, 0, 65534)
		check("writable by a group", path, "group 65534")
		_ = os.Chown(path, 65534, 0)
		check("somebody else's", path, "belongs to uid 65534")
		_ = os.Chown(path, 0, 0)
		_ = os.Lchown(link, 65534, 65534)
		check("somebody else's link", link, "does not belong to root")
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := insecure(filepath.Join(dir, "loop"), 0); err == nil {
		t.Error("a link to itself is secure")
	}
}

// TestSecureIsRefused: what root would run and others could change does not run; as another user it does.
func TestSecureIsRefused(t *testing.T) {
	dir := rootFolder(t)
	path := filepath.Join(dir, "prog")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nid -u\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o777)
	spec := Spec{Argv: []string{path}, Secure: true}
	r := Run(context.Background(), spec)
	if os.Geteuid() != 0 {
		if !r.OK() {
			t.Errorf("an ordinary user's script: %v", r)
		}
		return
	}
	if !errors.Is(r.Err, ErrInsecure) || len(r.Output) > 0 || !errors.Is(spec.Vet(), ErrInsecure) {
		t.Errorf("%v, output %q", r, r.Output)
	}
	if r := Run(context.Background(), Spec{Shell: path + " >&2", Secure: true}); !errors.Is(r.Err, ErrInsecure) {
		t.Errorf("by the shell: %v", r)
	}
	if r := Run(context.Background(), Spec{Shell: "id -u", Secure: true}); !r.OK() {
		t.Errorf("a line without a path: %v", r)
	}
	_ = os.Chmod(filepath.Dir(dir), 0o755)
	spec = Spec{Argv: []string{"id", "-u"}, Secure: true, User: "nobody:0"}
	if r := Run(context.Background(), spec); !r.OK() || strings.TrimSpace(string(r.Output)) == "0" || spec.Vet() != nil {
		t.Errorf("as nobody: %v %q", r, r.Output)
	}
}

func TestIDs(t *testing.T) {
	if uid, gid, err := IDs(""); err != nil || uid != os.Geteuid() || gid != os.Getegid() {
		t.Errorf("%d %d %v", uid, gid, err)
	}
	if uid, gid, err := IDs("root:0"); err != nil || uid != 0 || gid != 0 {
		t.Errorf("%d %d %v", uid, gid, err)
	}
	for _, who := range []string{"nobody-of-that-name", "root:nobody-of-that-name"} {
		if _, _, err := IDs(who); err == nil {
			t.Errorf("%s is somebody", who)
		}
	}
	if u := DefaultUser(); u != "" && u != "keepalived_script" {
		t.Errorf("default user %q", u)
	}
}
