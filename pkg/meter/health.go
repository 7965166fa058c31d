// SPDX-License-Identifier: Apache-2.0

package meter

import "log/slog"

// health logs an outage twice: when it begins and when it is over.
type health struct {
	log     *slog.Logger
	failing map[string]error // by what failed
}

func (h *health) report(what string, err error) {
	_, before := h.failing[what]
	switch {
	case err != nil && !before:
		h.log.Error("metering failed, retried every second, no count is lost", "during", what, "error", err)
		h.failing[what] = err
	case err == nil && before:
		h.log.Info("metering works again", "during", what, "last_error", h.failing[what])
		delete(h.failing, what)
	}
}
