// Package drill puts whole daemons on a segment, Reeve's and the real keepalived with the same file, makes happen what
// happens to load balancers, and looks at the wire and the addresses alone.
package drill

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Labs wait most of the time, so many run side by side whatever the number of processors; where the figures of an idle
	// machine are asked for, one at a time.
	together := "20"
	if fine() {
		together = "1"
	}
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", together); err != nil {
			panic(err)
		}
	}
	lab.MainWithProgram(m, "github.com/reeve-lb/reeve", "hashicorpmetrics")
}

func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

// fine tells that labs run alone and figures are held closely.
func fine() bool { return os.Getenv("REEVE_LONG") != "" }

// tolerance is how far from its formula a time may be.
func tolerance() time.Duration {
	if fine() {
		return 50 * time.Millisecond
	}
	return 300 * time.Millisecond
}

// limit is how long a lab may live: what has not come by then never comes.
const limit = 90 * time.Second
