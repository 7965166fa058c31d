// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"iter"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Enforcer is the kernel as the rules see it; pkg/dataplane/linux has the real one.
// Safe for concurrent use. All calls are idempotent.
type Enforcer interface {
	// Grant makes or replaces the rule of a MAC, its account's counter first.
	// When it returns nil the next packet is judged by the rule.
	// It fails with dataplane.ErrFull when max_clients rules exist.
	Grant(dataplane.MAC, dataplane.Rule) error
	// Revoke removes the rule of a MAC; the account's counter stays readable.
	Revoke(dataplane.MAC) error
	// Read returns the counters of one account, or dataplane.ErrNoAccount.
	Read(dataplane.Account) (dataplane.Reading, error)
	// ReadAll visits the counters of every account, some at a time, until visit returns
	// false. The slice is used again.
	ReadAll(visit func([]dataplane.Reading) bool) error
	// Forget removes the counter of an account that no rule names any more.
	Forget(dataplane.Account) error
	// Rule returns the rule of a MAC, the zero one for none.
	Rule(dataplane.MAC) dataplane.Rule
	// Rules visits what is enforced. What changes meanwhile may be left out.
	Rules() iter.Seq2[dataplane.MAC, dataplane.Rule]
}
