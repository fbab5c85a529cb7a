package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/term"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/demo"
)

// demoDirVar hands the temporary folder to the inner process; the outer one removes it whatever happens inside.
const demoDirVar = "REEVE_DEMO_DIR"

func demoLeaf() *leaf {
	fail, leader, check, idle := new(string), new(bool), new(int), new(bool)
	return &leaf{
		name: "demo", args: "[options]", short: "Lose a node of a cluster and see what a client notices", noArgs: true, format: true,
		long: "Builds a cluster of three nodes with web servers and a client, in network namespaces of its own, applies a change, fails " +
			"the owner of a virtual address, brings it back, and prints what the client noticed. It needs neither root nor any other " +
			"program, touches nothing of the machine but a temporary folder, and leaves nothing behind. -format=json prints one object.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(fail, "fail", "kill", "how the owner fails, a `kind`: kill (kill -9), stop (frozen), link (cut off by the switch) or leave")
			fs.BoolVar(leader, "leader", false, "fail a node that is the cluster's leader too")
			fs.IntVar(check, "check", 0, "measure -idle and run every kind of failure this `number` of times, print the spread, exit 1 if any is worse than promised")
			fs.BoolVar(idle, "idle", false, "fail nothing: leave the cluster alone for three times ten seconds and print what its processes cost, exit 1 if more than promised")
		},
		run: func(c *call) error {
			kind, err := demo.ParseKind(*fail)
			if err != nil {
				return usagef("-fail=%v", err)
			}
			if *check < 0 || (*check > 0 && c.json) {
				return usagef("-check=%d: a positive number, and no -format=json", *check)
			}
			if *idle && *check > 0 {
				return usagef("-idle: -check=%d measures it too", *check)
			}
			dir, done, err := enterLab()
			if done || err != nil {
				return err
			}
			if *check > 0 {
				good, err := demo.Check(c.ctx, c.out, *check, dir, demoAgents{})
				if err == nil && !good {
					err = errSilent
				}
				return interrupted(err)
			}
			if *idle {
				return runIdle(c, dir)
			}
			return runDemo(c, demo.Options{Fail: kind, Leader: *leader, Dir: dir})
		},
	}
}

// runIdle prints what a cluster costs that is left alone.
func runIdle(c *call, dir string) error {
	r, err := demo.Idle(c.ctx, dir, demoAgents{})
	if err != nil {
		return interrupted(err)
	}
	if err := c.print(r, func(w io.Writer) { _ = r.Print(w) }); err != nil {
		return err
	}
	if len(r.Faults()) > 0 {
		return errSilent
	}
	return nil
}

// enterLab makes the temporary folder and goes on in namespaces of the demo's own. In the outer process it comes back with
// done when all is over.
func enterLab() (dir string, done bool, err error) {
	dir = os.Getenv(demoDirVar)
	if dir == "" {
		if dir, err = os.MkdirTemp("", "reeve-demo-"); err != nil {
			return "", false, err
		}
		os.Setenv(demoDirVar, dir)
	}
	code, inside, err := lab.Enter()
	if inside {
		os.Unsetenv(demoDirVar)
		return dir, false, nil
	}
	err = errors.Join(err, os.RemoveAll(dir))
	if err == nil && code != 0 {
		err = errSilent
	}
	return dir, true, err
}

func runDemo(c *call, o demo.Options) error {
	picture := (*demo.Picture)(nil)
	switch fd := int(os.Stdout.Fd()); {
	case c.json:
		o.View = demo.Silent{}
	case term.IsTerminal(fd) && os.Getenv("TERM") != "dumb":
		picture = demo.NewPicture(c.out, os.Getenv("NO_COLOR") == "", func() int {
			width, _, err := term.GetSize(fd)
			if err != nil {
				return 80
			}
			return width
		})
		o.View = picture
	default:
		o.View = demo.Lines{W: c.out}
	}
	r, err := demo.Run(c.ctx, o, demoAgents{})
	if picture != nil {
		picture.Close()
	}
	if err != nil {
		return interrupted(err)
	}
	return c.print(r, func(w io.Writer) { fmt.Fprint(w, "\n"+r.Text()) })
}

// interrupted is silent about an end that the user asked for.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return errSilent
	}
	return err
}

// demoAgents runs this program as the agents of the demo and speaks to them as every command does.
type demoAgents struct{}

// Argv implements demo.Agents.
func (demoAgents) Argv(n demo.Node) []string {
	argv := []string{
		"/proc/self/exe", "agent", "-node", n.Name, "-bind", n.Address.String(), "-data-dir", n.DataDir,
		"-bootstrap-expect", strconv.Itoa(n.Expect), "-encrypt", n.Key, "-http-addr", "unix://" + n.Socket,
	}
	for _, j := range n.Join {
		argv = append(argv, "-retry-join", j)
	}
	for _, f := range n.Files {
		argv = append(argv, "-config-file", f)
	}
	return argv
}

func (demoAgents) client(n demo.Node) (*api.Client, error) {
	return api.New(api.Options{Address: "unix://" + n.Socket, Timeout: 5 * time.Second})
}

// State implements demo.Agents.
func (a demoAgents) State(ctx context.Context, n demo.Node) (demo.State, error) {
	cl, err := a.client(n)
	if err != nil {
		return demo.State{}, err
	}
	defer cl.Close()
	self, err := cl.Self(ctx)
	if err != nil {
		return demo.State{}, err
	}
	members, err := cl.Members(ctx)
	if err != nil {
		return demo.State{}, err
	}
	s := demo.State{Version: self.ConfigVersion, Leader: self.Leader}
	for _, m := range members {
		if m.Status == "alive" {
			s.Alive++
		}
	}
	return s, nil
}

// Apply implements demo.Agents.
func (a demoAgents) Apply(ctx context.Context, n demo.Node, files []demo.File) (uint64, error) {
	cl, err := a.client(n)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	r := api.ConfigRequest{Summary: "one more web server"}
	for _, f := range files {
		r.Files = append(r.Files, api.File{Name: filepath.Base(f.Name), Content: f.Content})
	}
	answer, err := cl.Apply(ctx, r)
	if err != nil {
		return 0, err
	}
	for _, node := range answer.Nodes {
		if node.Error != "" {
			return 0, fmt.Errorf("%s: %s", node.Node, node.Error)
		}
	}
	return answer.Version, nil
}

// Leave implements demo.Agents.
func (a demoAgents) Leave(ctx context.Context, n demo.Node) error {
	cl, err := a.client(n)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.Leave(ctx)
}

// Tied implements demo.Agents.
func (a demoAgents) Tied(ctx context.Context, n demo.Node, backend string) ([]string, error) {
	cl, err := a.client(n)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	entries, err := cl.Table(ctx, backend)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys, nil
}
