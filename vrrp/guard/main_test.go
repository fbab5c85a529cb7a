package guard

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// The test binary is its own guard and its own agent: these words as the first argument make it one.
const (
	guardWord = "guard-process"
	agentWord = "agent-process"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case guardWord:
			exit(Main(ProcessOptions{Said: writeSaid, Logger: hclog.New(&hclog.LoggerOptions{Name: "guard"})}))
		case agentWord:
			exit(agent(os.Args[2:]))
		}
	}
	lab.Main(checked{m})
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// heavySockets is how many packet sockets an agent gets that is told to listen: Linux takes 10 ms or more to end each.
const heavySockets = 50

func htons(x uint16) uint16 { return x<<8 | x>>8 }

type checked struct{ *testing.M }

// Run fails the package when a goroutine is left.
func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// writeSaid is the guard's word to the cluster in these tests: one line a release in the file that the blob names, with
// the time by the boot clock.
func writeSaid(_ context.Context, released []Released, blob []byte) {
	f, err := os.OpenFile(string(blob), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	for _, r := range released {
		fmt.Fprintf(f, "%d %q %d %v\n", boottime.Now(), r.Instance, r.Epoch, r.AgentDied)
	}
}

// agent is what an agent does with a guard: pet, add, renew; its arguments are the file for writeSaid, the time to live
// of the lease, the pause between renewals and the addresses. It prints the guard's process id when all is on, and obeys
// "listen", "drop" and "close" on standard input.
func agent(args []string) error {
	ttl, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	every, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	a := &testAgent{ttl: ttl, vip: vip.New(vip.Options{}), g: vip.Group{Instance: "VI_1", Interface: "eth0"}}
	for _, p := range args[3:] {
		a.g.Addresses = append(a.g.Addresses, vrrp.Address{Prefix: netip.MustParsePrefix(p)})
	}
	return a.run(args[0], every)
}

type testAgent struct {
	ttl    time.Duration
	vip    *vip.Manager
	g      vip.Group
	client *Client
	mu     sync.Mutex
}

func (a *testAgent) run(said string, every time.Duration) error {
	if err := a.vip.Remove(a.g); err != nil {
		return err
	}
	// Standard error is not handed on: the pipe's reader would wait for the guard.
	client, err := Start(context.Background(), Options{Args: []string{guardWord}, Logger: hclog.New(&hclog.LoggerOptions{Output: os.Stdout})})
	if err != nil {
		return err
	}
	a.client = client
	if err := client.Say([]byte(said)); err != nil {
		return err
	}
	if err := a.renew(a.vip.Add); err != nil {
		return err
	}
	fmt.Printf("ready guard=%d\n", client.Stats().PID)
	go a.obey()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range tick.C {
		if err := a.renew(a.vip.Extend); err != nil {
			return err
		}
	}
	return nil
}

func (a *testAgent) renew(put func(vip.Group, boottime.Time) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := Holding{Instance: a.g.Instance, Epoch: 7, Expiry: boottime.Now().Add(a.ttl)}
	for _, x := range a.g.Addresses {
		h.Addresses = append(h.Addresses, Address{Dev: a.g.Interface, Prefix: x.Prefix})
	}
	a.client.Pet(h)
	return put(a.g, h.Expiry)
}

func (a *testAgent) obey() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		a.mu.Lock()
		switch in.Text() {
		case "listen":
			for range heavySockets {
				fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
				if err == nil {
					err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: 1})
				}
				if err != nil {
					fmt.Println(err)
				}
			}
			fmt.Println("listening")
		case "drop":
			_ = a.vip.Remove(a.g)
			a.client.Drop(a.g.Instance)
			fmt.Println("dropped")
			select {} // with the lock: it renews no more
		case "forget": // the address stays on, the guard is not told
			fmt.Println("forgotten")
			select {}
		case "close":
			a.client.Close()
			os.Exit(0)
		}
		a.mu.Unlock()
	}
}

// spoken is one line of writeSaid.
type spoken struct {
	at boottime.Time
	Released
}

func readSaid(path string) []spoken {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []spoken
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 4 {
			continue
		}
		at, _ := strconv.ParseInt(f[0], 10, 64)
		name, _ := strconv.Unquote(f[1])
		epoch, _ := strconv.ParseUint(f[2], 10, 64)
		out = append(out, spoken{boottime.Time(at), Released{name, epoch, f[3] == "true"}})
	}
	return out
}

// within fails the test unless cond comes true in time.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }
