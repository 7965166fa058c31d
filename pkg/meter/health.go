// SPDX-License-Identifier: Apache-2.0

package meter

import "log/slog"

// health logs a failure once when it begins and once when it is over.
type health struct {
	log     *slog.Logger
	failing map[string]error // by what was tried
}

func (h *health) report(what string, err error) {
	_, before := h.failing[what]
	switch {
	case err != nil && !before:
		h.log.Error(what+" failed, retried every second, no count is lost", "error", err)
		h.failing[what] = err
	case err == nil && before:
		h.log.Info(what+" works again", "last_error", h.failing[what])
		delete(h.failing, what)
	}
}
