// Package stats is what the data plane counts, named as the columns of HAProxy's `show stat`, and its two spellings:
// CSV for existing tools and a plain page for people. It holds values only; the engine fills them in.
package stats

import "time"

// Type is the kind of a Row, with HAProxy's numbers.
type Type int

const (
	// FrontendType is a frontend's row (svname FRONTEND).
	FrontendType Type = 0
	// BackendType is a backend's row (svname BACKEND).
	BackendType Type = 1
	// ServerType is a server's row.
	ServerType Type = 2
)

// CheckResult is one verdict of a health check. The zero value is "never checked".
type CheckResult struct {
	Status   string        `json:"check_status,omitempty"`   // L4OK, L4CON, L4TOUT, L7OK, L7STS, L7TOUT, L7RSP, SOCKERR, ...
	Code     int           `json:"check_code,omitempty"`     // layer 7 code; 0: none
	Duration time.Duration `json:"check_duration,omitempty"` // of the last probe, nanoseconds
	Reason   string        `json:"check_desc,omitempty"`     // "Layer4 connection problem"; derived from Status when empty
	Info     string        `json:"last_chk,omitempty"`       // "Connection refused"
	Failed   bool          `json:"failed,omitempty"`         // this probe failed, whatever the verdict is
	Rise     int           `json:"check_rise,omitempty"`
	Fall     int           `json:"check_fall,omitempty"`
	// Streak counts the probes in a row against the present verdict: failures while up, successes while down.
	Streak int `json:"streak,omitempty"`
}

// Process is the sum of all proxies.
type Process struct {
	Version     string        `json:"version"`
	PID         int           `json:"pid"`
	Uptime      time.Duration `json:"uptime"` // nanoseconds
	Loops       int           `json:"loops"`
	MaxConn     int64         `json:"maxconn"`
	CurrConns   int64         `json:"curr_conns"`
	CumConns    uint64        `json:"cum_conns"`
	CumReq      uint64        `json:"cum_req"`
	DroppedLogs uint64        `json:"dropped_logs"`
	NoMemory    uint64        `json:"no_memory"` // connections held up and requests refused for want of memory
	Stopping    bool          `json:"stopping"`
}

// Snapshot is the state of all counters at about one instant: each loop is read once, one after the other.
type Snapshot struct {
	Process Process `json:"process"`
	Rows    []Row   `json:"rows"` // per proxy: FRONTEND, servers, BACKEND, in the order of the file
}

// Find returns the row of a proxy and server name ("FRONTEND", "BACKEND" for the proxy's own).
func (s Snapshot) Find(pxname, svname string) (Row, bool) {
	for _, r := range s.Rows {
		if r.PxName == pxname && r.SvName == svname {
			return r, true
		}
	}
	return Row{}, false
}

// Row is one line of the statistics. Counters only grow; cur and max are of this process's life. Columns that mean
// nothing for a Type stay zero in JSON and empty in CSV.
type Row struct {
	PxName        string `json:"pxname"`
	SvName        string `json:"svname"`
	Type          Type   `json:"type"`
	Mode          string `json:"mode"`
	Status        string `json:"status"`
	QCur          int64  `json:"qcur"`
	QMax          int64  `json:"qmax"`
	SCur          int64  `json:"scur"`
	SMax          int64  `json:"smax"`
	SLim          int64  `json:"slim,omitempty"`
	STot          uint64 `json:"stot"`
	BIn           uint64 `json:"bin"`
	BOut          uint64 `json:"bout"`
	DReq          uint64 `json:"dreq"`
	DResp         uint64 `json:"dresp"`
	EReq          uint64 `json:"ereq"`
	ECon          uint64 `json:"econ"`
	EResp         uint64 `json:"eresp"`
	WRetr         uint64 `json:"wretr"`
	WRedis        uint64 `json:"wredis"`
	Weight        int    `json:"weight"`
	Throttle      int    `json:"throttle,omitempty"` // percent of the weight during a slow start
	QLimit        int64  `json:"qlimit,omitempty"`   // maxqueue
	Act           int    `json:"act"`
	Bck           int    `json:"bck"`
	ChkFail       uint64 `json:"chkfail"`
	ChkDown       uint64 `json:"chkdown"`
	LastChg       int64  `json:"lastchg"`  // seconds
	Downtime      int64  `json:"downtime"` // seconds
	PID           int    `json:"pid"`
	IID           int    `json:"iid"`
	SID           int    `json:"sid"`
	LBTot         uint64 `json:"lbtot"`
	Rate          uint64 `json:"rate"`
	RateMax       uint64 `json:"rate_max"`
	CheckStatus   string `json:"check_status,omitempty"`
	CheckCode     int    `json:"check_code,omitempty"`
	CheckDuration int64  `json:"check_duration,omitempty"` // milliseconds
	CheckDesc     string `json:"check_desc,omitempty"`
	LastChk       string `json:"last_chk,omitempty"`
	CheckRise     int    `json:"check_rise,omitempty"`
	CheckFall     int    `json:"check_fall,omitempty"`
	Hrsp1xx       uint64 `json:"hrsp_1xx"`
	Hrsp2xx       uint64 `json:"hrsp_2xx"`
	Hrsp3xx       uint64 `json:"hrsp_3xx"`
	Hrsp4xx       uint64 `json:"hrsp_4xx"`
	Hrsp5xx       uint64 `json:"hrsp_5xx"`
	HrspOther     uint64 `json:"hrsp_other"`
	ReqRate       uint64 `json:"req_rate"`
	ReqTot        uint64 `json:"req_tot"`
	CliAbrt       uint64 `json:"cli_abrt"`
	SrvAbrt       uint64 `json:"srv_abrt"`
	LastSess      int64  `json:"lastsess"` // seconds ago, -1: never
	QTime         int64  `json:"qtime"`    // milliseconds, moving average
	CTime         int64  `json:"ctime"`
	RTime         int64  `json:"rtime"`
	TTime         int64  `json:"ttime"`
	Addr          string `json:"addr,omitempty"`
	Cookie        string `json:"cookie,omitempty"`
	Algo          string `json:"algo,omitempty"`
	ConnTot       uint64 `json:"conn_tot"`
	CompIn        uint64 `json:"comp_in"` // bytes that went into compression, and that came out
	CompOut       uint64 `json:"comp_out"`
	CompRsp       uint64 `json:"comp_rsp"` // answers that were compressed
	CacheLookups  uint64 `json:"cache_lookups"`
	CacheHits     uint64 `json:"cache_hits"`
	Intercepted   uint64 `json:"intercepted"`
	Connect       uint64 `json:"connect"`
	Reuse         uint64 `json:"reuse"`
	IdleConnCur   int64  `json:"idle_conn_cur"`

	SSLSess            uint64 `json:"ssl_sess"`             // TLS handshakes that went well
	SSLReusedSess      uint64 `json:"ssl_reused_sess"`      // those of them that resumed a session
	SSLFailedHandshake uint64 `json:"ssl_failed_handshake"` // those that did not

	// Samples is how many values the averages stand for; what fills a Row in uses it.
	Samples int64 `json:"-"`
}
