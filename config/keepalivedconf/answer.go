package keepalivedconf

import "github.com/reeve-lb/reeve/internal/source"

// Exit codes of `keepalived -t`. 4, "cannot run at all", belongs to faults of the machine, which no Problem is.
const (
	TestOK        = 0
	TestParameter = 2 // a word lacks its argument: keepalived reads no further
	TestErrors    = 5 // complaints: tolerated ones, and those it does not start with
	TestSecurity  = 6 // scripts that others may change, or an include that must be there and is not
)

// TestAnswer is the exit code with which `keepalived -t` answers a configuration that has these problems: 2 wins at once,
// else the highest.
func TestAnswer(ps source.Problems) int {
	code := TestOK
	for _, p := range ps {
		switch p.Kind() {
		case source.ClassParameter:
			return TestParameter
		case source.ClassSecurity, source.ClassInclude:
			code = TestSecurity
		case source.ClassTolerated, source.ClassFatal:
			code = max(code, TestErrors)
		}
	}
	return code
}
