// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"time"
)

// every calls do at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			do()
		}
	}
}
