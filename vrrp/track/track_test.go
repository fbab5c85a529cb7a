package track

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/vrrp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCount(t *testing.T) {
	for _, tc := range []struct {
		name     string
		c        vrrp.Script
		results  string // + and -
		want     string // after each: +, - or ?
		initFail bool
	}{
		{"first result decides", vrrp.Script{Rise: 3, Fall: 3}, "+", "+", false},
		{"first failure decides", vrrp.Script{Rise: 3, Fall: 3}, "-", "-", false},
		{"fall 2", vrrp.Script{Fall: 2, Rise: 1}, "+-+--+", "++++-+", false},
		{"rise 3", vrrp.Script{Fall: 1, Rise: 3}, "-++-+++", "------+", false},
		{"init_fail", vrrp.Script{Fall: 1, Rise: 2, InitFail: true}, "++", "-+", true},
		{"zero is one", vrrp.Script{}, "+-+", "+-+", false},
	} {
		s := initial(tc.c)
		if s.Known != tc.initFail || s.Up {
			t.Errorf("%s: begins as %+v", tc.name, s)
		}
		got := ""
		for _, r := range tc.results {
			s = s.next(tc.c, r == '+', "x")
			got += map[string]string{"ok": "+", "failed": "-", "unknown": "?"}[s.Word()]
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
