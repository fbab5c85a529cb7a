// Package command is the command line: it parses flags, calls api, prints text or JSON. It holds no logic; the daemon
// starts through command/agent.go, the only file that imports package agent.
package command

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/cli"
)

// leaves lists every subcommand, in the order of the reference page.
func leaves() []*leaf {
	return []*leaf{
		agentLeaf(), demoLeaf(),
		validateLeaf(), planLeaf(), applyLeaf(), configShowLeaf(), configHistoryLeaf(), reloadLeaf(),
		vipListLeaf(), vipWhyLeaf(), vipReleaseLeaf(), tableListLeaf(), tableShowLeaf(), certificateListLeaf(), certificateSetLeaf(),
		certificateRemoveLeaf(), certificateTicketKeysLeaf(),
		membersLeaf(), joinLeaf(), leaveLeaf(), infoLeaf(), monitorLeaf(), raftListPeersLeaf(),
		keygenLeaf(), versionLeaf(), keepalivedLeaf(), haproxyLeaf(),
	}
}

// groups are the words that only lead to subcommands.
var groups = map[string]string{
	"config":        "Show the configuration in force and its versions",
	"vip":           "Show and move the virtual addresses",
	"table":         "Show the sticky tables",
	"certificate":   "Show and change the certificates that are served",
	"operator":      "Look into the cluster's machinery",
	"operator raft": "Look into Raft",
}

// group is a word that needs another one after it.
type group struct{ name, short string }

// Synopsis implements cli.Command.
func (g group) Synopsis() string { return g.short }

// Help implements cli.Command.
func (g group) Help() string { return g.short + "." }

// Run implements cli.Command.
func (g group) Run(args []string) int {
	if len(args) > 0 {
		unknown(g.name + " " + args[0])
	}
	return cli.RunResultHelp
}

// unknown says which word is no subcommand; the list of those that are follows.
func unknown(words string) { fmt.Fprintf(os.Stderr, "reeve: there is no command %q\n\n", words) }

// Main runs the program with the process's arguments and returns its exit code.
func Main(argv []string) int {
	if code, ok := hidden(argv); ok {
		return code
	}
	if code, ok := asKeepalived(argv, os.Stdout, os.Stderr); ok {
		return code
	}
	if code, ok := asHAProxy(argv, os.Stdout, os.Stderr); ok {
		return code
	}
	args := argv[1:]
	if len(args) == 1 && slices.Contains([]string{"-v", "-version", "--version"}, args[0]) {
		args = []string{"version"}
	}
	c := cli.NewCLI("reeve", "")
	c.Args = args
	c.HelpWriter = os.Stdout
	c.ErrorWriter = os.Stderr
	c.Commands = map[string]cli.CommandFactory{}
	for word, short := range groups {
		c.Commands[word] = func() (cli.Command, error) { return group{word, short}, nil }
	}
	for _, l := range leaves() {
		c.Commands[l.name] = func() (cli.Command, error) { return l, nil }
	}
	if word := c.Subcommand(); word != "" && c.Commands[word] == nil && !c.IsHelp() && groups[word] == "" {
		unknown(word)
	}
	code, err := c.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reeve:", err)
		return 1
	}
	return code
}

// Page is one subcommand as the website's reference prints it.
type Page struct {
	Name, Synopsis, Help string
}

// Pages lists the reference of every subcommand, made from the same flags that parse.
func Pages() []Page {
	var ps []Page
	for _, l := range leaves() {
		ps = append(ps, Page{Name: l.name, Synopsis: l.short, Help: strings.TrimSpace(l.Help())})
	}
	return ps
}
