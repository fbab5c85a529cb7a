package words

import "strings"

// haproxyLater are the words that HAProxy has and this release does not: they are refused by name.
func haproxyLater() []Word {
	var out []Word
	later := func(name string, in []string, skip int) {
		out = append(out, Word{Name: name, Dialect: HAProxy, In: in, Type: Line, Skip: skip, Status: NotYet})
	}
	for _, l := range haproxyLaterWords {
		for w := range strings.FieldsSeq(l.words) {
			later(w, l.in, 0)
		}
	}
	for _, l := range haproxyLaterPairs {
		for w := range strings.FieldsSeq(l.words) {
			later(l.first+" "+w, anyProxy, 0)
		}
	}
	later("stats bind-process", []string{"global"}, 0)
	for _, l := range haproxyLaterLine {
		for w := range strings.FieldsSeq(l.words) {
			name, skip, _ := strings.Cut(w, ":")
			later(name, []string{l.scope}, len(skip))
		}
	}
	return out
}

// haproxyLaterWords are those that begin a line, by section.
var haproxyLaterWords = []struct {
	in    []string
	words string
}{
	{[]string{"haproxy"}, `peers resolvers mailers http-errors ring log-forward log-profile program fcgi-app
		crt-store acme traces healthcheck`},
	{[]string{"global"}, `busy-polling cluster-secret cpu-map dataplane-program default-path description
		deviceatlas-json-file external-check expose-deprecated-directives expose-experimental-directives fd-hard-limit
		force-cfg-parser-pause grace h1-accept-payload-with-any-method h1-case-adjust h1-case-adjust-file
		h2-workaround-bogus-websocket-clients httpclient.resolvers.id httpclient.ssl.verify httpclient.retries
		httpclient.timeout.connect insecure-fork-wanted insecure-setuid-wanted issuers-chain-path key-base
		localpeer log-send-hostname log-tag lua-load lua-load-per-thread lua-prepend-path master-worker
		max-spread-checks maxconnrate maxpipes maxsessrate maxsslconn maxsslrate
		mworker-max-reloads nbtgroups no-memory-trimming node noepoll noevports nogetaddrinfo nokqueue nopoll
		noreuseport nosplice numa-cpu-mapping ocsp-update.disable ocsp-update.mode pp2-never-send-local presetenv
		prealloc-fd profiling.memory profiling.tasks quiet resetenv server-state-base server-state-file set-dumpable
		set-var set-var-fmt setcap setenv shm-stats-file ssl-default-bind-client-sigalgs
		ssl-default-bind-sigalgs
		ssl-dh-param-file ssl-engine ssl-load-extra-del-ext ssl-load-extra-files
		ssl-mode-async ssl-propquery ssl-provider ssl-provider-path ssl-security-level
		ssl-skip-self-issued-ca stats-file strict-limits thread-group thread-groups thread-hard-limit trace
		tune.fd.edge-triggered tune.http.cookielen
		tune.http.logurilen tune.idle-pool.shared tune.idletimer tune.listener.multi-queue
		tune.lua.maxmem tune.maxaccept tune.maxpollevents tune.pipesize tune.pool-high-fd-ratio
		tune.rcvbuf.client tune.rcvbuf.server tune.recv_enough tune.runqueue-depth tune.sndbuf.client
		tune.sndbuf.server tune.ssl.cachesize tune.ssl.keylog tune.ssl.lifetime
		tune.ssl.maxrecord tune.stick-counters tune.vars.global-max-size tune.zlib.memlevel unix-bind unsetenv
		uuid warn-blocked-traffic-after wurfl-data-file zero-warning`},
	{anyProxy, `description disabled dispatch email-alert enabled errorfiles
		force-persist grace guid http-after-response http-check http-error
		http-request http-response http-send-name-header id ignore-persist load-server-state-from-file
		log-format log-format-sd log-steps log-tag max-keep-alive-queue max-session-srv-conns monitor-net monitor-uri
		redirect reqadd reqdel reqirep reqrep rspadd rspdel server-state-file-name
		server-template srvtcpka-cnt srvtcpka-idle srvtcpka-intvl tcp-check tcp-request tcp-response
		transparent unique-id-format unique-id-header use-fcgi-app use-server backlog
		clitcpka-cnt clitcpka-idle clitcpka-intvl error-log-format external-check bind-process`},
	{[]string{"defaults"}, `stick-table`},
}

// haproxyLaterPairs are the keywords of two words, by the first.
var haproxyLaterPairs = []struct{ first, words string }{
	{"option", `accept-invalid-http-request accept-invalid-http-response accept-unsafe-violations-in-http-request
		accept-unsafe-violations-in-http-response assume-rfc6587-ntf checkcache contstats
		dontlog-normal external-check forceclose forwarded h1-case-adjust-bogus-client h1-case-adjust-bogus-server
		http-drop-request-trailers http-drop-response-trailers http-ignore-probes
		http-proxy http-restrict-req-hdr-names http-tunnel http-use-htx http-use-proxy-header
		httpslog idle-close-on-response independent-streams ldap-check log-health-checks log-separate-errors logasap
		mysql-check originalto pgsql-check redis-check smtpchk socket-stats
		spop-check ssl-hello-chk tcp-check transparent use-small-buffers`},
	{"stats", `admin auth-realm hide-version http-request show-desc show-legends show-modules show-node scope`},
	{"stick", `match store-request store-response`},
	{"timeout", `mail`},
}

// haproxyLaterLine are those within a line, by the word that begins it. A digit behind a colon stands for the value that
// follows one and is passed over with it.
var haproxyLaterLine = []struct{ scope, words string }{
	{"bind", `accept-netscaler-cip:1 allow-0rtt ca-ignore-err:1 ca-sign-file:1 ca-sign-pass:1
		ca-verify-file:1 client-sigalgs:1 crt-ignore-err:1
		default-crt:1 defer-accept ecdhe:1 expose-fd:1 force-sslv3
		generate-certificates guid-prefix:1 id:1 level:1 maxconn:1 mss:1 namespace:1 nbconn:1
		nice:1 no-alpn no-ca-names no-strict-sni npn:1
		process:1 quic-cc-algo:1 quic-socket:1 severity-output:1 shards:1
		sigalgs:1 tcp-md5sig:1 tcp-ss:1 tcp-ut:1 tfo thread:1
		tls-tickets`},
	{"server", `agent-addr:1 agent-check agent-inter:1 agent-port:1 agent-send:1 allow-0rtt check-alpn:1 check-proto:1
		check-via-socks4 client-sigalgs:1
		force-sslv3 guid:1
		hash-key:1 idle-ping:1 init-addr:1 init-state:1 log-bufsize:1 log-proto:1 namespace:1
		no-agent-check no-send-proxy no-send-proxy-v2
		no-verifyhost npn:1
		pool-conn-name:1 pool-low-conn:1 proxy-v2-options:1
		redir:1 resolve-net:1 resolve-opts:1 resolve-prefer:1 resolvers:1 send-proxy-v2-ssl
		send-proxy-v2-ssl-cn shard:1 sigalgs:1 sni-auto socks4:1
		ssl-reuse stick tcp-md5sig:1 tcp-ut:1 tfo tls-tickets`},
	{"cookie", `dynamic`},
	{"stick-table", `peers:1 write-to:1 srvkey:1 brates-factor:1 recv-only`},
	{"stick", `if:1 unless:1`},
}
