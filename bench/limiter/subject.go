// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	mtu      = 1500
	ethernet = 14
	payload  = 1448 // of a full TCP segment with time stamps
)

// subject is a way to limit a customer's speed.
type subject struct {
	name string
	// full is the bytes charged for a full TCP segment.
	full float64
	// limit holds the one customer of a kiosk to bits per second, both ways.
	limit func(ctx context.Context, k *lab.Kiosk, bitsPerSecond float64) (limit, error)
}

// most is the share of the limit that TCP's payload can reach.
func (s subject) most() float64 { return payload / s.full }

// limit is a limit in force.
type limit interface {
	// passed is the bytes charged up to now, of downloads and of uploads.
	passed(ctx context.Context) (down, up uint64, err error)
	// change sets another speed.
	change(ctx context.Context, bitsPerSecond float64) error
	close() error
}

// subjects are the agent's limiters and the shaper that they are measured against.
func subjects(binary string) []subject {
	return []subject{agentSubject(binary, "fair"), agentSubject(binary, "bucket"), htbSubject}
}

// inForce does something in a new kiosk whose one customer is limited.
func (s subject) inForce(ctx context.Context, config lab.KioskConfig, bitsPerSecond float64, do func(*lab.Kiosk, limit) error) (err error) {
	l, err := lab.New("hs-limiter")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	config.Customers = 1
	k, err := l.Kiosk(config)
	if err != nil {
		return err
	}
	// What one connection learnt about the path is not for the next.
	for _, h := range []*lab.Host{k.Server, k.Customers[0]} {
		if err := h.Sysctl("net/ipv4/tcp_no_metrics_save=1"); err != nil {
			return err
		}
	}
	force, err := s.limit(ctx, k, bitsPerSecond)
	if err != nil {
		return fmt.Errorf("limit by %s: %w", s.name, err)
	}
	defer func() { err = errors.Join(err, force.close()) }()
	return do(k, force)
}

// agentSubject is the real daemon with one of its limiters. It charges IP packets.
func agentSubject(binary, limiter string) subject {
	return subject{name: limiter, full: mtu, limit: func(ctx context.Context, k *lab.Kiosk, bitsPerSecond float64) (limit, error) {
		daemon, err := harness.New(k, binary, "limiter: "+limiter)
		if err != nil {
			return nil, err
		}
		a := &agent{daemon: daemon, api: daemon.API(), device: k.Customers[0].MAC.String()}
		err = daemon.Start()
		if err == nil {
			err = a.sell(ctx, bitsPerSecond)
		}
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		return a, nil
	}}
}

type agent struct {
	daemon *harness.Agent
	api    *harness.API
	device string // MAC
	sold   harness.Session
}

func (a *agent) sell(ctx context.Context, bitsPerSecond float64) error {
	const plenty = 1e15
	session := map[string]any{
		"device": a.device, "type": "data", "data_bytes": uint64(plenty),
		"down_bps": uint64(bitsPerSecond), "up_bps": uint64(bitsPerSecond),
	}
	if err := a.api.Call(ctx, "POST", "/sessions", session, &a.sold); err != nil {
		return err
	}
	return a.api.Call(ctx, "POST", "/devices/"+a.device+"/connect", nil, nil)
}

func (a *agent) passed(ctx context.Context) (down, up uint64, err error) {
	var s harness.Status
	err = a.api.Call(ctx, "GET", "/devices/"+a.device+"/status", nil, &s)
	return s.Traffic.DownBytes, s.Traffic.UpBytes, err
}

func (a *agent) change(ctx context.Context, bitsPerSecond float64) error {
	speeds := map[string]any{"down_bps": uint64(bitsPerSecond), "up_bps": uint64(bitsPerSecond)}
	return a.api.Call(ctx, "PATCH", fmt.Sprintf("/sessions/%d", a.sold.ID), speeds, nil)
}

func (a *agent) close() error {
	a.api.Close()
	return a.daemon.Close()
}
