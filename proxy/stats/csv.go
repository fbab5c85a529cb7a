package stats

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"
)

// columns are `show stat`'s of HAProxy 2.6, in its order: existing tools read them by position. A nil function is a
// column without a figure here.
var columns = []struct {
	name string
	text func(*Row) string
}{
	{"pxname", func(r *Row) string { return r.PxName }}, {"svname", func(r *Row) string { return r.SvName }},
	{"qcur", notFront(func(r *Row) int64 { return r.QCur })}, {"qmax", notFront(func(r *Row) int64 { return r.QMax })},
	{"scur", num(func(r *Row) int64 { return r.SCur })}, {"smax", num(func(r *Row) int64 { return r.SMax })},
	{"slim", func(r *Row) string { return unlessZero(r.SLim) }}, {"stot", count(func(r *Row) uint64 { return r.STot })},
	{"bin", count(func(r *Row) uint64 { return r.BIn })}, {"bout", count(func(r *Row) uint64 { return r.BOut })},
	{"dreq", notServer(func(r *Row) uint64 { return r.DReq })}, {"dresp", count(func(r *Row) uint64 { return r.DResp })},
	{"ereq", only(FrontendType, func(r *Row) uint64 { return r.EReq })},
	{"econ", behind(func(r *Row) uint64 { return r.ECon })}, {"eresp", behind(func(r *Row) uint64 { return r.EResp })},
	{"wretr", behind(func(r *Row) uint64 { return r.WRetr })}, {"wredis", behind(func(r *Row) uint64 { return r.WRedis })},
	{"status", func(r *Row) string { return r.Status }},
	{"weight", notFront(func(r *Row) int64 { return int64(r.Weight) })}, {"act", notFront(func(r *Row) int64 { return int64(r.Act) })},
	{"bck", notFront(func(r *Row) int64 { return int64(r.Bck) })},
	{"chkfail", only(ServerType, func(r *Row) uint64 { return r.ChkFail })}, {"chkdown", behind(func(r *Row) uint64 { return r.ChkDown })},
	{"lastchg", notFront(func(r *Row) int64 { return r.LastChg })}, {"downtime", notFront(func(r *Row) int64 { return r.Downtime })},
	{"qlimit", func(r *Row) string { return unlessZero(r.QLimit) }}, {"pid", num(func(r *Row) int64 { return int64(r.PID) })}, {"iid", num(func(r *Row) int64 { return int64(r.IID) })},
	{"sid", num(func(r *Row) int64 { return int64(r.SID) })}, {"throttle", func(r *Row) string { return unlessZero(int64(r.Throttle)) }},
	{"lbtot", behind(func(r *Row) uint64 { return r.LBTot })}, {"tracked", nil}, {"type", num(func(r *Row) int64 { return int64(r.Type) })},
	{"rate", count(func(r *Row) uint64 { return r.Rate })}, {"rate_lim", nil}, {"rate_max", count(func(r *Row) uint64 { return r.RateMax })},
	{"check_status", func(r *Row) string { return r.CheckStatus }}, {"check_code", func(r *Row) string { return unlessZero(int64(r.CheckCode)) }},
	{"check_duration", checked(func(r *Row) int64 { return r.CheckDuration })},
	{"hrsp_1xx", web(func(r *Row) uint64 { return r.Hrsp1xx })}, {"hrsp_2xx", web(func(r *Row) uint64 { return r.Hrsp2xx })},
	{"hrsp_3xx", web(func(r *Row) uint64 { return r.Hrsp3xx })}, {"hrsp_4xx", web(func(r *Row) uint64 { return r.Hrsp4xx })},
	{"hrsp_5xx", web(func(r *Row) uint64 { return r.Hrsp5xx })}, {"hrsp_other", web(func(r *Row) uint64 { return r.HrspOther })},
	{"hanafail", nil}, {"req_rate", only(FrontendType, func(r *Row) uint64 { return r.ReqRate })}, {"req_rate_max", nil},
	{"req_tot", web(func(r *Row) uint64 { return r.ReqTot })}, {"cli_abrt", behind(func(r *Row) uint64 { return r.CliAbrt })},
	{"srv_abrt", behind(func(r *Row) uint64 { return r.SrvAbrt })}, {"comp_in", notServer(func(r *Row) uint64 { return r.CompIn })}, {"comp_out", notServer(func(r *Row) uint64 { return r.CompOut })},
	{"comp_byp", nil}, {"comp_rsp", notServer(func(r *Row) uint64 { return r.CompRsp })},
	{"lastsess", notFront(func(r *Row) int64 { return r.LastSess })}, {"last_chk", func(r *Row) string { return r.LastChk }}, {"last_agt", nil},
	{"qtime", notFront(func(r *Row) int64 { return r.QTime })}, {"ctime", notFront(func(r *Row) int64 { return r.CTime })},
	{"rtime", notFront(func(r *Row) int64 { return r.RTime })}, {"ttime", notFront(func(r *Row) int64 { return r.TTime })},
	{"agent_status", nil}, {"agent_code", nil}, {"agent_duration", nil}, {"check_desc", func(r *Row) string { return r.CheckDesc }},
	{"agent_desc", nil}, {"check_rise", checked(func(r *Row) int64 { return int64(r.CheckRise) })},
	{"check_fall", checked(func(r *Row) int64 { return int64(r.CheckFall) })}, {"check_health", nil}, {"agent_rise", nil}, {"agent_fall", nil},
	{"agent_health", nil}, {"addr", func(r *Row) string { return r.Addr }}, {"cookie", func(r *Row) string { return r.Cookie }},
	{"mode", func(r *Row) string { return r.Mode }}, {"algo", func(r *Row) string { return r.Algo }}, {"conn_rate", nil}, {"conn_rate_max", nil},
	{"conn_tot", only(FrontendType, func(r *Row) uint64 { return r.ConnTot })},
	{"intercepted", only(FrontendType, func(r *Row) uint64 { return r.Intercepted })}, {"dcon", nil}, {"dses", nil}, {"wrew", nil},
	{"connect", behind(func(r *Row) uint64 { return r.Connect })}, {"reuse", behind(func(r *Row) uint64 { return r.Reuse })},
	{"cache_lookups", notServer(func(r *Row) uint64 { return r.CacheLookups })}, {"cache_hits", notServer(func(r *Row) uint64 { return r.CacheHits })}, {"srv_icur", only(ServerType, func(r *Row) uint64 { return uint64(r.IdleConnCur) })},
	{"src_ilim", nil}, {"qtime_max", nil}, {"ctime_max", nil}, {"rtime_max", nil}, {"ttime_max", nil}, {"eint", nil},
	{"idle_conn_cur", only(ServerType, func(r *Row) uint64 { return uint64(r.IdleConnCur) })}, {"safe_conn_cur", nil}, {"used_conn_cur", nil},
	{"need_conn_est", nil}, {"uweight", notFront(func(r *Row) int64 { return int64(r.Weight) })}, {"agg_server_status", nil},
	{"agg_server_check_status", nil}, {"agg_check_status", nil}, {"-", func(*Row) string { return "-" }}, {"ssl_sess", secured(func(r *Row) uint64 { return r.SSLSess })},
	{"ssl_reused_sess", secured(func(r *Row) uint64 { return r.SSLReusedSess })},
	{"ssl_failed_handshake", secured(func(r *Row) uint64 { return r.SSLFailedHandshake })},
}

func num(f func(*Row) int64) func(*Row) string {
	return func(r *Row) string { return strconv.FormatInt(f(r), 10) }
}

func count(f func(*Row) uint64) func(*Row) string {
	return func(r *Row) string { return strconv.FormatUint(f(r), 10) }
}

func when(yes func(*Row) bool, f func(*Row) string) func(*Row) string {
	return func(r *Row) string {
		if !yes(r) {
			return ""
		}
		return f(r)
	}
}

func notFront(f func(*Row) int64) func(*Row) string {
	return when(func(r *Row) bool { return r.Type != FrontendType }, num(f))
}

func notServer(f func(*Row) uint64) func(*Row) string {
	return when(func(r *Row) bool { return r.Type != ServerType }, count(f))
}

func behind(f func(*Row) uint64) func(*Row) string {
	return when(func(r *Row) bool { return r.Type != FrontendType }, count(f))
}

func only(t Type, f func(*Row) uint64) func(*Row) string {
	return when(func(r *Row) bool { return r.Type == t }, count(f))
}

// secured is of those who shake hands: frontends and servers.
func secured(f func(*Row) uint64) func(*Row) string {
	return when(func(r *Row) bool { return r.Type != BackendType }, count(f))
}

func web(f func(*Row) uint64) func(*Row) string {
	return when(func(r *Row) bool { return r.Mode == "http" }, count(f))
}

func checked(f func(*Row) int64) func(*Row) string {
	return when(func(r *Row) bool { return r.CheckStatus != "" }, num(f))
}

func unlessZero(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// AppendCSV adds what `show stat` prints: a comment line with the columns' names, one line per row, an empty line.
func AppendCSV(dst []byte, s Snapshot) []byte {
	dst = append(dst, "# "...)
	for _, c := range columns {
		dst = append(dst, c.name...)
		dst = append(dst, ',')
	}
	dst = append(dst, '\n')
	for i := range s.Rows {
		for _, c := range columns {
			if c.text != nil {
				dst = appendField(dst, c.text(&s.Rows[i]))
			}
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

func appendField(dst []byte, f string) []byte {
	if !strings.ContainsAny(f, ",\"\n") {
		return append(dst, f...)
	}
	return append(append(append(dst, '"'), strings.ReplaceAll(f, `"`, `""`)...), '"')
}

// shown are the columns of the page.
var shown = []string{"svname", "status", "weight", "act", "bck", "qcur", "qmax", "rate", "rate_max", "scur", "smax", "slim", "stot", "lbtot", "bin", "bout",
	"dreq", "ereq", "econ", "eresp", "wretr", "wredis", "chkfail", "chkdown", "downtime", "last_chk"}

// AppendPage adds the counters as a plain HTML page that reloads itself after refresh, 0 for never. Tools that scrape it
// look for "HAProxy version X" and "uptime = ".
func AppendPage(dst []byte, s Snapshot, refresh time.Duration) []byte {
	dst = append(dst, "<!DOCTYPE html>\n<html><head><title>Statistics</title>\n"...)
	if refresh > 0 {
		dst = fmt.Appendf(dst, "<meta http-equiv=\"refresh\" content=\"%d\">\n", max(int(refresh.Seconds()), 1))
	}
	dst = append(dst, "<style>body{font:13px sans-serif}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:2px 6px;text-align:right}"...)
	dst = append(dst, "td:first-child,th:first-child{text-align:left}</style></head><body>\n"...)
	p := s.Process
	up := int(p.Uptime.Seconds())
	dst = fmt.Appendf(dst, "<h1>Reeve %s</h1>\n<p>speaks the statistics of HAProxy version 2.6, pid = %d, uptime = %dd %dh%02dm%02ds, maxconn = %d, current conns = %d, "+
		"loops = %d, dropped log lines = %d</p>\n", html.EscapeString(p.Version), p.PID, up/86400, up/3600%24, up/60%60, up%60, p.MaxConn, p.CurrConns,
		p.Loops, p.DroppedLogs)
	last := ""
	for i := range s.Rows {
		if r := &s.Rows[i]; r.PxName != last || r.Type == FrontendType {
			if last != "" {
				dst = append(dst, "</table>\n"...)
			}
			last = r.PxName
			dst = fmt.Appendf(dst, "<h2>%s</h2>\n<table><tr>", html.EscapeString(r.PxName))
			for _, name := range shown {
				dst = fmt.Appendf(dst, "<th>%s</th>", name)
			}
			dst = append(dst, "</tr>\n"...)
		}
		dst = appendRow(dst, &s.Rows[i])
	}
	if last != "" {
		dst = append(dst, "</table>\n"...)
	}
	return append(dst, "</body></html>\n"...)
}

func appendRow(dst []byte, r *Row) []byte {
	dst = append(dst, "<tr>"...)
	for _, name := range shown {
		text := ""
		for _, c := range columns {
			if c.name == name && c.text != nil {
				text = c.text(r)
			}
		}
		dst = fmt.Appendf(dst, "<td>%s</td>", html.EscapeString(text))
	}
	return append(dst, "</tr>\n"...)
}
