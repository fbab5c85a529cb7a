package probe

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/reeve-lb/reeve/check"
)

// TestSendProxy: a header that names nobody goes in front of the check, and a server that closes then is alive.
func TestSendProxy(t *testing.T) {
	for version, want := range map[int]string{1: "PROXY UNKNOWN\r\n", 2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			defer c.Close()
			b, _ := io.ReadAll(c)
			got <- string(b)
		}()
		c := withDefaults(check.Config{Kind: check.TCP, Address: l.Addr().String(), SendProxy: version})
		if out := ask(context.Background(), (&net.Dialer{}).DialContext, nil, c); out.Status != L4OK {
			t.Errorf("%+v", out)
		}
		if text := <-got; text != want {
			t.Errorf("version %d: %q", version, text)
		}
		l.Close()
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct {
		address string
		port    int
		want    string
	}{
		{"10.0.0.1:80", 0, "tcp 10.0.0.1:80"}, {"10.0.0.1:80", 81, "tcp 10.0.0.1:81"}, {"10.0.0.1", 81, "tcp 10.0.0.1:81"},
		{"[::1]:80", 0, "tcp [::1]:80"}, {"::1", 81, "tcp [::1]:81"}, {"[::1]", 81, "tcp [::1]:81"}, {"name:+1", 81, "tcp name:81"},
		{"/run/s", 0, "unix /run/s"}, {"name", 0, " "},
	} {
		network, address, err := target(check.Config{Address: c.address, Port: c.port})
		if got := network + " " + address; got != c.want || (err != nil) != (c.want == " ") {
			t.Errorf("%s, port %d: %q %v", c.address, c.port, got, err)
		}
	}
}
