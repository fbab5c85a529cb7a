package drill

import (
	"testing"
	"time"
)

// TestScenario01LoneStart: scenario 1.
func TestScenario01LoneStart(t *testing.T) {
	each(t, func(t *testing.T, a role) {
		s := newSegment(t, "a")
		d := s.start("a", a, conf(settings{priority: 100}))
		backup := d.said(d.began, "(VI_1) Entering BACKUP STATE")
		first := s.wire.first("a", d.began)
		took(t, "first advert", backup, first.at, masterDown(100))
		_ = time.Second
	})
}
