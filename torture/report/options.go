// SPDX-License-Identifier: Apache-2.0

package report

// Scale is how often a fault is tried.
type Scale int

// The scales.
const (
	Short Scale = iota // seconds: part of make test
	Long               // minutes: make torture
)

// Options are the arguments of each fault.
type Options struct {
	Scale Scale
	Agent string // path of the agent's binary
	Seed  uint64 // of all that is random: the same seed tries the same
	// Say prints a line of progress.
	Say func(format string, args ...any)
}

// Pick returns what a scale asks for.
func (o Options) Pick(short, long int) int {
	if o.Scale == Short {
		return short
	}
	return long
}
