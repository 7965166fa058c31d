// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// judge compares database, kernel, events and callers at the end.
func (t *trial) judge(ctx context.Context) (report.Row, error) {
	row := report.Row{Fault: "kill", Runs: t.kills, Recovery: t.slowest, Packets: report.Zero(t.lostPackets()), Unpaid: report.Zero(t.unpaid)}
	rows, err := t.stored(ctx)
	if err != nil {
		return row, err
	}
	row.Purchases = report.Zero(t.lostPurchases(rows, &row))
	wrong, err := t.wrongBytes(ctx, &row)
	if err != nil {
		return row, err
	}
	row.Bytes = report.Zero(wrong)
	calls, cut, sales := 0, 0, 0
	for _, c := range t.callers {
		row.Failures = append(row.Failures, c.broken...)
		calls, cut, sales = calls+c.calls, cut+c.cut, sales+len(c.sales)
	}
	for _, l := range t.listeners {
		row.Failures = append(row.Failures, t.unheard(l)...)
	}
	row.Notes = []string{fmt.Sprintf("%d kills while it started; %d calls, %d of them cut off, %d purchases, %d events; %d packets tried unpaid",
		t.early, calls, cut, sales, t.listeners[0].heard(), t.tried)}
	left, err := t.left(ctx)
	row.Failures = append(row.Failures, left...)
	if err != nil {
		return row, err
	}
	gaps, err := t.gaps(ctx)
	row.Failures = append(row.Failures, gaps...)
	return row, err
}

// record is a session in the database.
type record struct {
	session
	TimeUsedNS uint64 `json:"time_used_ns"`
	Used       uint64 `json:"data_used_bytes"`
}

// stored reads the database past the agent.
func (t *trial) stored(ctx context.Context) (map[int64]record, error) {
	var rows []record
	err := t.query(ctx, &rows, `SELECT id, device_id, CASE type WHEN 0 THEN 'time' WHEN 1 THEN 'data' ELSE 'time_or_data' END AS type,
		time_ns / 1000000000 AS time_secs, data_bytes, down_bps, up_bps, exp_days, time_used_ns, data_used_bytes FROM sessions`)
	all := make(map[int64]record)
	for _, r := range rows {
		all[r.ID] = r
	}
	return all, err
}

func (t *trial) query(ctx context.Context, into any, sql string) error {
	out, err := exec.CommandContext(ctx, "sqlite3", "-readonly", "-json", t.Agent.Database(), sql).Output()
	if err != nil {
		return fmt.Errorf("sqlite3: %w", err)
	}
	return json.Unmarshal(out, into)
}

// lostPurchases counts sales that the database does not have as they were answered.
// All others in it were not sold.
func (t *trial) lostPurchases(rows map[int64]record, row *report.Row) (lost int64) {
	for _, c := range t.callers {
		for _, sale := range c.sales {
			got, found := rows[sale.ID]
			delete(rows, sale.ID)
			switch {
			case c.gone[sale.ID] && found:
				row.Failures = append(row.Failures, fmt.Sprintf("session %d was deleted, and is there", sale.ID))
			case !c.gone[sale.ID] && (!found || got.session != *sale):
				lost++
				row.Failures = append(row.Failures, fmt.Sprintf("session %d was sold as %+v, the database has %+v", sale.ID, *sale, got.session))
			}
			row.Failures = append(row.Failures, got.exceeded()...)
		}
	}
	for id := range rows {
		row.Failures = append(row.Failures, fmt.Sprintf("session %d was not sold", id))
	}
	return lost
}

func (r record) exceeded() (broken []string) {
	if r.Type != "time" && r.Used > r.DataBytes {
		broken = append(broken, fmt.Sprintf("session %d used %d of %d bytes", r.ID, r.Used, r.DataBytes))
	}
	if r.Type != "data" && r.TimeUsedNS > uint64(r.TimeSecs)*uint64(time.Second) {
		broken = append(broken, fmt.Sprintf("session %d used %d ns of %d s", r.ID, r.TimeUsedNS, r.TimeSecs))
	}
	return broken
}

// wrongBytes adds up by how much the debits of each customer differ from what the wire
// carried. What is late may come.
func (t *trial) wrongBytes(ctx context.Context, row *report.Row) (wrong int64, err error) {
	for _, c := range t.customers {
		var carried, used uint64
		holds := func() (bool, error) {
			if carried, err = c.carried(); err != nil {
				return false, err
			}
			used, err = c.used()
			return used == carried || c.deletes, err
		}
		late := wait.Until(ctx, "what was carried is debited", holds)
		if err != nil {
			return wrong, err
		}
		switch sold := c.sold(); {
		case c.deletes && (used > carried || carried > sold):
			row.Failures = append(row.Failures, fmt.Sprintf("%s: %d bytes used, %d carried, %d sold", c.name, used, carried, sold))
		case late != nil && !c.deletes:
			wrong += max(int64(used-carried), int64(carried-used))
			row.Failures = append(row.Failures, fmt.Sprintf("%s: the wire carried %d bytes, its sessions used %d", c.name, carried, used))
		}
	}
	return wrong, nil
}

func (c *customer) carried() (uint64, error) {
	down, up, err := c.wire.Read()
	return down.Bytes + up.Bytes, err
}

// used is what the agent says was used of all sessions of a customer.
func (c *customer) used() (sum uint64, err error) {
	var all []record
	err = c.caller.ask(fmt.Sprintf("/sessions?device=%d", c.caller.device), &all)
	for _, s := range all {
		sum += s.Used
	}
	return sum, err
}

// sold is what the customer may have had, where all that was sold has a bound: a
// session of time lets 100 Mbit/s pass at most, more than the flows have.
func (c *customer) sold() (sum uint64) {
	for _, s := range c.caller.sales {
		sum += s.DataBytes
		if s.Type == "time" {
			sum += uint64(s.TimeSecs) * 100_000_000 / 8
		}
	}
	return sum
}

// lostPackets counts what connected customers lost.
func (t *trial) lostPackets() (lost int64) {
	for _, c := range t.customers {
		for _, f := range c.flows {
			if c.steady {
				lost += f.Lost()
			}
		}
	}
	return lost
}

// gaps looks for numbers that the stored events lack.
func (t *trial) gaps(ctx context.Context) ([]string, error) {
	var all []struct{ Stored, Span int64 }
	err := t.query(ctx, &all, "SELECT count(*) AS stored, max(seq) - min(seq) + 1 AS span FROM events")
	if err != nil || all[0].Stored == all[0].Span {
		return nil, err
	}
	return []string{fmt.Sprintf("%d events are stored, of %d numbers", all[0].Stored, all[0].Span)}, nil
}

// unheard says what a listener missed or heard twice.
func (t *trial) unheard(l *listener) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	broken := slices.Clone(l.broken)
	for _, c := range t.callers {
		for _, sale := range c.sales {
			if n := l.created[sale.ID]; n != 1 {
				broken = append(broken, fmt.Sprintf("%s: %d events of the purchase of session %d", l.name, n, sale.ID))
			}
		}
	}
	return broken
}

// left disconnects all devices and returns what was not there before.
func (t *trial) left(ctx context.Context) (left []string, err error) {
	for _, c := range t.callers {
		if err := pause(c); err != nil {
			return nil, err
		}
	}
	var accounts int
	var now counts
	_ = wait.Until(ctx, "the kernel's maps are empty", func() (bool, error) {
		var readErr error
		accounts, err = t.accounts()
		now, readErr = t.counts()
		err = errors.Join(err, readErr)
		return accounts == 0 && now.Clients == 0, err
	})
	if accounts > 0 || now.Clients > 0 {
		left = append(left, fmt.Sprintf("%d accounts and %d rules are left in the kernel", accounts, now.Clients))
	}
	if err != nil {
		return left, err
	}
	var more []string
	_ = wait.Until(ctx, "nothing is left", func() (bool, error) {
		now, readErr := t.traces()
		err, more = readErr, now.grown(t.before)
		return len(more) == 0, readErr
	})
	return append(left, more...), err
}
