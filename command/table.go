package command

import (
	"io"
	"strconv"
	"time"
)

func tableListLeaf() *leaf {
	return &leaf{
		name: "table list", args: "[options]", short: "List the sticky tables", client: true, format: true, noArgs: true,
		long: "Lists the replicated tables with their sizes.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			ts, err := cl.Tables(c.ctx)
			if err != nil {
				return err
			}
			return c.print(ts, func(w io.Writer) {
				rows := make([][]string, 0, len(ts))
				for _, t := range ts {
					rows = append(rows, []string{t.Name, t.Type, strconv.Itoa(t.Size), strconv.Itoa(t.Entries)})
				}
				table(w, []string{"Table", "Type", "Size", "Entries"}, rows)
			})
		},
	}
}

func tableShowLeaf() *leaf {
	return &leaf{
		name: "table show", args: "[options] TABLE", short: "Show a sticky table's entries", client: true, format: true,
		long: "Lists the entries of one table: key, server, time left.",
		run: func(c *call) error {
			if len(c.args) != 1 {
				return usagef("name one table (`reeve table list` shows them)")
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			es, err := cl.Table(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return c.print(es, func(w io.Writer) {
				rows := make([][]string, 0, len(es))
				for _, e := range es {
					rows = append(rows, []string{e.Key, e.Server, (time.Duration(e.ExpiresMS) * time.Millisecond).Round(time.Second).String()})
				}
				table(w, []string{"Key", "Server", "Expires In"}, rows)
			})
		},
	}
}
