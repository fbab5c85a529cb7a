package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where everybody listens, on the loopback of the box.
const (
	serverAddr = "127.0.0.1:8081" // small answers
	bulkAddr   = "127.0.0.1:8085" // long ones
	sinkAddr   = "127.0.0.1:5140" // gets the log lines
)

var addrs = map[string]string{nameHAProxy: "127.0.0.1:8082", nameNginx: "127.0.0.1:8083", nameReeve: "127.0.0.1:8084", nameOneLoop: "127.0.0.1:8086"}

// job is what the proxies of a row do, in haproxy's words. HAProxy and Reeve read the same file but for the address and
// the number of threads.
type job struct {
	global  []string // lines of the global section
	mode    string   // "": http
	bind    string   // parameters of the bind line
	front   []string // lines of the frontend; nil: the usual rules
	server  string   // "": serverAddr
	threads int      // 0: one
	nginx   string   // its server block's lines after listen; "": nginx has no part in the row
	listen  string   // parameters of nginx's listen
}

// usual are the rules that a request walks through in rows that are not about rules.
var usual = []string{
	"option forwardfor",
	"acl api path_beg -i /api/ /v1/ /v2/",
	"acl pictures path_beg /images/ /static/ /media/",
	"use_backend second if api",
	"use_backend second if pictures",
}

// haproxyConf is the job for HAProxy and Reeve: rules, X-Forwarded-For, a log line for each request, counters.
func (j job) haproxyConf(listen string) string {
	mode, format, front := "http", "httplog", j.front
	if j.mode == "tcp" {
		mode, format = "tcp", "tcplog"
	} else if front == nil {
		front = usual
	}
	server := serverAddr
	if j.server != "" {
		server = j.server
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global\n    maxconn 9000\n    nbthread %d\n    log %s local0\n", max(j.threads, 1), sinkAddr)
	for _, line := range j.global {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	fmt.Fprintf(&b, "defaults\n    mode %s\n    log global\n    option %s\n    option dontlognull\n", mode, format)
	b.WriteString("    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n")
	fmt.Fprintf(&b, "frontend web\n    bind %s%s\n", listen, prefixed(j.bind))
	for _, line := range front {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	b.WriteString("    default_backend first\n")
	for _, name := range []string{"first", "second"} {
		fmt.Fprintf(&b, "backend %s\n    balance roundrobin\n    server one %s\n    server two %s\n", name, server, server)
	}
	return b.String()
}

func prefixed(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

const nginxConf = `daemon off;
master_process off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 9000; }
http {
    log_format proxied '$remote_addr:$remote_port [$time_local] $upstream_addr $request_time $upstream_response_time '
        '$status $bytes_sent "$request"';
    access_log syslog:server=%[2]s,facility=local0 proxied;
    keepalive_requests 1000000000;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    upstream first { server %[3]s; keepalive 1024; keepalive_requests 1000000000; }
    upstream second { server %[3]s; keepalive 1024; keepalive_requests 1000000000; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    server {
        listen %[4]s;
%[5]s
        location ~* ^/(api|v1|v2)/ { proxy_pass http://second; }
        location /images/ { proxy_pass http://second; }
        location /static/ { proxy_pass http://second; }
        location /media/ { proxy_pass http://second; }
        location / { proxy_pass http://first; }
    }
}
`

func (j job) nginxConf(dir, listen string) string {
	return fmt.Sprintf(nginxConf, dir, sinkAddr, serverAddr, listen+prefixed(j.listen)+" reuseport backlog=4096", j.nginx)
}

// plain makes nginx take part with nothing to add.
const plain = "        # nothing more"

// programs writes the configurations of a job and names the programs that do it. The first is what the others are
// compared with.
func (b *bench) programs(j job, pin bool) ([]*program, error) {
	var ps []*program
	add := func(name, text string, argv ...string) error {
		file := filepath.Join(b.o.dir, fmt.Sprintf("%s-%d.cfg", strings.ToLower(strings.Fields(name)[0]), b.files))
		b.files++
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		ps = append(ps, &program{name: name, addr: addrs[name], argv: append(argv, file), pinned: pin})
		return nil
	}
	err := add(nameHAProxy, j.haproxyConf(addrs[nameHAProxy]), "haproxy", "-db", "-f")
	if err == nil && j.nginx != "" {
		err = add(nameNginx, j.nginxConf(b.o.dir, addrs[nameNginx]), "nginx", "-p", b.o.dir, "-c")
	}
	if err == nil {
		err = add(nameReeve, j.haproxyConf(addrs[nameReeve]), b.o.reeve, "haproxy", "-db", "-f")
	}
	if err == nil && j.threads > 1 {
		j.threads = 1
		err = add(nameOneLoop, j.haproxyConf(addrs[nameOneLoop]), b.o.reeve, "haproxy", "-db", "-f")
	}
	return ps, err
}

// certificate writes a self-signed certificate with its key, in one PEM file, and returns its path.
func (b *bench) certificate(kind string) (string, error) {
	file := filepath.Join(b.o.dir, kind+".pem")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	var public, private any
	if kind == "rsa" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return "", err
		}
		public, private = &key.PublicKey, key
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		public, private = &key.PublicKey, key
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench.test"}, DNSNames: []string{"bench.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return "", err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	return file, os.WriteFile(file, text, 0o600)
}

// tlsJob is an HTTP job under TLS 1.3 with AES-128-GCM, which is what Go's crypto/tls would choose, for all sides.
func (b *bench) tlsJob(kind, alpn string) (job, error) {
	pem, err := b.certificate(kind)
	if err != nil {
		return job{}, err
	}
	j := job{
		global: []string{"ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256"},
		bind:   "ssl crt " + pem + alpn, listen: "ssl",
		nginx: fmt.Sprintf("        ssl_certificate %s; ssl_certificate_key %s;\n        ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n"+
			"        ssl_session_tickets on;", pem, pem),
	}
	return j, nil
}

// Sizes of the rows about rules and maps.
const (
	ruleCount    = 2000
	ruleACLs     = 20
	distinctACLs = 2000
	mapKeys      = 100_000
)

// manyRules are ruleCount rules of ruleACLs tests each, of which all but the last hold: nothing of them can be skipped.
// The tests are of the kinds that are met most.
func manyRules() []string {
	kinds := []struct{ yes, no string }{
		{"path_beg /", "path_beg /no/%d/"},
		{"method GET", "method PUT"},
		{"hdr(host) -i bench.test", "hdr(host) -i no%d.test"},
		{"hdr_dom(host) -i bench", "hdr_dom(host) -i no%d"},
		{"src 127.0.0.0/8", "src 10.9.8.0/24 2001:db8:%d::/48"},
		{"hdr_beg(accept) text/html", "hdr_beg(accept) image/no%d"},
		{"path_end l", "path_end .no%d"},
		{"hdr_sub(user-agent) Gecko", "hdr_sub(user-agent) no%d"},
	}
	lines := []string{"option forwardfor"}
	for i := range distinctACLs {
		k := kinds[i%len(kinds)]
		lines = append(lines, fmt.Sprintf("acl yes%d %s", i, k.yes), "acl no"+fmt.Sprint(i)+" "+strings.ReplaceAll(k.no, "%d", fmt.Sprint(i)))
	}
	for i := range ruleCount {
		var rule strings.Builder
		rule.WriteString("use_backend second if")
		for t := range ruleACLs - 1 {
			fmt.Fprintf(&rule, " yes%d", (i*7+t)%distinctACLs)
		}
		fmt.Fprintf(&rule, " no%d", i%distinctACLs)
		lines = append(lines, rule.String())
	}
	return lines
}

// bigMaps writes two maps of mapKeys keys and the rules that ask them with each request.
func (b *bench) bigMaps() ([]string, error) {
	var hosts, paths strings.Builder
	for i := range mapKeys {
		fmt.Fprintf(&hosts, "host%d.bench.test %s\n", i, []string{"first", "second"}[i%2])
		fmt.Fprintf(&paths, "/tenant/%d/ tenant%d\n", i, i)
	}
	hostFile, pathFile := filepath.Join(b.o.dir, "hosts.map"), filepath.Join(b.o.dir, "paths.map")
	if err := os.WriteFile(hostFile, []byte(hosts.String()), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(pathFile, []byte(paths.String()), 0o644); err != nil {
		return nil, err
	}
	return []string{
		"option forwardfor",
		"http-request set-header X-Tenant %[path,map_beg(" + pathFile + ",none)]",
		"use_backend %[req.hdr(host),lower,map_str(" + hostFile + ",first)]",
	}, nil
}
