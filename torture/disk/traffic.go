// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// traffic is what goes to both customers during a fault.
type traffic struct {
	k            *kiosk
	paid, unpaid *flow.Flow
	carried      *lab.Counter // to the connected customer
	used         uint64       // before
}

// traffic begins. The caller closes it.
func (k *kiosk) traffic(ctx context.Context) (*traffic, error) {
	before, err := k.Agent.Session(k.paid)
	if err != nil {
		return nil, err
	}
	t := &traffic{k: k, used: before.DataUsedBytes}
	if t.carried, err = k.Kiosk.Customers[0].Count(lab.Ingress, lab.Uplink, "ip saddr "+lab.Server4); err != nil {
		return nil, err
	}
	config := flow.Config{From: k.Kiosk.Server, To: k.Kiosk.Customers[0], Port: sinkPort, BitsPerSecond: bitsPerSec, IPBytes: packetBytes}
	if t.paid, err = flow.Start(ctx, config); err != nil {
		return nil, err
	}
	config.To = k.Kiosk.Customers[1]
	if t.unpaid, err = flow.Start(ctx, config); err != nil {
		return nil, errors.Join(err, t.paid.Close())
	}
	return t, nil
}

func (t *traffic) close() error { return errors.Join(t.paid.Close(), t.unpaid.Close()) }

// end compares what was sent, carried and counted.
func (t *traffic) end() (bytes, lost, unpaid report.Figure, err error) {
	sent, missing, err := t.paid.Lost()
	tried, stopped, other := t.unpaid.Lost()
	if err = errors.Join(err, other); err != nil {
		return
	}
	carried, err := t.carried.Read()
	if err != nil {
		return
	}
	after, err := t.k.Agent.Session(t.k.paid)
	if err != nil {
		return
	}
	if sent == missing || tried == 0 {
		err = errors.New("no traffic")
		return
	}
	wrong := int64(after.DataUsedBytes-t.used) - int64(carried.Bytes)
	return report.Zero(max(wrong, -wrong)), report.Zero(missing), report.Zero(tried - stopped), nil
}

// carriedUntil waits, and returns what was carried when the last checkpoint before the
// end was due.
func (t *traffic) carriedUntil(ctx context.Context, length time.Duration) (bytes int64, err error) {
	type reading struct {
		at    time.Time
		bytes int64
	}
	var all []reading
	for end := time.Now().Add(length); time.Now().Before(end); {
		n, err := t.carried.Read()
		all = append(all, reading{time.Now(), int64(n.Bytes)})
		if err := errors.Join(err, wait.For(ctx, pollInterval)); err != nil {
			return 0, err
		}
	}
	due := time.Now().Add(-checkpoint - late)
	for _, r := range all {
		if r.at.Before(due) {
			bytes = r.bytes
		}
	}
	return bytes, nil
}

// stop stops and returns all that was carried.
func (t *traffic) stop() (bytes int64, err error) {
	ended := errors.Join(t.paid.End(), t.unpaid.End())
	n, err := t.carried.Read()
	return int64(n.Bytes), errors.Join(ended, err)
}
