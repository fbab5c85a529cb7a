package main

import (
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/config/lint"
)

// lintPage is the linter's table of rules.
func lintPage() string {
	var b strings.Builder
	b.WriteString(generated + "# Linter\n\n")
	b.WriteString("`reeve validate`, `reeve plan` and `reeve apply` warn of what a configuration says and its author hardly means. A warning stops nothing. " +
		"It begins with file, line and column like every other, and ends with the name of its rule in brackets; " +
		"under `-format=json` the name is the problem's `rule`. `-ignore=NAME` leaves a rule out; it may be repeated.\n\n" +
		"```text\n" +
		"lb1.conf:22:9: warning: the weight -10 of 'chk' can never move vrrp_instance 'VI_1' from lb1 to lb2: 90 is still more than 50 " +
		"(more than 50 is needed, as in weight -60; weight 0 makes every failure a FAULT) [weight-never-fails-over]\n" +
		"```\n\n" +
		"What a rule looks at: **a file** as it is read; **all nodes** of a configuration together (`reeve validate lb1=lb1.conf lb2=lb2.conf`, or `node` blocks in HCL), " +
		"once there is no error in it; **each machine** that would run it, when it is asked by `plan` and `apply`. `reeve validate -here` asks the machine it runs on.\n\n")
	b.WriteString("| rule | looks at | warns of | because |\n|---|---|---|---|\n")
	for _, r := range lint.Rules() {
		fmt.Fprintf(&b, "| <a id=\"%s\"></a>`%s` | %s | %s | %s |\n", r.Name, r.Name, r.Where, cell(r.Says), cell(r.Why))
	}
	return b.String()
}
