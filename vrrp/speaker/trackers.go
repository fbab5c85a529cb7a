package speaker

import "github.com/reeve-lb/reeve/vrrp/track"

// Trackers gives the state of what the instances track, by the names of the configuration. Safe for concurrent use.
func (s *Speaker) Trackers() *track.Tracker { return s.tracker }
