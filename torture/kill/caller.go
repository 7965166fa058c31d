// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
)

// caller is a client of the API: one call after another, for one device that no other client
// else sells to. It remembers what was answered. What was not, it looks up as soon as
// the daemon answers again, and from then on remembers it as well.
type caller struct {
	api    *harness.API
	random *rand.Rand
	deeds  []deed
	offer  func(*rand.Rand) session
	device int64
	macs   []string // that the device moves between
	mac    string   // that it has

	tag    uint // of the next purchase
	sales  []*session
	gone   map[int64]bool // sales that were deleted
	calls  int
	cut    int // calls without an answer
	broken []string
}

// deed is something that a caller does.
type deed func(*caller) error

// session is one in the API's JSON, as far as it was bought.
type session struct {
	ID        int64  `json:"id,omitempty"`
	Device    int64  `json:"device_id,omitempty"`
	Type      string `json:"type"`
	TimeSecs  int64  `json:"time_secs"`
	DataBytes uint64 `json:"data_bytes"`
	DownBPS   uint64 `json:"down_bps"`
	UpBPS     uint64 `json:"up_bps"`
	// ExpDays identifies a purchase: no two have the same.
	ExpDays uint `json:"exp_days"`
}

// errCut is a call without an answer: it happened or it did not.
var errCut = errors.New("no answer")

// run does one thing after another until ctx ends, or one breaks a promise.
func (c *caller) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.deeds[c.random.IntN(len(c.deeds))](c); err != nil {
			c.broken = append(c.broken, fmt.Sprintf("device %d: %v", c.device, err))
			return
		}
		time.Sleep(time.Duration(c.random.Int64N(int64(60 * time.Millisecond)))) // people take their time
	}
}

// call ends with errCut when there was no answer.
func (c *caller) call(method, path string, body, into any) error {
	return c.callOnce("", method, path, body, into)
}

// callOnce is call with an Idempotency-Key.
func (c *caller) callOnce(key, method, path string, body, into any) error {
	c.calls++
	err := c.api.CallOnce(context.Background(), key, method, path, body, into)
	if err == nil || errors.As(err, new(*harness.ProblemError)) {
		return err
	}
	c.cut++
	return fmt.Errorf("%w: %w", errCut, err)
}

// ask reads something, and waits until there is an agent to answer.
func (c *caller) ask(path string, into any) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(lookEvery) {
		err := c.api.Call(context.Background(), "GET", path, nil, into)
		if err == nil || errors.As(err, new(*harness.ProblemError)) || time.Now().After(deadline) {
			return err
		}
	}
}

// Of HTTP.
const (
	notFound = 404
	conflict = 409
)

// refused reports whether a call was answered with this status.
func refused(err error, status int) bool {
	var refusal *harness.ProblemError
	return errors.As(err, &refusal) && refusal.Status == status
}
