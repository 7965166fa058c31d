// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Session is a session in the API's JSON.
type Session struct {
	ID             int64
	State          string
	TimeSecs       int64      `json:"time_secs"`
	TimeUsedSecs   int64      `json:"time_used_secs"`
	RemainingSecs  int64      `json:"remaining_secs"`
	DataBytes      uint64     `json:"data_bytes"`
	DataUsedBytes  uint64     `json:"data_used_bytes"`
	RemainingBytes uint64     `json:"remaining_bytes"`
	DownBPS        uint64     `json:"down_bps"`
	UpBPS          uint64     `json:"up_bps"`
	StartedAt      *time.Time `json:"started_at"`
}

// Status is the status of a device in the API's JSON.
type Status struct {
	Connected bool
	Session   *Session
	Traffic   Traffic
}

// Traffic is the counters of a device, in the API's JSON.
type Traffic struct {
	UpBytes        uint64 `json:"up_bytes"`
	DownBytes      uint64 `json:"down_bytes"`
	UpPackets      uint64 `json:"up_packets"`
	DownPackets    uint64 `json:"down_packets"`
	DroppedPackets uint64 `json:"dropped_packets"`
}

// JSON calls the command line with --json and decodes what it prints.
func (a *Agent) JSON(into any, args ...string) error {
	out, err := a.Run(append([]string{"--json"}, args...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("the JSON of %v: %w in %q", args, err, out)
	}
	return nil
}

// Buy makes a session: flags of `session create` after the device.
func (a *Agent) Buy(device string, flags ...string) (s Session, err error) {
	err = a.JSON(&s, append([]string{"session", "create", "--device", device}, flags...)...)
	return s, err
}

// TopUp updates a session: flags of `session update`.
func (a *Agent) TopUp(id int64, flags ...string) (s Session, err error) {
	err = a.JSON(&s, append([]string{"session", "update", strconv.FormatInt(id, 10)}, flags...)...)
	return s, err
}

// Session shows a session.
func (a *Agent) Session(id int64) (s Session, err error) {
	err = a.JSON(&s, "session", "show", strconv.FormatInt(id, 10))
	return s, err
}

// Connect connects a device.
func (a *Agent) Connect(device string) (s Status, err error) {
	err = a.JSON(&s, "connect", device)
	return s, err
}

// Disconnect disconnects a device.
func (a *Agent) Disconnect(device string) (s Status, err error) {
	err = a.JSON(&s, "disconnect", device)
	return s, err
}

// Status shows a device.
func (a *Agent) Status(device string) (s Status, err error) {
	err = a.JSON(&s, "status", device)
	return s, err
}

// WaitState waits until a session is in a state.
func (a *Agent) WaitState(ctx context.Context, id int64, state string) (Session, error) {
	const poll = 50 * time.Millisecond
	for {
		s, err := a.Session(id)
		if err != nil || s.State == state {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("session %d is %s, not %s: %w", id, s.State, state, ctx.Err())
		case <-time.After(poll):
		}
	}
}
