//go:build !race

package lease

// raceEnabled: the race detector multiplies what code costs.
const raceEnabled = false
