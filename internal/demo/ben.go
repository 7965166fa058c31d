// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	benTime   = 8 * time.Second
	callSpeed = 2e6 // bit/s each way
	callBytes = 250 // a packet a millisecond
	secondOff = 50 * time.Millisecond
)

// benBuysTime shows a crash, a pause, and the end of a time session.
func (d *day) benBuysTime(ctx context.Context) error {
	d.scene("Ben buys %s of time and makes a video call.", benTime)
	if _, err := d.sell(d.ben, "--type", "time", "--time", benTime.String()); err != nil {
		return err
	}
	if err := d.verb("connect"); err != nil {
		return err
	}
	call, err := d.call(ctx)
	if err != nil {
		return err
	}
	defer call.stop()
	for _, part := range []func(context.Context) error{call.crash, call.pause, call.cutOff} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// verb runs connect or disconnect for Ben.
func (d *day) verb(name string) error {
	answer, err := d.cli(name, d.ben.MAC.String())
	d.lines(answer)
	return err
}

func (d *day) lines(text string) {
	for line := range strings.Lines(text) {
		d.detail("%s", strings.TrimRight(line, "\n"))
	}
}

// call is a stream of numbered packets each way.
type call struct {
	*day
	up, down *lab.Sink
	stop     func() // ends the streams and the sinks; may be called twice
}

func (d *day) call(ctx context.Context) (*call, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &call{day: d}
	var streams sync.WaitGroup
	c.stop = sync.OnceFunc(func() {
		cancel()
		streams.Wait()
		for _, sink := range []*lab.Sink{c.up, c.down} {
			if sink != nil {
				_ = sink.Close()
			}
		}
	})
	var err error
	if c.up, err = d.kiosk.Server.Sink("udp6", callPort); err == nil {
		c.down, err = d.ben.Sink("udp4", callPort)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	// A stream that breaks off shows as packets that are missing.
	streams.Go(func() { _, _ = d.ben.Blast(ctx, netip.AddrPortFrom(server6, callPort), callSpeed, callBytes) })
	streams.Go(func() {
		_, _ = d.kiosk.Server.Blast(ctx, netip.AddrPortFrom(d.ben.Addr4, callPort), callSpeed, callBytes)
	})
	return c, nil
}

// online waits until the call has lasted so long, pauses left out.
func (c *call) online(ctx context.Context, long time.Duration) error {
	return c.until(ctx, func() (bool, error) { return c.up.Read().Flowing >= long, nil }, c.progressLine)
}

func (c *call) progressLine() string {
	return fmt.Sprintf("on the phone for %.1f of %s", c.up.Read().Flowing.Seconds(), benTime)
}

// crash kills the agent in the middle of the call.
func (c *call) crash(ctx context.Context) error {
	if err := c.online(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	if err := c.agent.Kill(); err != nil {
		return err
	}
	c.detail("The agent is killed (SIGKILL).")
	dead := c.up.Read().Flowing
	if err := c.online(ctx, dead+time.Second); err != nil {
		return err
	}
	c.detail("A second later it is started again.")
	if err := c.agent.Start(); err != nil {
		return err
	}
	if err := c.online(ctx, c.up.Read().Flowing+200*time.Millisecond); err != nil {
		return err
	}
	up, down := c.up.Read(), c.down.Read()
	c.promise(up.Missing+down.Missing == 0 && up.Gaps+down.Gaps == 0,
		"of %d packets sent meanwhile %d were lost", up.Packets+down.Packets, up.Missing+down.Missing)
	return nil
}

// pause stops the clock of the session for a while.
func (c *call) pause(ctx context.Context) error {
	if err := c.verb("disconnect"); err != nil {
		return err
	}
	paused := c.up.Read()
	const long = 1500 * time.Millisecond
	since := time.Now()
	err := c.until(ctx, func() (bool, error) { return time.Since(since) >= long, nil },
		func() string { return "paused" })
	if err != nil {
		return err
	}
	passed := c.up.Read().Packets - paused.Packets
	c.promise(passed <= 1, "paused for %s: %d packets passed", long, passed) // one may have been on its way
	return c.verb("connect")
}

// cutOff waits for the end and measures it by the time stamps of the packets.
func (c *call) cutOff(ctx context.Context) error {
	silent := func() (bool, error) {
		return lab.Boottime()-c.up.Read().Last > 2*lab.Silence && lab.Boottime()-c.down.Read().Last > 2*lab.Silence, nil
	}
	if err := c.online(ctx, c.up.Read().Flowing+lab.Silence); err != nil {
		return err
	}
	if err := c.until(ctx, silent, c.progressLine); err != nil {
		return err
	}
	up, down := c.up.Read().Flowing, c.down.Read().Flowing
	c.promise((up-benTime).Abs() <= secondOff && (down-benTime).Abs() <= secondOff,
		"cut off at the second: bought %.3f s, online %.3f s (up) and %.3f s (down)", benTime.Seconds(), up.Seconds(), down.Seconds())
	return nil
}
