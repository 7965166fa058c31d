// SPDX-License-Identifier: Apache-2.0

package deptest

import (
	"go/types"
	"testing"
)

const (
	maxMethods = 25 // of a type: more are several types in one
	topMethods = 55 // of those with a reason
)

// manyMethods are the types with more than maxMethods, each with its reason. Those beyond
// topMethods must only shrink.
var manyMethods = map[string]struct {
	methods int
	reason  string
}{
	"pkg/api.ClientSession":        {28, "the interface of Flare's SessionsMgrApi, name by name"},
	"pkg/api.clientSession":        {28, "it implements ClientSession"},
	"pkg/sessions/manager.Manager": {55, "it is the verbs of the agent, each of a few lines over the internal packages"},
	"pkg/sessions/sessionstest.tx": {28, "it implements sessions.Tx"},
}

// TestMethods holds that no type does too many things.
func TestMethods(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range typedPackages(t) {
		for _, name := range p.pkg.Scope().Names() {
			methods := countMethods(p.pkg.Scope().Lookup(name))
			full := p.folder + "." + name
			exception, excepted := manyMethods[full]
			seen[full] = true
			switch allowed := max(maxMethods, exception.methods); {
			case methods > allowed:
				t.Errorf("%s has %d methods, allowed are %d", full, methods, allowed)
			case excepted && methods <= maxMethods:
				t.Errorf("%s has %d methods and needs no exception: remove it", full, methods)
			case excepted && methods < exception.methods && exception.methods > topMethods:
				t.Errorf("%s has %d methods: lower its exception of %d", full, methods, exception.methods)
			}
		}
	}
	for full := range manyMethods {
		if !seen[full] {
			t.Errorf("%s has an exception, and does not exist: remove it", full)
		}
	}
}

// countMethods counts the methods that are declared for a type, without those of what it
// embeds.
func countMethods(object types.Object) int {
	name, ok := object.(*types.TypeName)
	if !ok || name.IsAlias() {
		return 0
	}
	if i, ok := name.Type().Underlying().(*types.Interface); ok {
		return i.NumExplicitMethods()
	}
	if named, ok := name.Type().(*types.Named); ok {
		return named.NumMethods()
	}
	return 0
}
