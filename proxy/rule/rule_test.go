package rule

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// asking is a request as rules see it.
func asking(t testing.TB, text string) *Ctx {
	t.Helper()
	c := NewCtx()
	c.NewEdits, c.NewVars = NewEdits, func() *Vars { return &Vars{} }
	h := &http1.Head{}
	in := []byte(text)
	if f := http1.ParseRequest(in, h); f != http1.None {
		t.Fatalf("%v: %q", f, text)
	}
	c.Begin()
	c.Req, c.Payload = &Message{Head: h, In: in}, in
	c.Src, c.Dst = netip.MustParseAddrPort("192.0.2.7:4321"), netip.MustParseAddrPort("10.1.2.3:80")
	c.Now, c.Front, c.Back = 1_700_000_000_123_456_789, "fe", "be"
	return c
}

const aRequest = "GET /img/a.png?id=42&name=x%20y+z&flag HTTP/1.1\r\nHost: WWW.Example.com:8080\r\nCookie: a=1; SRV=s1; b=\"q\"\r\n" +
	"X-List: one, two,three\r\nX-List: \"fo,ur\" , five\r\nX-Forwarded-For: 10.0.0.1, 203.0.113.9\r\nContent-Length: 5\r\n\r\nhello"

// words splits a line as the readers do, for lines whose quotes are simple.
func words(line string) []proxy.Word {
	var ws []proxy.Word
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		w := line
		if line[0] == '\'' {
			end := strings.IndexByte(line[1:], '\'')
			w, line = line[1:1+end], line[2+end:]
		} else if i := strings.IndexByte(line, ' '); i >= 0 {
			w, line = line[:i], line[i:]
		} else {
			line = ""
		}
		ws = append(ws, proxy.Word{Text: w, Pos: source.Pos{File: "a.cfg", Line: 1, Col: len(ws) + 1}})
	}
	return ws
}

func TestSamples(t *testing.T) {
	os.Setenv("REEVE_RULE", "v")
	defer os.Unsetenv("REEVE_RULE")
	for expr, want := range map[string]string{
		"path": "/img/a.png", "pathq": "/img/a.png?id=42&name=x%20y+z&flag", "url": "/img/a.png?id=42&name=x%20y+z&flag",
		"query": "id=42&name=x%20y+z&flag", "method": "GET", "base": "WWW.Example.com:8080/img/a.png", "req.ver": "1.1",
		"url_param(id)": "42", "url_param(flag)": "-", "urlp(name),url_dec": "x y+z", "urlp(name),url_dec(1)": "x y z",
		"hdr(host)": "WWW.Example.com:8080", "hdr(x-list)": "five", "hdr(x-list,1)": "one", "hdr(x-list,-2)": `"fo,ur"`, "hdr(x-list,9)": "-",
		"req.fhdr(x-list)": `"fo,ur" , five`, "req.fhdr(x-list,1)": "one, two,three", "hdr_cnt(x-list)": "5", "hdr_val(content-length)": "5",
		"hdr_ip(x-forwarded-for,1)": "10.0.0.1", "hdr_ip(x-forwarded-for)": "203.0.113.9", "hdr(nothing)": "-", "hdr_cnt(nothing)": "0",
		"cook(SRV)": "s1", "req.cook(b)": `"q"`, "cook(nothing)": "-", "src": "192.0.2.7", "src_port": "4321", "dst": "10.1.2.3", "dst_port": "80",
		"ssl_fc": "0", "ssl_fc_sni": "-", "req.len": fmt.Sprint(len(aRequest)), "req.payload(0,3)": "GET", "always_true": "1", "always_false": "0",
		"str(a b),upper": "A B", "int(-5)": "-5", "bool(true)": "1", "env(REEVE_RULE)": "v", "env(REEVE_NOT)": "-", "date": "1700000000",
		"date(-10)": "1699999990", "date(0,ms)": "1700000000123", "fe_name": "fe", "be_name": "be", "var(txn.none)": "-", "var(txn.none,d)": "d",
		"str(Abc),lower": "abc", "str(abc),length": "3", "str(abc),hex": "616263", "str(abc),base64": "YWJj", "str(YWJj),b64dec": "abc",
		"str(YW!),b64dec": "-", "path,field(2,/)": "img", "path,field(3,/)": "a.png", "path,field(-1,/)": "a.png", "path,field(1,/)": "",
		"path,field(9,/)": "-", "path,word(1,/)": "img", "path,word(-1,/)": "a.png", "path,word(-2,/)": "img", "path,word(3,/)": "-",
		"str(a:b:c:d),field(2,:,2)": "b:c", "str(a:b:c:d),field(3,:,0)": "c:d", "str(a:b:c:d),field(-1,:,2)": "c:d",
		"path,regsub(/img,/new)": "/new/a.png", `path,regsub("(i)(m)",\2\1)`: "/mig/a.png", "str(aXbXc),regsub(x,-,gi)": "a-b-c", "str(aXbX),regsub(X,-)": "a-bX",
		"str(abc),crc32": "891568578", "str(abc),djb2": "193485963", "str(abc),sdbm": "807794786", "str(abc),wt6": "2483038440",
		"str(abc),crc32(1)": "930845320", "str(abc),djb2(1)": "2235766107", "str(abc),sdbm(1)": "659243622", "str(abc),wt6(1)": "266135527", "src,ipmask(24)": "192.0.2.0", "src,ipmask(255.255.0.0)": "192.0.0.0",
		"int(7),add(3)": "10", "int(7),sub(10)": "-3", "int(7),mul(6)": "42", "int(7),div(2)": "3", "int(7),mod(4)": "3", "int(7),neg": "-7",
		"int(6),and(3)": "2", "int(6),or(3)": "7", "int(6),xor(3)": "5", "int(6),not": "0", "int(0),not": "1", "int(6),bool": "1", "int(6),even": "1", "int(6),odd": "0",
		"int(7),div(0)": "9223372036854775807", "int(7),mod(0)": "0", "bool(1),iif(y,n)": "y", "bool(0),iif(y,n)": "n",
		"str(abcdef),bytes(2,2)": "cd", "str(abcdef),bytes(4)": "ef", "str(  a  ),ltrim( )": "a  ", "str(  a  ),rtrim( )": "  a",
		"str(a),concat(-,,-b)": "a--b", "url_param(id),add(1)": "43", `str("a,b)")`: "a,b)", `str('a"b')`: `a"b`, "hdr(host),lower,field(1,:)": "www.example.com",
	} {
		p := New(Options{Env: os.LookupEnv})
		f, err := p.format("%[" + expr + "]")
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		c := asking(t, aRequest)
		c.room(p)
		got := "-"
		fr := c.push()
		if f.parts[0].e.eval(c, &fr.v) == yes {
			got = string(fr.v.append(nil))
		}
		c.pop()
		if got != want {
			t.Errorf("%s = %q, want %q", expr, got, want)
		}
		if c.depth != 0 {
			t.Errorf("%s: frames are left", expr)
		}
	}
}

func TestConditions(t *testing.T) {
	acls := []string{"img path_beg /img /css", "host1 hdr(host),lower -m beg www.example.", "host1 hdr(host) other", "tri hdr(x-list) three",
		"big hdr_cnt(x-list) ge 5", "net src 10.0.0.0/8 192.0.2.0/24", "no path_end .gif"}
	for cond, want := range map[string]bool{
		"if img": true, "unless img": false, "if !img": false, "if ! img": false, "if img host1": true, "if img no": false, "if no || img": true,
		"if no or no": false, "if img !no tri big net": true, "if { path_end .png }": true, "if { path_end -i .PNG }": true, "if !{ path_end .PNG }": true,
		"if { path_sub mg/a }": true, "if { path_dir img }": true, "if { path_dir im }": false, "if { path_dir img/a.png }": true,
		"if { hdr_dom(host) -i example }": true, "if { hdr_dom(host) -i example.com }": true, "if { hdr_dom(host) -i exam }": false,
		"if { path_reg ^/img/.*\\.png$ }": true, "if { path_reg ^/IMG }": false, "if { path_reg -i ^/IMG }": true, "if { path_reg a\\.png }": true,
		"if { path_len 10 }": true, "if { path_len gt 10 }": false, "if { path_len 5:12 }": true, "if { url_len ge 20 lt 5 }": true,
		"if { src 192.0.2.7 }": true, "if { src 192.0.2.8 10.0.0.0/255.0.0.0 }": false, "if { src 2001:db8::/32 }": false,
		"if { dst_port 1:79 81: }": false, "if { dst_port 80 443 }": true, "if { dst_port gt 79 }": true, "if { dst_port lt 80 }": false, "if { dst_port le 80 }": true,
		"if METH_GET": true, "if METH_POST": false, "if HTTP": true, "if HTTP_1.1": true, "if HTTP_1.0": false, "if HTTP_CONTENT": true, "if HTTP_URL_SLASH": true,
		"if HTTP_URL_ABS": false, "if LOCALHOST": false, "if TRUE": true, "if FALSE": false, "if WAIT_END": true, "if REQ_CONTENT": true, "if RDP_COOKIE": false,
		"if { hdr(nothing) -m found }": false, "if { hdr(host) -m found }": true, "if { cook(SRV) -m found }": true, "if { cook(SRV) s1 }": true,
		"if { url_param(id) -m int gt 40 }": true, "if { hdr(x-list) -m reg ^t.o$ }": true, "if { hdr(x-list) -m str -i FIVE }": true,
		"if { method GET HEAD }": true, "if { str(a) -m str -- -i a }": true, "if { ssl_fc }": false, "if !{ ssl_fc }": true, "if { path,length gt 5 }": true,
		"if { req.payload(0,3) -m bin 474554 }": true, "if { always_true 1 }": true, "if { int(5) eq 5 }": true,
		"if { hdr_ip(x-forwarded-for) 203.0.113.0/24 }": true, "if { path_beg / }": true, "if { path_end }": false,
	} {
		p := New(Options{})
		var rs proxy.Rules
		for _, a := range acls {
			ws := words(a)
			rs.ACLs = append(rs.ACLs, proxy.ACL{Name: ws[0].Text, Test: ws[1:]})
		}
		p.Proxy(Side{Name: "fe", Mode: proxy.HTTP}, &rs)
		d := p.Cond(words(cond))
		if d == nil {
			t.Errorf("%s: %v", cond, p.Problems().Err())
			continue
		}
		c := asking(t, aRequest)
		for range 2 { // the second time from memory
			if got := d.Holds(c); got != want {
				t.Errorf("%s is %v", cond, got)
			}
		}
	}
}

// TestProblems: what is wrong is told with its place, and with what was meant where that can be guessed.
func TestProblems(t *testing.T) {
	for line, want := range map[string]string{
		"deny if { path_bog /x }":                 "a.cfg:1:4: error: unknown sample 'path_bog' (did you mean 'path_beg'?)",
		"deny if { path,lowr /x }":                "a.cfg:1:4: error: unknown converter 'lowr' (did you mean 'lower'?)",
		"deny if { path_reg ( }":                  "a.cfg:1:5: error: '(' is no regular expression: missing closing ): `(`",
		"deny if { path_reg (?=x) }":              "a.cfg:1:5: error: '(?=x)' is no regular expression: invalid or unsupported Perl syntax: `(?=`; looking ahead or behind is not supported",
		"deny if { src 10.0.0.0/33 }":             "a.cfg:1:5: error: '10.0.0.0/33' is no address or network",
		"deny if { dst_port http }":               "a.cfg:1:5: error: 'http' is no integer or range (1, 1:5, 1024:)",
		"deny if { path -m bge /x }":              "a.cfg:1:6: error: unknown way to match 'bge' (did you mean 'beg'?)",
		"deny if { path -z /x }":                  "a.cfg:1:5: error: unknown flag '-z' of an acl (-i, -f FILE, -m METHOD, -n, -M, -u ID, --)",
		"deny if { path_beg /x":                   "a.cfg:1:3: error: '}' is missing (a blank stands before it)",
		"deny if nothing":                         "a.cfg:1:3: error: there is no acl 'nothing' in 'fe'",
		"deny if METH_GTE":                        "a.cfg:1:3: error: there is no acl 'METH_GTE' in 'fe' (did you mean 'METH_GET'?)",
		"deny if":                                 "a.cfg:1:2: error: the name of an acl is missing after 'if'",
		"deny if TRUE ||":                         "a.cfg:1:4: error: the name of an acl is missing after '||'",
		"deny when TRUE":                          "a.cfg:1:2: error: 'when' can't follow 'deny'",
		"dney":                                    "a.cfg:1:1: error: unknown action 'dney' (did you mean 'deny'?)",
		"deny deny_status 299":                    "a.cfg:1:3: error: '299' is no status for 'deny'",
		"set-header":                              "a.cfg:1:1: error: 'set-header' needs the name of a header",
		"set-header X-A":                          "a.cfg:1:1: error: 'set-header' needs a value",
		"set-header X-A a b":                      "a.cfg:1:4: error: surplus word 'b' after 'set-header'",
		"set-header X:A a":                        "a.cfg:1:2: error: 'X:A' is no name of a header",
		"set-header Content-Length 3":             "a.cfg:1:2: error: 'set-header' can't change 'content-length': it says where the message ends",
		"set-header X-A %[pat]":                   "a.cfg:1:3: error: unknown sample 'pat' (did you mean 'path'?)",
		"set-header X-A %[path":                   "a.cfg:1:3: error: ']' is missing after '%['",
		"set-header X-A 50%":                      "a.cfg:1:3: error: a lone % in a log-format: write %% for the sign itself",
		"set-header X-A %[status]":                "a.cfg:1:3: error: '%[status]' has a sample that is not available in 'http-request'",
		"set-header X-A %[path,map(m.map)]":       "a.cfg:1:3: error: 'map': cannot read 'm.map'",
		"set-var(x) path":                         "a.cfg:1:1: error: 'x' is no variable: sess.NAME, txn.NAME, req.NAME or res.NAME",
		"set-var(txn.x) path,add(q)":              "a.cfg:1:2: error: 'add': 'q' is neither a number nor a variable",
		"set-var(txn.x) src,lower,ipmask(33)":     "a.cfg:1:2: error: 'ipmask': '33' is no mask: a number of bits up to 32, or dotted",
		"set-var(txn.x) hdr":                      "a.cfg:1:2: error: the sample 'hdr' takes 1 to 2 arguments",
		"set-var(txn.x) url_param(":               "a.cfg:1:2: error: in the arguments of 'url_param': ')' is missing",
		"set-var(txn.x) path,field(0,/)":          "a.cfg:1:2: error: 'field': '0' is no index: 1 is the first, -1 the last",
		"set-var(txn.x) path,":                    "a.cfg:1:2: error: the name of a sample or converter is missing at the end",
		"redirect to x":                           "a.cfg:1:2: error: 'to' can't follow 'redirect' (location, prefix or scheme TO [code N] [drop-query] [append-slash] [set-cookie N=V])",
		"redirect location /x code 300":           "a.cfg:1:5: error: '300' is no code of a redirect (301, 302, 303, 307 or 308)",
		"return status 200 string x":              "a.cfg:1:1: error: 'return' has a body and no content-type (content-type text/plain)",
		"set-method HEAD":                         "a.cfg:1:1: error: a request can't be turned into 'HEAD': its answer would end elsewhere",
		"replace-path ( x":                        "a.cfg:1:2: error: '(' is no regular expression: missing closing ): `(`",
		"track-sc0 src table nowhere":             "a.cfg:1:4: error: 'nowhere' has no stick-table",
		"track-sc0 path,length":                   "a.cfg:1:2: error: a sample of type integer is no key of the stick-table of 'fe'",
		"track-sc0":                               "a.cfg:1:1: error: 'track-sc0' needs a sample",
		"sc-inc-gpc0":                             "a.cfg:1:1: error: 'sc-inc-gpc0' needs to be told what is tracked (sc-inc-gpc0(0))",
		"sc-inc-gpc0(3)":                          "a.cfg:1:1: error: 'sc-inc-gpc0' needs to be told what is tracked (sc-inc-gpc0(0))",
		"deny if { src_http_req_rate gt 3 }":      "a.cfg:1:4: error: 'src_http_req_rate': the stick-table of 'fe' does not store http_req_rate",
		"deny if { sc_http_req_rate(3) gt 3 }":    "a.cfg:1:4: error: 'sc_http_req_rate': '3' is no number of what is tracked: 0 to 2",
		"deny if { src,table_gpc0(other) gt 3 }":  "a.cfg:1:4: error: 'table_gpc0': 'other' has no stick-table",
		"set-header X-A %[path,sha1]":             "a.cfg:1:3: error: the converter 'sha1' is not supported yet",
		"deny if { status 200 }":                  "a.cfg:1:2: warning: the condition has a test that is not available in 'http-request' and never matches",
		"deny if { path_beg }":                    "a.cfg:1:4: warning: 'path_beg' has no value and never matches",
		"set-log-level loud":                      "a.cfg:1:2: error: 'loud' is no log level (emerg, alert, crit, err, warning, notice, info, debug, silent)",
		"replace-header Connection (.*) x":        "a.cfg:1:2: warning: 'replace-header connection' has no effect: the proxy writes the headers of a connection itself",
		"set-var(txn.x) str(a),map_ip(m.map),add": "a.cfg:1:2: error: 'map_ip': cannot read 'm.map'",
	} {
		cfg := proxy.Config{Frontends: []proxy.Frontend{{Name: "fe", StickTable: &proxy.StickTable{Type: "ip", Size: 1, Store: []string{"gpc0"}}}}}
		p := New(Options{Maps: &Maps{}, Table: Tables(&cfg), File: func(name string) ([]byte, error) { return nil, fmt.Errorf("cannot read '%s'", name) }})
		p.Proxy(Side{Name: "fe", Mode: proxy.HTTP}, &proxy.Rules{HTTPRequest: []proxy.Rule{{Words: words(line)}}})
		var got []string
		for _, q := range p.Problems() {
			got = append(got, q.Error())
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s:\n got %q\nwant %q", line, got, want)
		}
	}
}

// An action that has come is no longer said to be missing.
func TestLaterActionsAreMissing(t *testing.T) {
	for name := range actionsLater {
		if _, ok := actions[name]; ok {
			t.Errorf("%s is there", name)
		}
	}
}
