package words

import "time"

// Where words may stand. The four kinds of proxies have a set for each combination that occurs.
var (
	anyProxy = []string{"defaults", "frontend", "backend", "listen"}
	front    = []string{"defaults", "frontend", "listen"}
	back     = []string{"defaults", "backend", "listen"}
)

var haproxyTop = []Word{
	{Name: "global", Type: Block, Sub: "global", Doc: "Settings of the whole data plane. May be repeated."},
	{Name: "defaults", Type: Block, Args: []string{"name"}, Sub: "defaults", Doc: "Values for the proxies that follow, until the next `defaults`. They are written into each proxy when the file is read."},
	{Name: "frontend", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "frontend", Doc: "Where clients arrive: addresses and the rules that pick a backend."},
	{Name: "backend", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "backend", Doc: "Servers and the way one of them is chosen."},
	{Name: "listen", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "listen", Doc: "A frontend and a backend of one name, the backend being the frontend's default."},
}

var haproxyGlobal = []Word{
	{Name: "maxconn", Type: Int, Min: 1, Max: 1<<31 - 1, Field: "MaxConn", Doc: "Concurrent client connections of the process. At the limit nothing more is accepted; the kernel's backlog holds what waits. Default: from the descriptor limit."},
	{Name: "nbthread", Type: Int, Min: 1, Max: 256, Field: "NbThread", Doc: "Event loops. Default: one for each usable CPU."},
	{Name: "log", Type: Line, Doc: "`log TARGET [len N] [format F] FACILITY [MAXLEVEL [MINLEVEL]]`: a target that `log global` refers to."},
	{Name: "spread-checks", Type: Int, Max: 50, Field: "SpreadChecks", Doc: "Percent by which the time between two health checks is varied at random."},
	{Name: "hard-stop-after", Type: Duration, Unit: time.Millisecond, Field: "HardStop", Doc: "How long connections may take to finish after a stop before they are cut."},
	{Name: "daemon", Type: Flag, Field: "Daemon", Status: Accepted, Note: "the agent stays in the foreground; the service manager runs it", Doc: "Go to the background."},
	{Name: "user", Type: String, Field: "User", Status: Accepted, Note: "the agent keeps the user it was started as", Doc: "User to become after the ports are bound."},
	{Name: "group", Type: String, Field: "Group", Status: Accepted, Note: "the agent keeps the group it was started as", Doc: "Group to become after the ports are bound."},
	{Name: "uid", Type: Int, Max: 1<<32 - 2, Status: Accepted, Note: "the agent keeps the user it was started as", Doc: "User by number."},
	{Name: "gid", Type: Int, Max: 1<<32 - 2, Status: Accepted, Note: "the agent keeps the group it was started as", Doc: "Group by number."},
	{Name: "pidfile", Type: String, Field: "PIDFile", Status: Accepted, Note: "no pid file is written", Doc: "File that gets the process's number."},
	{Name: "chroot", Type: String, Field: "Chroot", Status: Accepted, Note: "the process is not confined to a directory", Doc: "Directory to confine the process to."},
	{Name: "stats socket", Type: Line, Args: []string{"path"}, Field: "StatsSocket", Status: Accepted, Note: "no Runtime API socket is opened", Doc: "Socket of the Runtime API."},
	{Name: "stats timeout", Type: Duration, Unit: time.Millisecond, Status: Accepted, Note: "there is no Runtime API socket to time out", Doc: "Idle timeout of the Runtime API."},
	{Name: "stats maxconn", Type: Int, Min: 1, Status: Accepted, Note: "there is no Runtime API socket to limit", Doc: "Connections of the Runtime API."},
	{Name: "nbproc", Type: Int, Min: 1, Max: 64, Status: Accepted, Note: "there is one process with nbthread event loops", Doc: "Processes, in HAProxy up to 2.4."},
	{Name: "ulimit-n", Type: Int, Min: 1, Status: Accepted, Note: "the descriptor limit stays as it is", Doc: "Descriptor limit."},
}

var haproxyProxy = []Word{
	{Name: "bind", In: []string{"frontend", "listen", "override-frontend"}, Type: Line, Args: []string{"address"}, Sub: "bind", Doc: "`bind [IP]:PORT[-PORT][,...]`: addresses to listen on; `*` is every IPv4 address, `[::]` every IPv6 one and, unless the system has it otherwise, every IPv4 one. An address the machine does not own yet may be bound. `/PATH` and `abns@NAME` are Unix sockets."},
	{Name: "mode", In: anyProxy, Type: Enum, Enum: []string{"", "tcp", "http"}, Later: []string{"health", "log", "spop"}, Default: "tcp", Field: "Mode", Doc: "What the proxy understands of the bytes it carries."},
	{Name: "maxconn", In: front, Type: Int, Max: 1<<31 - 1, Field: "MaxConn", Doc: "Concurrent connections of the frontend; 0: as many as the process."},
	{Name: "acl", In: []string{"frontend", "listen"}, Type: Line, Doc: "`acl NAME path_beg [-i] VALUE...`: a named test. Lines of one name are alternatives."},
	{Name: "use_backend", In: []string{"frontend", "listen"}, Type: Line, Doc: "`use_backend NAME [if|unless CONDITION]`: the first rule that holds picks the backend."},
	{Name: "default_backend", In: front, Type: String, Field: "DefaultBackend", Doc: "The backend when no rule holds."},
	{Name: "balance", In: back, Type: Enum, Enum: []string{"", "roundrobin", "source"}, Later: []string{"static-rr", "leastconn", "first", "random", "uri", "url_param", "hdr", "rdp-cookie", "hash", "log-hash"}, Default: "roundrobin", Field: "Balance", Doc: "How a server is chosen when nothing ties the client to one."},
	{Name: "cookie", In: back, Type: Line, Args: []string{"name"}, Labels: 1, Sub: "cookie", Doc: "`cookie NAME insert [indirect] [nocache]`: tie a client to its server by a cookie."},
	{Name: "server", In: []string{"backend", "listen"}, Type: Line, Args: []string{"name", "address"}, Labels: 1, Sub: "server", Doc: "`server NAME HOST[:PORT] ...`: one target. Without a port it is the one that the client addressed, with `:+N` or `:-N` one at that distance from it. `/PATH` and `abns@NAME` are Unix sockets."},
	{Name: "source", In: back, Type: Line, Args: []string{"address"}, Sub: "source", Doc: "`source ADDRESS[:PORT[-PORT]] [usesrc client|clientip|ADDRESS[:PORT]] [interface NAME]`: where connections to the servers come from."},
	{Name: "retries", In: back, Type: Int, Max: 1<<31 - 1, Default: "3", Field: "Retries", Doc: "How often a failed connect, and what else `retry-on` names, is tried again."},
	{Name: "log", In: anyProxy, Type: Line, Doc: "`log global`, or a target of the proxy's own. `no log` forgets what `defaults` said."},
	{Name: "stick-table", In: []string{"backend", "listen"}, Type: Line, Sub: "stick-table", Doc: "`stick-table type ip size N [expire T]`: the table of the backend, replicated over the cluster."},
	{Name: "stick on", In: []string{"backend", "listen"}, Type: Line, Args: []string{"fetch"}, Sub: "stick", Doc: "`stick on src [table NAME]`: who came from this address goes where it went before."},
	{Name: "errorfile", In: anyProxy, Type: Line, Args: []string{"code", "file"}, Doc: "`errorfile CODE FILE`: the file holds the whole answer in place of the built-in page; `/dev/null` closes without one. The file is read when the version is applied."},
	{Name: "errorloc", In: anyProxy, Type: Line, Args: []string{"code", "url"}, Doc: "`errorloc CODE URL`: send the client there by a 302 in place of the built-in page."},
	{Name: "errorloc302", In: anyProxy, Type: Line, Args: []string{"code", "url"}, Doc: "The same as `errorloc`."},
	{Name: "errorloc303", In: anyProxy, Type: Line, Args: []string{"code", "url"}, Doc: "The same by a 303, so that the client asks by GET."},
	{Name: "http-reuse", In: back, Type: Enum, Enum: []string{"safe", "never", "aggressive", "always"}, Default: "safe", Field: "HTTPReuse", Doc: "Whose idle server connection a request may take. `never`: the client's own. `safe`: the first request of a client takes another's only if it can be sent again without harm (an idempotent one that is here in full), which happens unasked when the server has closed the connection meanwhile. `aggressive`: any request takes one that has been used again before. `always`: any request takes any."},
	{Name: "retry-on", In: back, Type: Strings, Field: "RetryOn", Doc: "What is tried again, as often as `retries` says, if the whole request is at hand: `none`, `conn-failure` (the default), `empty-response`, `junk-response`, `response-timeout`, `0rtt-rejected`, `all-retryable-errors` and the statuses 401 403 404 408 425 500 501 502 503 504."},
	{Name: "contimeout", In: back, Type: Duration, Status: Alias, Note: "timeout connect"},
	{Name: "clitimeout", In: front, Type: Duration, Status: Alias, Note: "timeout client"},
	{Name: "srvtimeout", In: back, Type: Duration, Status: Alias, Note: "timeout server"},
}

var haproxyOption = []Word{
	{Name: "option httpchk", In: back, Type: Line, Doc: "`option httpchk [[METHOD] URI [VERSION]]`: checks ask by HTTP (default `OPTIONS / HTTP/1.0`) and want a 2xx or 3xx."},
	{Name: "option forwardfor", In: anyProxy, Type: Line, Sub: "forwardfor", Doc: "`option forwardfor [except NET] [header NAME] [if-none]`: tell the server the client's address in X-Forwarded-For."},
	{Name: "option http-keep-alive", In: anyProxy, Type: Flag, Field: "ConnMode", Sets: 0, Doc: "Keep connections open between requests, the default."},
	{Name: "option http-server-close", In: anyProxy, Type: Flag, Field: "ConnMode", Sets: 1, Doc: "Close the server's side after each answer."},
	{Name: "option httpclose", In: anyProxy, Type: Flag, Field: "ConnMode", Sets: 2, Doc: "Close both sides after each answer."},
	{Name: "option httplog", In: front, Type: Flag, Field: "LogFormat", Sets: 2, Doc: "One line per request, with timers, status and termination flags."},
	{Name: "option tcplog", In: front, Type: Flag, Field: "LogFormat", Sets: 1, Doc: "One line per connection, with timers and termination flags."},
	{Name: "option dontlognull", In: front, Type: Flag, Field: "DontLogNull", Doc: "No line for connections that carried nothing."},
	{Name: "option http-buffer-request", In: anyProxy, Type: Flag, Field: "BufferRequest", Doc: "Wait for the whole body (or as much as there is room for) before a server is chosen. `timeout http-request` then covers the body too: a client that drips costs no server anything."},
	{Name: "option http-no-delay", In: anyProxy, Type: Flag, Status: Accepted, Note: "nothing is ever held back", Doc: "Send on at once what came."},
	{Name: "option http-pretend-keepalive", In: back, Type: Flag, Field: "PretendKeepAlive", Doc: "Do not tell a server that its connection will be closed after the answer."},
	{Name: "option abortonclose", In: back, Type: Flag, Field: "AbortOnClose", Doc: "A client that closes while its request queues, connects or awaits the answer has given up: the request ends."},
	{Name: "option nolinger", In: anyProxy, Type: Flag, Field: "NoLinger", Doc: "A connection that is closed is forgotten at once, with what has not been sent yet."},
	{Name: "option clitcpka", In: front, Type: Flag, Field: "ClientKeepAlive", Doc: "TCP keep-alive packets towards the clients, as often as the system has it."},
	{Name: "option srvtcpka", In: back, Type: Flag, Field: "ServerKeepAlive", Doc: "TCP keep-alive packets towards the servers."},
	{Name: "option tcpka", In: anyProxy, Type: Flag, Doc: "TCP keep-alive packets on both sides: `clitcpka` of a frontend, `srvtcpka` of a backend."},
	{Name: "option tcp-smart-accept", In: front, Type: Flag, Status: Accepted, Note: "acknowledgements are the kernel's business", Doc: "Hold the acknowledgement of a request back until there is an answer to go with it."},
	{Name: "option tcp-smart-connect", In: back, Type: Flag, Status: Accepted, Note: "acknowledgements are the kernel's business", Doc: "Hold the acknowledgement of a connection back until there is a request to go with it."},
	{Name: "option splice-auto", In: anyProxy, Type: Flag, Status: Accepted, Note: "long streams are spliced in any case", Doc: "Let the kernel move long streams."},
	{Name: "option splice-request", In: anyProxy, Type: Flag, Status: Accepted, Note: "long streams are spliced in any case", Doc: "The same from the client alone."},
	{Name: "option splice-response", In: anyProxy, Type: Flag, Status: Accepted, Note: "long streams are spliced in any case", Doc: "The same from the server alone."},
	{Name: "option redispatch", In: back, Type: Line, Doc: "`option redispatch [N]`: the last retry (or each N-th) may go to another server."},
}

var haproxyStats = []Word{
	{Name: "stats enable", In: anyProxy, Type: Flag, Doc: "Serve the page of the counters, with default settings."},
	{Name: "stats uri", In: anyProxy, Type: String, Field: "Stats.URI", Default: "/haproxy?stats", Doc: "Prefix under which the page is served."},
	{Name: "stats refresh", In: anyProxy, Type: Duration, Unit: time.Second, Field: "Stats.Refresh", Doc: "How often the browser reloads the page. A bare number is seconds."},
	{Name: "stats realm", In: anyProxy, Type: String, Field: "Stats.Realm", Default: "HAProxy Statistics", Doc: "What the browser shows when it asks for the password."},
	{Name: "stats auth", In: anyProxy, Type: Line, Args: []string{"user:password"}, Doc: "`stats auth USER:PASSWORD`: who may see the page; may be repeated."},
}

var haproxyTimeout = []Word{
	{Name: "timeout connect", In: back, Type: Duration, Field: "Timeouts.Connect", Doc: "To connect to a server."},
	{Name: "timeout client", In: front, Type: Duration, Field: "Timeouts.Client", Doc: "Inactivity of the client."},
	{Name: "timeout server", In: back, Type: Duration, Field: "Timeouts.Server", Doc: "Inactivity of the server."},
	{Name: "timeout http-request", In: anyProxy, Type: Duration, Field: "Timeouts.HTTPRequest", Doc: "For a whole request head, with `option http-buffer-request` also its body; default the client's."},
	{Name: "timeout http-keep-alive", In: anyProxy, Type: Duration, Field: "Timeouts.HTTPKeepAlive", Doc: "Idle between two requests; default that of the request head."},
	{Name: "timeout queue", In: back, Type: Duration, Field: "Timeouts.Queue", Doc: "Waiting for a free server; default that of connecting."},
	{Name: "timeout check", In: back, Type: Duration, Field: "Timeouts.Check", Doc: "For the answer of a health check, once connected."},
	{Name: "timeout tunnel", In: back, Type: Duration, Field: "Timeouts.Tunnel", Doc: "Inactivity once bytes flow both ways unparsed."},
	{Name: "timeout client-fin", In: front, Type: Duration, Field: "Timeouts.ClientFin", Doc: "Inactivity of a client whose other side is closed."},
	{Name: "timeout server-fin", In: back, Type: Duration, Field: "Timeouts.ServerFin", Doc: "Inactivity of a server whose other side is closed."},
	{Name: "timeout tarpit", In: anyProxy, Type: Duration, Field: "Timeouts.Tarpit", Doc: "How long a tarpit holds; default that of connecting."},
}

// haproxyLine are the words that follow others on their line (in HCL: the attributes of that word's block).
var haproxyLine = []Word{
	{Name: "name", In: []string{"bind"}, Type: String, Field: "Name", Doc: "Name of the address in statistics."},
	{Name: "accept-proxy", In: []string{"bind"}, Type: Flag, Field: "AcceptProxy", Doc: "Each connection begins with a header of the PROXY protocol, version 1 or 2: the client's address is the one it names."},
	{Name: "v4v6", In: []string{"bind"}, Type: Flag, Field: "V4V6", Doc: "`[::]` takes IPv4 too, whatever the system's default is."},
	{Name: "v6only", In: []string{"bind"}, Type: Flag, Field: "V6Only", Doc: "`[::]` takes IPv6 alone."},
	{Name: "transparent", In: []string{"bind"}, Type: Flag, Field: "Transparent", Doc: "Take connections to addresses of other machines too, which the kernel has been told to send here (IP_TRANSPARENT)."},
	{Name: "interface", In: []string{"bind"}, Type: String, Field: "Interface", Doc: "Only what comes in there."},
	{Name: "backlog", In: []string{"bind"}, Type: Int, Max: 1<<31 - 1, Field: "Backlog", Doc: "Connections that the kernel keeps waiting; the system's limit is somaxconn."},
	{Name: "mode", In: []string{"bind"}, Type: String, Field: "Mode", Doc: "Permissions of a Unix socket's file, octal."},
	{Name: "user", In: []string{"bind"}, Type: String, Field: "User", Doc: "Owner of a Unix socket's file."},
	{Name: "uid", In: []string{"bind"}, Type: String, Field: "User", Doc: "The same by number."},
	{Name: "group", In: []string{"bind"}, Type: String, Field: "Group", Doc: "Group of a Unix socket's file."},
	{Name: "gid", In: []string{"bind"}, Type: String, Field: "Group", Doc: "The same by number."},
	{Name: "usesrc", In: []string{"source"}, Type: String, Doc: "`client`, `clientip` or an address: whose address the connections come from, which needs CAP_NET_ADMIN (IP_TRANSPARENT)."},
	{Name: "interface", In: []string{"source"}, Type: String, Doc: "Go out there."},
	{Name: "insert", In: []string{"cookie"}, Type: Flag, Doc: "Reeve sets the cookie itself."},
	{Name: "indirect", In: []string{"cookie"}, Type: Flag, Field: "Indirect", Doc: "The server never sees the cookie."},
	{Name: "nocache", In: []string{"cookie"}, Type: Flag, Field: "NoCache", Doc: "An answer that carries the cookie is made private to caches."},
	{Name: "weight", In: []string{"server"}, Type: Int, Max: 256, Default: "1", Field: "Weight", Doc: "Share of the load; 0: only clients that are tied to the server."},
	{Name: "cookie", In: []string{"server"}, Type: String, Field: "Cookie", Doc: "Value of the cookie that leads here."},
	{Name: "maxconn", In: []string{"server"}, Type: Int, Max: 1<<31 - 1, Field: "MaxConn", Doc: "Concurrent requests (HTTP) or connections (TCP); the rest queues. 0: no limit."},
	{Name: "pool-max-conn", In: []string{"server"}, Type: Int, Min: -1, Default: "-1", Field: "PoolMaxConn", Doc: "Idle connections kept for other clients; -1: any number."},
	{Name: "pool-purge-delay", In: []string{"server"}, Type: Duration, Default: "5s", Field: "PoolPurgeDelay", Doc: "So often half of the idle connections that nobody needed meanwhile are closed; 0: none is kept."},
	{Name: "max-reuse", In: []string{"server"}, Type: Int, Min: -1, Default: "-1", Field: "MaxReuse", Doc: "How often a connection is used again before it is closed; -1: any number."},
	{Name: "backup", In: []string{"server"}, Type: Flag, Field: "Backup", Doc: "Used only when no other server is left."},
	{Name: "check", In: []string{"server"}, Type: Flag, Doc: "Ask the server regularly whether it is alive."},
	{Name: "inter", In: []string{"server"}, Type: Duration, Min: 1, Default: "2s", Field: "Check.Inter", Doc: "Time between two checks."},
	{Name: "fastinter", In: []string{"server"}, Type: Duration, Min: 1, Field: "Check.FastInter", Doc: "The same while the verdict is changing."},
	{Name: "downinter", In: []string{"server"}, Type: Duration, Min: 1, Field: "Check.DownInter", Doc: "The same while the server is down."},
	{Name: "rise", In: []string{"server"}, Type: Int, Min: 1, Max: 1<<31 - 1, Default: "2", Field: "Check.Rise", Doc: "Good answers in a row that bring the server up."},
	{Name: "fall", In: []string{"server"}, Type: Int, Min: 1, Max: 1<<31 - 1, Default: "3", Field: "Check.Fall", Doc: "Bad answers in a row that take it down."},
	{Name: "addr", In: []string{"server"}, Type: String, Field: "Check.Address", Doc: "Address to check instead of the server's."},
	{Name: "port", In: []string{"server"}, Type: Int, Min: 1, Max: 65535, Field: "Check.Port", Doc: "Port to check instead of the server's."},
	{Name: "source", In: []string{"server"}, Type: String, Doc: "`ADDRESS[:PORT[-PORT]]`: where the connections come from, in place of the backend's `source`."},
	{Name: "usesrc", In: []string{"server"}, Type: String, Doc: "Behind `source`: `client`, `clientip` or an address, whose address the connections come from. It needs CAP_NET_ADMIN (IP_TRANSPARENT)."},
	{Name: "interface", In: []string{"server"}, Type: String, Doc: "Behind `source`: go out there."},
	{Name: "send-proxy", In: []string{"server"}, Type: Flag, Doc: "Begin each connection with a header of the PROXY protocol, version 1, that names the client."},
	{Name: "send-proxy-v2", In: []string{"server"}, Type: Flag, Doc: "The same in version 2, the binary one."},
	{Name: "check-send-proxy", In: []string{"server"}, Type: Flag, Doc: "Begin checks with such a header too, one that names nobody. So it is anyway with `send-proxy`, unless `addr` or `port` sends the checks elsewhere."},
	{Name: "type", In: []string{"stick-table"}, Type: Enum, Enum: []string{"", "ip"}, Later: []string{"ipv6", "integer", "string", "binary"}, Field: "Type", Doc: "What the keys are."},
	{Name: "size", In: []string{"stick-table"}, Type: Size, Min: 1, Max: 1<<31 - 1, Field: "Size", Doc: "Entries; the oldest goes when the table is full."},
	{Name: "expire", In: []string{"stick-table"}, Type: Duration, Min: 1, Field: "Expire", Doc: "Age at which an unused entry goes; default never."},
	{Name: "table", In: []string{"stick"}, Type: String, Field: "Table", Doc: "The backend whose table is used; default the own one."},
	{Name: "except", In: []string{"forwardfor"}, Type: String, Field: "Except", Doc: "Clients of this network are not named."},
	{Name: "header", In: []string{"forwardfor"}, Type: String, Field: "Header", Default: "X-Forwarded-For", Doc: "Name of the header."},
	{Name: "if-none", In: []string{"forwardfor"}, Type: Flag, Field: "IfNone", Doc: "Only where the request has no such header."},
}
