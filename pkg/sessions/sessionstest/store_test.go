// SPDX-License-Identifier: Apache-2.0

package sessionstest

import (
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) sessions.Store { return NewStore() })
}
