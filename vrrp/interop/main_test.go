package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/guard"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// The test binary is also the speaker's process on a host, and its guard's.
const (
	configEnv  = "REEVE_TEST_VRRP_CONFIG"  // file with a vrrp.Config; read again at HUP
	clusterEnv = "REEVE_TEST_VRRP_CLUSTER" // verdicts come by standard input
	guardArg   = "_guard"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == guardArg {
		if err := guard.Main(guard.ProcessOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if file := os.Getenv(configEnv); file != "" {
		if err := speak(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lab.Main(m)
}

// speak is a node with nothing but the speaker.
func speak(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var s *speaker.Speaker
	g, err := guard.Start(ctx, guard.Options{Args: []string{guardArg}, Gone: func(r guard.Released) { s.Fenced(r.Instance, r.Epoch) }})
	if err != nil {
		return err
	}
	defer g.Close()
	o := speaker.Options{Node: "me", Logger: hclog.New(&hclog.LoggerOptions{Output: os.Stdout}), Guard: g}
	election := vrrp.ElectionVRRP
	if os.Getenv(clusterEnv) != "" {
		election = vrrp.ElectionCluster
		a := script{make(chan vrrp.Verdict)}
		o.Arbiter = a
		go a.read(os.Stdin)
	}
	s = speaker.New(o)
	apply := func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var c vrrp.Config
		if err := json.Unmarshal(b, &c); err != nil {
			return err
		}
		for _, p := range s.Apply(c, election) {
			fmt.Println("problem:", p)
		}
		fmt.Println("applied")
		return nil
	}
	if err := apply(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for sig := range signals {
			switch sig {
			case syscall.SIGHUP:
				_ = apply()
			case syscall.SIGUSR2:
				for _, st := range s.Status() {
					fmt.Println("release:", s.Release(ctx, st.Instance))
				}
			default:
				b, _ := json.Marshal(s.Status())
				fmt.Println("status:", string(b))
			}
		}
	}()
	return s.Run(ctx)
}

// script is an arbiter that decides as the test says: lines "KIND INSTANCE EPOCH MILLISECONDS HOLDER VOTERS".
type script struct{ verdicts chan vrrp.Verdict }

func (s script) Stand(instance string, c vrrp.Candidacy) { fmt.Printf("stand %s %+v\n", instance, c) }
func (s script) Withdraw(instance string)                { fmt.Println("withdraw", instance) }
func (s script) Released(instance string, epoch uint64)  { fmt.Println("released", instance, epoch) }
func (s script) Verdicts() <-chan vrrp.Verdict           { return s.verdicts }

func (s script) read(f *os.File) {
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kind, instance, holder string
		var epoch uint64
		var ms, voters int
		if _, err := fmt.Sscan(lines.Text(), &kind, &instance, &epoch, &ms, &holder, &voters); err != nil {
			fmt.Println("bad verdict:", lines.Text(), err)
			continue
		}
		v := vrrp.Verdict{Instance: strings.Trim(instance, "-"), Epoch: epoch, Holder: strings.Trim(holder, "-"), Voters: voters}
		if ms > 0 {
			v.Expiry = boottime.Now().Add(time.Duration(ms) * time.Millisecond)
		}
		for k := vrrp.Granted; k <= vrrp.Quorum; k++ {
			if strings.ReplaceAll(k.String(), " ", "-") == kind {
				v.Kind = k
			}
		}
		s.verdicts <- v
	}
}

// start starts a speaker on a host and returns it with its configuration's file.
func start(t *testing.T, n *lab.Test, h *lab.Host, c vrrp.Config, env ...string) (*lab.Process, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), h.Name()+".json")
	write(t, file, c)
	p := h.Command("/proc/self/exe")
	p.Env = append(env, configEnv+"="+file)
	n.StartProcess(p)
	return p, file
}

func write(t *testing.T, file string, c vrrp.Config) {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
