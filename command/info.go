package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/reeve-lb/reeve/api"
)

// say prints one line on standard output.
func say(c *call, format string, args ...any) error {
	_, err := fmt.Fprintf(c.out, format+"\n", args...)
	return err
}

func infoLeaf() *leaf {
	return &leaf{
		name: "info", args: "[options]", short: "Print figures of the agent", client: true, format: true, noArgs: true,
		long: "Prints sections of figures: agent, raft, gossip, leases, runtime.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			info, err := cl.Info(c.ctx)
			if err != nil {
				return err
			}
			return c.print(info, func(w io.Writer) {
				for _, section := range slices.Sorted(maps.Keys(info)) {
					fmt.Fprintf(w, "%s:\n", section)
					for _, k := range slices.Sorted(maps.Keys(info[section])) {
						fmt.Fprintf(w, "    %s = %s\n", k, info[section][k])
					}
				}
			})
		},
	}
}

func raftListPeersLeaf() *leaf {
	return &leaf{
		name: "operator raft list-peers", args: "[options]", short: "List Raft's voters", client: true, format: true, noArgs: true,
		long: "Lists the nodes of Raft's configuration as the agent knows it. Works without a leader too: a line on standard error " +
			"says so then, the states are unknown, and the exit code is 0. A node that does not answer has no commit index.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			ps, err := cl.RaftPeers(c.ctx)
			if err != nil {
				return err
			}
			if len(ps) > 0 && !slices.ContainsFunc(ps, func(p api.RaftPeer) bool { return p.State == "leader" }) {
				fmt.Fprintln(c.errOut, "No leader: is a majority of the voters in reach? (`reeve members` shows who lives)")
			}
			return c.print(ps, func(w io.Writer) {
				rows := make([][]string, 0, len(ps))
				for _, p := range ps {
					index := ""
					if p.CommitIndex > 0 {
						index = strconv.FormatUint(p.CommitIndex, 10)
					}
					rows = append(rows, []string{p.Node, p.ID, p.Address, p.State, strconv.FormatBool(p.Voter), index})
				}
				table(w, []string{"Node", "ID", "Address", "State", "Voter", "Commit Index"}, rows)
			})
		},
	}
}
