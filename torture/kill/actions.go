// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"errors"
	"fmt"
	"time"
)

// buy buys what the caller's customers buy.
func buy(c *caller) error {
	want := c.offer(c.random)
	want.ExpDays = c.tag
	c.tag++
	order := struct {
		Device string `json:"device"`
		session
	}{fmt.Sprint(c.device), want}
	var got session
	err := c.call("POST", "/sessions", order, &got)
	if errors.Is(err, errCut) {
		got, err = c.find(want.ExpDays)
		if err == nil && got.ID == 0 {
			return nil // it did not happen
		}
	}
	if err != nil {
		return fmt.Errorf("a purchase: %w", err)
	}
	want.ID, want.Device = got.ID, c.device
	if got != want {
		return fmt.Errorf("bought %+v, got %+v", want, got)
	}
	c.sales = append(c.sales, &want)
	return nil
}

// buyOnce buys as a portal does that repeats a purchase with its key until it is answered,
// and once more: all of it is one purchase.
func buyOnce(c *caller) error {
	want := c.offer(c.random)
	want.ExpDays = c.tag
	c.tag++
	type bought struct {
		session
		Claim string `json:"claim"`
	}
	order := struct {
		Device    string `json:"device"`
		Reference string `json:"reference"`
		session
	}{fmt.Sprint(c.device), fmt.Sprintf("order %d", want.ExpDays), want}
	repeat := func() (got bought, err error) {
		for deadline := time.Now().Add(patience); ; time.Sleep(lookEvery) {
			err = c.callOnce(order.Reference, "POST", "/sessions", order, &got)
			if !errors.Is(err, errCut) || time.Now().After(deadline) {
				return got, err
			}
		}
	}
	got, err := repeat()
	if err != nil {
		return fmt.Errorf("a purchase with a key: %w", err)
	}
	want.ID, want.Device = got.ID, c.device
	if got.session != want || got.Claim == "" {
		return fmt.Errorf("bought %+v with a key, got %+v", want, got)
	}
	if again, err := repeat(); err != nil || again != got {
		return fmt.Errorf("a purchase with a key was answered %+v, and again %+v: %w", got, again, err)
	}
	c.sales = append(c.sales, &want)
	return nil
}

// find returns the session of a purchase; its ID is 0 when there is none.
func (c *caller) find(tag uint) (session, error) {
	var all []session
	if err := c.ask(fmt.Sprintf("/sessions?device=%d", c.device), &all); err != nil {
		return session{}, err
	}
	for _, s := range all {
		if s.ExpDays == tag {
			return s, nil
		}
	}
	return session{}, nil
}

func connect(c *caller) error {
	err := c.call("POST", fmt.Sprintf("/devices/%d/connect", c.device), nil, nil)
	if errors.Is(err, errCut) || refused(err, conflict) || refused(err, notFound) {
		return nil // there may be nothing to consume
	}
	return err
}

func pause(c *caller) error {
	err := c.call("POST", fmt.Sprintf("/devices/%d/disconnect", c.device), nil, nil)
	if errors.Is(err, errCut) {
		return nil
	}
	return err
}

// topUp adds to one of the latest sessions: older ones are history.
func topUp(c *caller) error {
	sale := c.pick()
	if sale == nil {
		return nil
	}
	const seconds, bytes = 1, 10_000
	more, patch := *sale, map[string]any{}
	if sale.TimeSecs > 0 {
		more.TimeSecs += seconds
		patch["add_time_secs"] = seconds
	}
	if sale.DataBytes > 0 {
		more.DataBytes += bytes
		patch["add_data_bytes"] = bytes
	}
	var got session
	path := fmt.Sprintf("/sessions/%d", sale.ID)
	err := c.call("PATCH", path, patch, &got)
	if errors.Is(err, errCut) {
		err = c.ask(path, &got)
		if got == *sale {
			return err // it did not happen
		}
	}
	if err != nil {
		return fmt.Errorf("a top-up: %w", err)
	}
	if got != more {
		return fmt.Errorf("topped up to %+v, got %+v", more, got)
	}
	*sale = more
	return nil
}

// remove deletes a session, be it running or not.
func remove(c *caller) error {
	sale := c.pick()
	if sale == nil {
		return nil
	}
	path := fmt.Sprintf("/sessions/%d", sale.ID)
	err := c.call("DELETE", path, nil, nil)
	if errors.Is(err, errCut) {
		if err = c.ask(path, &session{}); err == nil {
			return nil // it did not happen
		}
		if refused(err, notFound) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("a deletion: %w", err)
	}
	c.gone[sale.ID] = true
	return nil
}

// pick returns one of the last sales that were not deleted, nil when there is none.
func (c *caller) pick() *session {
	const last = 4
	var some []*session
	for i := len(c.sales) - 1; i >= 0 && len(some) < last; i-- {
		if !c.gone[c.sales[i].ID] {
			some = append(some, c.sales[i])
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[c.random.IntN(len(some))]
}

// move gives the device another MAC, or the same again.
func move(c *caller) error {
	to := c.macs[c.random.IntN(len(c.macs))]
	var got struct{ MAC string }
	path := fmt.Sprintf("/devices/%d", c.device)
	err := c.call("PATCH", path, map[string]string{"mac": to}, &got)
	if errors.Is(err, errCut) {
		if err = c.ask(path, &got); err == nil && got.MAC == c.mac {
			return nil // it did not happen
		}
	}
	if err != nil {
		return fmt.Errorf("a move: %w", err)
	}
	if got.MAC != to {
		return fmt.Errorf("moved to %s, is at %s", to, got.MAC)
	}
	c.mac = to
	return nil
}
