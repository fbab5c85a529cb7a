package stolen

import "testing"

func TestProcessors(t *testing.T) {
	before, err := parse([]byte("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2 3\n"))
	if err != nil || before != (Processors{1000, 35}) {
		t.Errorf("%+v, %v", before, err)
	}
	after, err := parse([]byte("cpu  150 0 60 900 10 0 5 75 9 0\n"))
	if err != nil || after.Since(before) != 20 || before.Since(after) != 0 || before.Since(before) != 0 {
		t.Errorf("%+v, %v: %v %% stolen", after, err, after.Since(before))
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu 1 2 3 4 5 6 7 x", "intr 1 2 3 4 5 6 7 8 9"} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if _, err := Look(); err != nil {
		t.Error(err)
	}
}
