// SPDX-License-Identifier: Apache-2.0

package meter

import "log/slog"

// health logs a failure once when it begins and once when it is over.
type health struct {
	log     *slog.Logger
	failing map[string]error // by what was tried
}

func (h *health) see(what string, err error) {
	_, before := h.failing[what]
	switch {
	case err != nil && !before:
		h.log.Error("metering fails, it is tried again; nothing is lost", "what", what, "error", err)
		h.failing[what] = err
	case err == nil && before:
		h.log.Info("metering works again", "what", what, "was", h.failing[what])
		delete(h.failing, what)
	}
}
