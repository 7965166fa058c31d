// SPDX-License-Identifier: Apache-2.0

// Package wait waits for conditions, until they hold or the context ends.
package wait

import (
	"context"
	"fmt"
	"time"
)

const (
	patience = 30 * time.Second // on a machine with much else to do
	poll     = 2 * time.Millisecond
)

// Until waits for a condition, which may fail.
func Until(ctx context.Context, what string, holds func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", patience, what)
		}
		if err := For(ctx, poll); err != nil {
			return err
		}
	}
}

// For waits for a while.
func For(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
