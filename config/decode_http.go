package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/proxy"
)

// retryCauses are the words of `retry-on`.
var retryCauses = strings.Fields(`none conn-failure empty-response junk-response response-timeout 0rtt-rejected all-retryable-errors
	401 403 404 408 425 500 501 502 503 504`)

func (d *decoder) retryOn(b *proxy.Backend, k tree.Node) {
	b.RetryOn = nil
	if k.No {
		return
	}
	if len(k.Args) == 0 {
		d.errorf(k.Pos, strings.Join(retryCauses, " "), "'retry-on' needs a cause")
	}
	for _, w := range k.Args {
		switch {
		case !slices.Contains(retryCauses, w.Text):
			d.errorf(w.Pos, strings.Join(retryCauses, " "), "%s is no cause for 'retry-on'", tree.Quote(w.Text))
		case w.Text == "none" && len(k.Args) > 1:
			d.errorf(w.Pos, "", "'retry-on none' stands alone")
		case !slices.Contains(b.RetryOn, w.Text):
			b.RetryOn = append(b.RetryOn, w.Text)
		}
	}
}

// errorCodes are the statuses that pages can be given for.
var errorCodes = []int{200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504}

// errorFile reads `errorfile CODE FILE` and `errorloc CODE URL`. A later line for the same code takes the place of the
// earlier one.
func (d *decoder) errorFile(commons []*proxy.Common, k tree.Node) {
	code, err := strconv.Atoi(k.Args[0].Text)
	if err != nil || !slices.Contains(errorCodes, code) {
		d.errorf(k.Args[0].Pos, "one of "+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(errorCodes)), ", "), "[]"),
			"%s is no status with a page", tree.Quote(k.Args[0].Text))
		return
	}
	if len(k.Args) > 2 {
		d.errorf(k.Args[2].Pos, "", "surplus word %s after '%s'", tree.Quote(k.Args[2].Text), k.Def.Name)
		return
	}
	f := proxy.ErrorFile{Code: code, Pos: k.Pos}
	switch where := k.Args[1]; k.Def.Name {
	case "errorfile":
		f.File = where.Text
	default:
		f.Location, f.Status = where.Text, 302
		if k.Def.Name == "errorloc303" {
			f.Status = 303
		}
		if strings.ContainsFunc(where.Text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			d.errorf(where.Pos, "", "%s is no URL", tree.Quote(where.Text))
			return
		}
	}
	for _, c := range commons {
		c.ErrorFiles = slices.DeleteFunc(slices.Clone(c.ErrorFiles), func(o proxy.ErrorFile) bool { return o.Code == code })
		c.ErrorFiles = append(c.ErrorFiles, f)
	}
}
