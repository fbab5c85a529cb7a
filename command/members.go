package command

import (
	"flag"
	"io"
	"strings"
)

func membersLeaf() *leaf {
	return &leaf{
		name: "members", args: "[options]", short: "List the nodes and whether they live", client: true, format: true, noArgs: true,
		long: "Lists every node that the agent knows by gossip: alive, leaving, left or failed. * marks Raft's leader.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			ms, err := cl.Members(c.ctx)
			if err != nil {
				return err
			}
			return c.print(ms, func(w io.Writer) {
				rows := make([][]string, 0, len(ms))
				for _, m := range ms {
					name := m.Name
					if m.Leader {
						name += " *"
					}
					rows = append(rows, []string{name, m.Address, m.Status, m.Role, m.Build})
				}
				table(w, []string{"Node", "Address", "Status", "Role", "Build"}, rows)
			})
		},
	}
}

func joinLeaf() *leaf {
	return &leaf{
		name: "join", args: "[options] ADDRESS...", short: "Make the agent find other nodes", client: true,
		long: "Asks the agent to contact the nodes at the gossip addresses (host or host:port). One that answers is enough: " +
			"gossip tells the rest.",
		run: func(c *call) error {
			if len(c.args) == 0 {
				return usagef("which address?")
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			n, err := cl.Join(c.ctx, c.args)
			if err != nil {
				return err
			}
			return say(c, "Joined %d of %d addresses.", n, len(c.args))
		},
	}
}

func leaveLeaf() *leaf {
	return &leaf{
		name: "leave", args: "[options]", short: "Take the agent out of the cluster and end it", client: true, noArgs: true,
		long: "The agent hands over its virtual addresses, drains, leaves gossip and Raft, and ends. To stop an agent that " +
			"will be back, stop its service instead: it stays a voter.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			if err := cl.Leave(c.ctx); err != nil {
				return err
			}
			return say(c, "The agent is leaving.")
		},
	}
}

func reloadLeaf() *leaf {
	return &leaf{
		name: "reload", args: "[options]", short: "Make the agent read its own files again", client: true, noArgs: true,
		long: "The same as a HUP signal. An agent that stands alone takes its files as its configuration, in place, without " +
			"dropping a connection. In a cluster the configuration changes by `reeve apply`; reload then reads the node's own " +
			"settings and says where its files differ from the version in force.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			r, err := cl.Reload(c.ctx)
			if err != nil {
				return err
			}
			printProblems(c.errOut, r.Problems)
			return say(c, "Reloaded.")
		},
	}
}

func monitorLeaf() *leaf {
	level := new(string)
	return &leaf{
		name: "monitor", args: "[options]", short: "Follow the agent's log", client: true, noArgs: true,
		long: "Prints the agent's log as it comes, at a level that may be finer than the agent's own, until interrupted.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(level, "log-level", "info", "`level`: trace, debug, info, warn or error")
		},
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			r, err := cl.Monitor(c.ctx, *level)
			if err != nil {
				return err
			}
			defer r.Close()
			if _, err := io.Copy(c.out, r); err != nil && c.ctx.Err() == nil && !strings.Contains(err.Error(), "EOF") {
				return err
			}
			return nil
		},
	}
}
