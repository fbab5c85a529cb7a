// Package drill puts whole daemons on a segment, Reeve's and the real keepalived with the same file, makes happen what
// happens to load balancers, and looks at the wire and the addresses alone.
package drill

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Labs wait most of the time, so many run side by side whatever the number of processors.
	most := "20"
	if fine() {
		most = "8"
	}
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", most); err != nil {
			panic(err)
		}
	}
	if lab.Program() != "" {
		raise()
	}
	lab.MainWithProgram(m, "github.com/reeve-lb/reeve", "hashicorpmetrics")
}

// raise lets what is started here, daemons of either kind and the test's own clocks, go before whatever else the machine
// is busy with: what is measured is a daemon's time, not a compiler's. Who may not do so does without. Where the kernel
// shares time among sessions first, it takes a session of our own; elsewhere the threads' own priority.
func raise() {
	const most = -10
	_, _ = unix.Setsid()
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(most)), 0)
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, most)
		}
	}
}

func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

// abreast lets a test run beside others. Where figures are held closely it is one test at a time, only its own parts are
// side by side.
func abreast(t *testing.T) {
	if !fine() {
		t.Parallel()
	}
}

// fine tells that figures are held closely.
func fine() bool { return os.Getenv("REEVE_LONG") != "" }

// How far from its formula a time may be.
const (
	closely  = 50 * time.Millisecond
	somewhat = 300 * time.Millisecond
)

// tolerance is how far from its formula a time may be.
func tolerance() time.Duration {
	if fine() {
		return closely
	}
	return somewhat
}

// toleranceOf is tolerance, but for two keepalived among themselves: they are the control, which shows that a scenario asks
// of Reeve what keepalived does, and how late keepalived is on a busy machine is not ours to hold.
func toleranceOf(t testing.TB) time.Duration {
	if strings.HasSuffix(t.Name(), "/KK") {
		return somewhat
	}
	return tolerance()
}

// limit is how long a lab may live: what has not come by then never comes.
const limit = 90 * time.Second
