package words

// haproxyRules are the lists that proxy/rule compiles: what follows the word is its grammar.
var haproxyRules = []Word{
	{Name: "acl", In: anyProxy, Type: Line, Doc: "`acl NAME SAMPLE [-i] [-m METHOD] [-f FILE] VALUE...`: a named test, such as `acl static path_beg /img /css`. Lines of one name are alternatives."},
	{Name: "use_backend", In: []string{"frontend", "listen"}, Type: Line, Doc: "`use_backend NAME [if|unless CONDITION]`: the first rule that holds picks the backend. A name with samples in it (`%[path,field(2,/)]`) that no backend has lets the next rule try."},
	{Name: "use-server", In: []string{"backend", "listen"}, Type: Line, Doc: "`use-server NAME [if|unless CONDITION]`: the first rule that holds picks the server, if it is up."},
	{Name: "http-request", In: anyProxy, Type: Line, Doc: "`http-request ACTION ... [if|unless CONDITION]`: asked in order for each request, the frontend's before the backend's. Actions: " +
		"allow, deny, auth, tarpit, reject, silent-drop, return, redirect, set-header, add-header, del-header, replace-header, replace-value, set-method, set-path, set-pathq, set-query, set-uri, replace-path, replace-pathq, replace-uri, set-var, set-var-fmt, unset-var, set-log-level, set-priority-class, set-priority-offset, track-sc0, track-sc1, track-sc2, sc-inc-gpc0, sc-inc-gpc1, sc-set-gpt0, capture, disable-l7-retry, cache-use, strict-mode."},
	{Name: "http-response", In: anyProxy, Type: Line, Doc: "`http-response ACTION ... [if|unless CONDITION]`: asked in order for each answer of a server, the backend's before the frontend's. Actions: " +
		"allow, deny, silent-drop, return, redirect, set-header, add-header, del-header, replace-header, replace-value, set-status, set-var, set-var-fmt, unset-var, set-log-level, track-sc0, track-sc1, track-sc2, sc-inc-gpc0, sc-inc-gpc1, sc-set-gpt0, capture, cache-store, strict-mode."},
	{Name: "http-after-response", In: anyProxy, Type: Line, Doc: "`http-after-response ACTION ... [if|unless CONDITION]`: the same for all answers, those of Reeve's own among them."},
	{Name: "tcp-request", In: anyProxy, Type: Line, Doc: "`tcp-request connection|session|content ACTION ... [if|unless CONDITION]`: accept, reject, silent-drop, set-var, track-sc0, ... before a protocol is read; `tcp-request inspect-delay TIME`: how long `content` rules may wait for the bytes that they look at."},
	{Name: "tcp-response", In: anyProxy, Type: Line, Doc: "`tcp-response content ACTION ... [if|unless CONDITION]`: accept, reject or set-var once the server answers."},
	{Name: "redirect", In: anyProxy, Type: Line, Doc: "`redirect location|prefix|scheme TO [code N] [drop-query] [append-slash] [ignore-empty] [set-cookie N=V] [clear-cookie N] [if|unless CONDITION]`: asked after the http-request rules."},
	{Name: "capture", Dialect: HCL, In: []string{"frontend", "listen"}, Type: Line, Doc: "What is captured for the log, a list in which the order counts: `request header NAME len N`, `response header NAME len N`, `cookie NAME len N`, `declare request|response len N`, each as the lines of haproxy.cfg below."},
	{Name: "capture request", In: []string{"frontend", "listen"}, Type: Line, Doc: "`capture request header NAME len N`: N bytes of the last header of that name go into the log line, in braces with the others."},
	{Name: "capture response", In: []string{"frontend", "listen"}, Type: Line, Doc: "`capture response header NAME len N`: the same of the answer, in braces of its own."},
	{Name: "capture cookie", In: []string{"frontend", "listen"}, Type: Line, Doc: "`capture cookie NAME len N`: the first cookie of the request, and of the answer, that begins with NAME is logged, as NAME=VALUE, in the place of the two dashes."},
	{Name: "declare capture", In: []string{"frontend", "listen"}, Type: Line, Doc: "`declare capture request|response len N`: a place among the captured headers that `http-request capture SAMPLE id N`, `http-response capture SAMPLE id N` or the converters `capture-req(N)` and `capture-res(N)` fill."},
	{Name: "monitor-uri", In: front, Type: String, Field: "Monitor.URI", Doc: "Path that is answered with 200 as long as no `monitor fail` holds, before any rule and without a log line."},
	{Name: "monitor fail", In: []string{"frontend", "listen"}, Type: Line, Doc: "`monitor fail if|unless CONDITION`: then `monitor-uri` is answered with 503."},
}
