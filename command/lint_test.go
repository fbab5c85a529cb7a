package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/internal/lab/pki"
)

// checked is an instance whose check can never move it: 150 against 100.
func checked(priority string) string {
	return "vrrp_script chk {\n script \"/bin/false\"\n interval 2\n weight -10\n}\n" +
		strings.Replace(instance(priority), "vrrp_instance VI_1 {\n", "vrrp_instance VI_1 {\n track_script {\n chk\n }\n", 1)
}

// TestValidateLints: what only all nodes together show is a warning with a name, and by its name it is silent.
func TestValidateLints(t *testing.T) {
	args := []string{"validate", "lb1=" + write(t, "lb1.conf", checked("150")), "lb2=" + write(t, "lb2.conf", checked("100"))}
	r := run(t, args...)
	if r.code != 0 || !strings.Contains(r.err, "lb1.conf:8:2: warning: the weight -10 of 'chk' can never move") || !strings.HasSuffix(r.err, " [weight-never-fails-over]\n") {
		t.Errorf("%+v", r)
	}
	r = run(t, append(args, "-format=json")...)
	var got struct{ Problems []api.Problem }
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || !slices.ContainsFunc(got.Problems, func(p api.Problem) bool {
		return p.Rule == "weight-never-fails-over" && p.Severity == "warning" && p.Line == 8
	}) {
		t.Errorf("%v: %+v", err, r)
	}
	if r := run(t, append(args, "-ignore=weight-never-fails-over")...); r.code != 0 || strings.Contains(r.err, "never") {
		t.Errorf("silenced: %+v", r)
	}
	for _, command := range []string{"validate", "plan", "apply"} {
		args[0] = command
		run(t, append(args, "-ignore=weight-never-fail-over")...).bad(t, "there is no rule 'weight-never-fail-over' (did you mean 'weight-never-fails-over'?)")
	}
}

// TestValidateHere: the machine at hand knows which scripts are there.
func TestValidateHere(t *testing.T) {
	path := write(t, "k.conf", strings.Replace(instance("100"), "192.0.2.10/24\n }\n", "192.0.2.10/24\n }\n notify \"/no/such/script\"\n", 1))
	if r := run(t, "validate", path); r.code != 0 || strings.Contains(r.err, "/no/such/script") {
		t.Errorf("nobody asked for this machine: %+v", r)
	}
	if r := run(t, "validate", "-here", path); r.code != 0 || !strings.Contains(r.err, "there is no /no/such/script on this machine (every node needs it) [script-not-runnable]") {
		t.Errorf("%+v", r)
	}
}

// TestIgnoreTravels: the agent is told what shall be silent.
func TestIgnoreTravels(t *testing.T) {
	s, addr := stub(t, map[string]any{"PUT /v1/config/plan": api.PlanResponse{Problems: []api.Problem{{Severity: "warning", Text: "odd", Rule: "garp-once", Node: "lb2"}}}})
	r := run(t, "plan", addr, "-ignore=vrid-twice", "-ignore=garp-once", write(t, "k.conf", instance("100")))
	if r.code != 0 || !strings.Contains(r.err, "node lb2: warning: odd [garp-once]\n") {
		t.Errorf("%+v", r)
	}
	var sent api.ConfigRequest
	if err := json.Unmarshal([]byte(s.bodies["PUT /v1/config/plan"]), &sent); err != nil || !slices.Equal(sent.Ignore, []string{"vrid-twice", "garp-once"}) {
		t.Errorf("%v: sent %+v", err, sent)
	}
}

// TestValidateTellsWhatECDSASaves: without an agent, where the bind stands, of certificates that are there; it is no error.
func TestValidateTellsWhatECDSASaves(t *testing.T) {
	ca := pki.New(t)
	rsa, ecdsa := ca.Write("rsa.pem", ca.RSA("a.example").PEM()), ca.Write("ecdsa.pem", ca.ECDSA("a.example").PEM())
	site := func(crts string) string {
		return write(t, "site.cfg", "frontend web\n    mode http\n    timeout client 1s\n    bind 127.0.0.1:21981 ssl "+crts+"\n    default_backend app\n"+
			"backend app\n    mode http\n    timeout connect 1s\n    timeout server 1s\n    server a 127.0.0.1:21982\n")
	}
	const saved = "site.cfg:4:34: warning: "
	r := run(t, "validate", site("crt "+rsa))
	if r.code != 0 || !strings.Contains(r.err, saved+rsa+" has an RSA key alone: a full handshake costs about 1.2 ms of CPU, with ECDSA about 0.26 ms (") ||
		!strings.HasSuffix(r.err, ") [rsa-certificate]\n") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	for what, args := range map[string][]string{
		"both kinds": {site("crt " + rsa + " crt " + ecdsa)}, "ECDSA": {site("crt " + ecdsa)}, "silenced": {"-ignore=rsa-certificate", site("crt " + rsa)},
		"not on this machine": {site("crt /no/such/file.pem")},
	} {
		if r := run(t, append([]string{"validate"}, args...)...); r.code != 0 || strings.Contains(r.err, "RSA") {
			t.Errorf("%s: %+v", what, r)
		}
	}
}
