package probe

import (
	"fmt"
	"slices"
	"testing"

	"github.com/reeve-lb/reeve/check"
)

// What on-error's words make of bad signs: the states they lead to, and when the server is asked next.
func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		name string
		kind Doubt
		want []string
	}{
		{"fail-check", FailCheck, []string{"0s UP", "300ms UP 2/3 HANA", "500ms UP"}},
		{"mark-down", MarkDown, []string{"0s UP", "300ms DOWN HANA", "500ms DOWN 1/2", "700ms UP"}},
		{"sudden-death", SuddenDeath, []string{"0s UP", "300ms UP 1/3 HANA", "500ms UP"}},
		{"fastinter", FastInter, []string{"0s UP", "500ms UP"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world, p *Runner) {
				p.Apply(map[string]check.Config{"b/s": tcp("s:1")})
				pass(ms(300))
				p.Doubt("b/s", c.kind)
				p.Doubt("b/other", c.kind)
				pass(ms(500))
				var got []string
				for i, r := range w.results {
					text := fmt.Sprint(w.at[i], " ", r.State)
					if r.Status == HANA {
						text += " HANA"
					}
					got = append(got, text)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("got  %v\nwant %v", got, c.want)
				}
			})
		})
	}
}
