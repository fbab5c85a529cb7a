package stats

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func sample() Snapshot {
	return Snapshot{Process: Process{Version: "1", Uptime: 90061 * time.Second}, Rows: []Row{
		{PxName: "fe", SvName: "FRONTEND", Type: FrontendType, Mode: "http", Status: "OPEN", SCur: 3, ReqTot: 9, EReq: 1},
		{PxName: "be", SvName: "s1", Type: ServerType, Mode: "http", Status: "UP 1/3", Weight: 2, Act: 1, QMax: 4, CheckStatus: "L7STS", CheckCode: 404, LastChk: `say "x", y`},
		{PxName: "be", SvName: "BACKEND", Type: BackendType, Mode: "http", Status: "UP", Act: 1},
	}}
}

// TestCSV reads the columns by the places that existing tools know.
func TestCSV(t *testing.T) {
	text := string(AppendCSV(nil, sample()))
	if !strings.HasPrefix(text, "# pxname,svname,qcur,qmax,scur,") || !strings.HasSuffix(text, ",\n\n") {
		t.Fatalf("%q", text)
	}
	recs, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if len(r) != 108 || r[103] != "-" && r[102] != "-" {
			t.Errorf("%d fields: %q", len(r), r)
		}
	}
	for _, tc := range []struct {
		row, col int
		want     string
	}{
		{1, 0, "fe"}, {1, 2, ""}, {1, 4, "3"}, {1, 12, "1"}, {1, 17, "OPEN"}, {1, 32, "0"}, {1, 48, "9"},
		{2, 3, "4"}, {2, 17, "UP 1/3"}, {2, 18, "2"}, {2, 32, "2"}, {2, 36, "L7STS"}, {2, 37, "404"}, {2, 56, `say "x", y`}, {3, 32, "1"},
	} {
		if got := recs[tc.row][tc.col]; got != tc.want {
			t.Errorf("row %d, %s: %q, want %q", tc.row, recs[0][tc.col], got, tc.want)
		}
	}
}

func TestPage(t *testing.T) {
	s := sample()
	s.Rows[0].PxName = "<fe>"
	text := string(AppendPage(nil, s, 2*time.Second))
	for _, part := range []string{"HAProxy version ", "uptime = 1d 1h01m01s", `content="2"`, "&lt;fe&gt;", "UP 1/3"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if strings.Contains(string(AppendPage(nil, s, 0)), "refresh") {
		t.Error("reloads unasked")
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	var back Snapshot
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if r, ok := back.Find("be", "s1"); !ok || r.Status != "UP 1/3" || r.QMax != 4 {
		t.Errorf("%+v", r)
	}
	if _, ok := back.Find("be", "s2"); ok {
		t.Error("found what is not there")
	}
}

func TestCheckText(t *testing.T) {
	for want, c := range map[string]CheckResult{"Layer4 timeout": {Status: "L4TOUT"}, "own": {Status: "L4CON", Reason: "own"}, "L9X": {Status: "L9X"}} {
		if c.Text() != want {
			t.Errorf("%q, want %q", c.Text(), want)
		}
	}
}
