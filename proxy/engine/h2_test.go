package engine

import (
	"bytes"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// tool builds a program of tools/go.mod.
func tool(t *testing.T, pkg string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-C", "../../tools", "-o", bin, pkg).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return bin
}

// TestH2Spec holds the front to h2spec in strict mode, all of it, in clear and under TLS.
func TestH2Spec(t *testing.T) {
	bin, ca := tool(t, "github.com/summerwind/h2spec/cmd/h2spec"), pki.New(t)
	server := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("0123456789abcdef", 128))
	})
	t.Run("clear", func(t *testing.T) {
		t.Parallel()
		h2spec(t, bin, start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Frontends[0].Binds[0].Proto = proxy.H2Proto }).addr)
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		h2spec(t, bin, start(t, proxy.HTTP, []proxy.Server{server}, h2OverTLS(ca)).addr, "-t", "-k")
	})
}

// h2spec runs all tests against an address; any that fails or is skipped is told.
func h2spec(t *testing.T, bin, addr string, args ...string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	report := filepath.Join(t.TempDir(), "report.xml")
	out, err := exec.Command(bin, append([]string{"-h", host, "-p", port, "-o", "5", "-S", "-j", report}, args...)...).CombinedOutput()
	text, rerr := os.ReadFile(report)
	if rerr != nil {
		t.Fatalf("h2spec: %v, %v\n%s", err, rerr, out)
	}
	var r struct {
		Suites []struct {
			Tests  int `xml:"tests,attr"`
			Errors int `xml:"errors,attr"`
			Skips  int `xml:"skipped,attr"`
			Cases  []struct {
				Package string  `xml:"package,attr"`
				Name    string  `xml:"classname,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
				Skipped *string `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(bytes.ReplaceAll(text, []byte{0}, nil), &r); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range r.Suites {
		n += len(s.Cases)
		for _, c := range s.Cases {
			for _, bad := range []*string{c.Failure, c.Error, c.Skipped} {
				if bad != nil {
					t.Errorf("%s %s: %s", c.Package, c.Name, strings.Join(strings.Fields(*bad), " "))
				}
			}
		}
	}
	if n != 146 {
		t.Errorf("%d tests, want 146\n%s", n, out)
	}
}
