// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/http"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func TestCodesAndStatusesAreOneTable(t *testing.T) {
	for _, row := range codes {
		problem := ProblemFrom(sessions.Errorf(row.code, "why"))
		if problem.Status != row.status || problem.Code != row.code {
			t.Errorf("%s becomes %+v, want status %d", row.code, problem, row.status)
		}
		if back := problem.AsError(); back.Code != row.code {
			t.Errorf("%s comes back as %s", row.code, back.Code)
		}
		if sessions.CodeOf(Problem{Status: row.status}.AsError()) != codeOfStatus(row.status) {
			t.Errorf("status %d without a code is not mapped by the table", row.status)
		}
	}
	if codeOfStatus(http.StatusTeapot) != sessions.Invalid || codeOfStatus(http.StatusBadGateway) != sessions.Internal {
		t.Error("unknown statuses are not mapped by their class")
	}
}
