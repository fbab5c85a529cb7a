package stats

// reasons are what a check's status means in words.
var reasons = map[string]string{
	"UNK": "unknown", "INI": "initializing", "SOCKERR": "Socket error",
	"L4OK": "Layer4 check passed", "L4TOUT": "Layer4 timeout", "L4CON": "Layer4 connection problem",
	"L6OK": "Layer6 check passed", "L6TOUT": "Layer6 timeout", "L6RSP": "Layer6 invalid response",
	"L7OK": "Layer7 check passed", "L7OKC": "Layer7 check conditionally passed", "L7TOUT": "Layer7 timeout",
	"L7RSP": "Layer7 invalid response", "L7STS": "Layer7 wrong status", "HANA": "Health analyze",
}

// Text is Reason, or what Status stands for.
func (c CheckResult) Text() string {
	if c.Reason != "" {
		return c.Reason
	}
	if t, ok := reasons[c.Status]; ok {
		return t
	}
	return c.Status
}
