package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

const frontText = "frontend web\n mode http\n timeout client 1s\n bind :80\n "

func TestStickTablesOfCounters(t *testing.T) {
	d, ps := parseText(t, "a.cfg", frontText+"stick-table type string len 64 size 100k expire 10s nopurge store gpc0,http_req_rate(10s) store conn_cur\n")
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	s := d.Proxy.Frontends[0].StickTable
	if s == nil || s.Type != "string" || s.Len != 64 || s.Size != 100<<10 || s.Expire != 10*time.Second || !s.NoPurge ||
		!slices.Equal(s.Store, []string{"gpc0", "http_req_rate(10s)", "conn_cur"}) {
		t.Errorf("%+v", s)
	}
}

func TestCapturesAreRead(t *testing.T) {
	d, ps := parseText(t, "a.cfg", frontText+"declare capture request len 9\n capture cookie OLD len 1\n capture request header Host len 64\n capture response header X-A len 3\n capture cookie S len 32\n declare capture response len 7\n")
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	got := d.Proxy.Frontends[0].Captures
	want := []proxy.Capture{{Of: proxy.DeclareRequest, Len: 9}, {Of: proxy.CaptureRequest, Name: "Host", Len: 64}, {Of: proxy.CaptureResponse, Name: "X-A", Len: 3},
		{Of: proxy.CaptureCookie, Name: "S", Len: 32}, {Of: proxy.DeclareResponse, Len: 7}}
	for i := range got {
		got[i].Pos = want[0].Pos
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// What is wrong about tables, tracking, captures and figures is told with its place.
func TestTableMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"stick-table type ip size 1k store http_request_rate(10s)": "5:36: error: 'http_request_rate' is nothing that a stick-table stores",
		"stick-table type ip size 1k store http_req_rate":          "5:36: error: 'http_req_rate' needs its period: http_req_rate(10s)",
		"stick-table type ip size 1k store gpc0,server_id":         "5:36: error: 'store server_id' is not supported yet",
		"stick-table type ip len 5 size 1k":                        "5:2: error: keys of type ip have no 'len' (type string len N)",
		"stick-table type ipx size 1k":                             "5:19: error: 'ipx' is no value for 'type'",
		"stick-table type ip size 1k peers mesh":                   "5:30: error: 'peers' is not supported yet",
		"http-request track-sc0 src":                               "5:25: error: 'web' has no stick-table",
		"http-request track-sc0 src table st":                      "5:35: error: 'st' has no stick-table",
		"http-request deny if { src_get_gpc0(st) gt 1 }":           "5:25: error: 'src_get_gpc0': 'st' has no stick-table",
		"http-request deny if { be_sess_rate(apps) gt 1 }":         "5:25: error: 'be_sess_rate': there is no backend 'apps'",
		"capture request header Host":                              "5:25: error: 'len' is missing after 'Host' (capture request header NAME len N)",
		"capture request Host len 5":                               "5:2: error: 'capture request' needs to be told what (capture request header NAME len N)",
		"capture cookie S len 0":                                   "5:23: error: '0' is no value for 'len' (a number from 1 to 8192)",
		"declare capture answer len 5":                             "5:2: error: 'declare capture' needs to be told what (declare capture request|response len N)",
		"http-request capture src len 9000":                        "5:31: error: '9000' is no value for 'len' (a length from 1 to 8192, an id from 0)",
		"http-request capture src id 0":                            "5:30: error: there is no capture of the number 0 (declare capture request|response len N)",
		"http-response capture status len 3":                       "5:31: error: 'capture' of an answer has no 'len' (declare capture response len N, and capture SAMPLE id 0)",
	} {
		_, ps := parseText(t, "a.cfg", frontText+text+"\n")
		if !slices.ContainsFunc(ps, func(p source.Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s:\n got %v\nwant %s", text, ps, want)
		}
	}
	_, ps := parseText(t, "a.cfg", "backend b\n mode http\n timeout connect 1s\n timeout server 1s\n stick-table type string size 1k\n stick on src\n server s 10.0.0.1:80\n")
	if want := "6:11: error: 'stick on src' can't use the stick-table of backend 'b', whose keys are of type string"; !strings.Contains(ps.Err().Error(), want) {
		t.Errorf("%v, want %s", ps, want)
	}
	_, ps = parseText(t, "a.cfg", frontText+"stick-table type ip size 1k\nbackend web\n mode http\n timeout connect 1s\n timeout server 1s\n stick-table type ip size 1k\n")
	if want := "frontend 'web' and the backend of that name both have a stick-table"; !strings.Contains(ps.Err().Error(), want) {
		t.Errorf("%v, want %s", ps, want)
	}
}
