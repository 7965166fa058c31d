// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	flows      = 2
	anaSpeed   = 10e6 // bit/s
	mtu        = 1500
	settleDown = time.Second // the burst at the start is over
)

// anaBuysData shows the speed and the end of a data session.
func (d *day) anaBuysData(ctx context.Context) error {
	d.scene("Ana buys 20 MB at 10 Mbit/s and downloads a film.")
	session, err := d.sell(d.ana, "--type", "data", "--data", "20MB", "--down", "10")
	if err != nil {
		return err
	}
	film, err := d.download(session)
	if err != nil {
		return err
	}
	defer film.transfer.Stop()
	speed, err := film.untilConsumed(ctx, nil)
	if err != nil {
		return err
	}
	// Not above is the promise; how near TCP comes, without any delay on the way in
	// this lab, is also a matter of how busy the machine is.
	d.promise(speed > 0.8*anaSpeed && speed < 1.02*anaSpeed, "held to %.2f Mbit/s", speed/1e6)
	return film.showEnd()
}

// anaTopsUp shows a top-up that the running download does not notice. 3 MB last for four
// seconds: the command has three for its way, on a machine with much else to do, too.
func (d *day) anaTopsUp(ctx context.Context) error {
	d.scene("She buys 3 MB more, and tops them up to 6 MB during the download.")
	session, err := d.sell(d.ana, "--type", "data", "--data", "3MB", "--down", "6")
	if err != nil {
		return err
	}
	film, err := d.download(session)
	if err != nil {
		return err
	}
	defer film.transfer.Stop()
	var atTopUp uint64
	_, err = film.untilConsumed(ctx, func(used uint64) error {
		if atTopUp > 0 || used < 500_000 {
			return nil
		}
		atTopUp = used
		film.session, err = d.agent.TopUp(session.ID, "--add-data", "3MB")
		d.command([]string{"session", "update", strconv.FormatInt(session.ID, 10), "--add-data", "3MB"})
		return err
	})
	if err != nil {
		return err
	}
	d.promise(atTopUp > 0 && film.session.DataBytes == 6_000_000,
		"topped up at %s bytes, on the same connections", grouped(atTopUp))
	return film.showEnd()
}

// film is a download of Ana's, watched from both sides.
type film struct {
	*day
	session  harness.Session
	wire     *lab.Wire
	transfer *lab.Transfer
	ended    harness.Session
}

func (d *day) download(session harness.Session) (*film, error) {
	wire, err := d.kiosk.WireWithoutResets(0)
	if err != nil {
		return nil, err
	}
	answer, err := d.cli("connect", d.ana.MAC.String())
	if err != nil {
		return nil, err
	}
	d.lines(answer)
	transfer, err := d.ana.Download(netip.AddrPortFrom(server4, bulkPort), flows)
	if err != nil {
		return nil, err
	}
	return &film{day: d, session: session, wire: wire, transfer: transfer}, nil
}

// untilConsumed waits until the session has ended, and returns the speed on the
// wire in bit/s after the burst. along is called now and then with what is used.
func (f *film) untilConsumed(ctx context.Context, along func(used uint64) error) (bitsPerSecond float64, err error) {
	var first, last sample
	begin := time.Now()
	err = f.until(ctx, func() (bool, error) {
		now, err := f.sample()
		if err != nil {
			return false, err
		}
		if f.ended, err = f.agent.Session(f.session.ID); err != nil || f.ended.State == "consumed" {
			return true, err
		}
		if time.Since(begin) > settleDown {
			last = now
			if first.at.IsZero() {
				first = now
			}
		}
		if along != nil {
			return false, along(f.ended.DataUsedBytes)
		}
		return false, nil
	}, func() string {
		text := fmt.Sprintf("downloading: %.1f of %d MB", float64(f.ended.DataUsedBytes)/1e6, f.session.DataBytes/1e6)
		if speed := last.since(first); speed > 0 {
			text += fmt.Sprintf(" at %.2f Mbit/s", speed/1e6)
		}
		return text
	})
	return last.since(first), err
}

// sample is what the wire had carried at a time.
type sample struct {
	at    time.Time
	bytes uint64
}

func (f *film) sample() (sample, error) {
	at := time.Now()
	down, _, err := f.wire.Read()
	return sample{at, down.Bytes}, err
}

func (s sample) since(earlier sample) (bitsPerSecond float64) {
	if seconds := s.at.Sub(earlier.at).Seconds(); seconds > 0 {
		return float64(s.bytes-earlier.bytes) * 8 / seconds
	}
	return 0
}

// showEnd compares the three counts of what was bought.
func (f *film) showEnd() error {
	down, up, err := f.wire.Read()
	if err != nil {
		return err
	}
	bought, counted, carried := f.session.DataBytes, f.ended.DataUsedBytes, down.Add(up).Bytes
	f.detail("bought          %12s bytes", grouped(bought))
	f.detail("agent counted   %12s bytes", grouped(counted))
	f.detail("wire carried    %12s bytes (nft, at the phone and at the server)", grouped(carried))
	f.promise(counted == carried, "the counts agree to the byte")
	f.promise(carried <= bought && bought-carried < mtu, "cut off at the byte: %d unused, less than one packet", bought-carried)
	return nil
}
