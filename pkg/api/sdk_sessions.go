// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// SessionsMgr is the verbs of Flare's SessionsMgrApi. Safe for concurrent use.
type SessionsMgr struct{ api *API }

// Connect starts the device's next session; when it returns nil, packets pass. On a
// connected device it changes nothing and returns nil. NoSession when there is
// nothing to consume. The notify text goes to the subscribers of EventConnected.
func (m *SessionsMgr) Connect(ctx context.Context, clnt ClientDevice, notify string) error {
	device, err := refOf(clnt)
	if err != nil {
		return err
	}
	_, err = m.api.client.Connect(ctx, device, notify)
	return err
}

// Disconnect pauses the running session; when it returns nil, nothing passes and the
// balance is saved. On a device that is not connected it changes nothing.
func (m *SessionsMgr) Disconnect(ctx context.Context, clnt ClientDevice, notify string) error {
	device, err := refOf(clnt)
	if err != nil {
		return err
	}
	_, err = m.api.client.Disconnect(ctx, device, notify)
	return err
}

// IsConnected reports whether a session of the device runs and packets pass.
func (m *SessionsMgr) IsConnected(clnt ClientDevice) (bool, error) {
	device, err := refOf(clnt)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(m.api.ctx, sdkTimeout)
	defer cancel()
	status, err := m.api.client.DeviceStatus(ctx, device)
	return status.Connected, err
}

// CreateSession sells a session; it is on disk when CreateSession returns nil. It
// does not connect. Type is 0 time, 1 data, 2 time_or_data; an amount that the type
// does not use is ignored. expDays counts from the first start, nil is never; speeds
// are Mbit/s, 0 for no limit, and ignored with useGlobal.
func (m *SessionsMgr) CreateSession(
	ctx context.Context, devId int64, t uint8, timeSecs uint, dataMb float64,
	expDays *uint, downMbits int, upMbits int, useGlobal bool,
) error {
	data := SessionData{
		Type: t, TimeSecs: timeSecs, DataMb: dataMb, ExpDays: expDays,
		DownMbits: downMbits, UpMbits: upMbits, UseGlobalSpeed: useGlobal,
	}
	sold, err := data.domain()
	if err != nil {
		return err
	}
	session := NewSession{
		Device: strconv.FormatInt(devId, 10), Type: sold.Type.String(), ExpDays: sold.ExpDays,
		UseGlobalSpeed: useGlobal,
	}
	if !useGlobal {
		session.DownBPS, session.UpBPS = sold.DownBPS, sold.UpBPS
	}
	if sold.Type != sessions.Data {
		session.TimeSecs = int64(timeSecs)
	}
	if sold.Type != sessions.Time {
		session.DataBytes = sold.Bytes
	}
	_, err = m.api.client.CreateSession(ctx, session)
	return err
}

// CurrSession returns the running session; false when there is none, and also when
// the agent cannot be asked.
func (m *SessionsMgr) CurrSession(clnt ClientDevice) (ClientSession, bool) {
	device, err := refOf(clnt)
	if err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(m.api.ctx, sdkTimeout)
	defer cancel()
	session, err := m.api.client.CurrentSession(ctx, device)
	if err != nil {
		return nil, false
	}
	return newClientSession(m.api.client, session), true
}

// GetSession returns the running session of a connected device, else the session that
// Connect would start, of a registered provider or of the agent's own; NoSession when
// there is none. Every call returns a new object.
func (m *SessionsMgr) GetSession(ctx context.Context, clnt ClientDevice) (ClientSession, error) {
	device, err := refOf(clnt)
	if err != nil {
		return nil, err
	}
	session, err := m.api.client.AvailableSession(ctx, device)
	if err != nil {
		return nil, err
	}
	return newClientSession(m.api.client, session), nil
}

// ClaimSession moves the purchase of a code to a device, for a customer whose phone has
// a new MAC, and returns the session.
func (m *SessionsMgr) ClaimSession(ctx context.Context, clnt ClientDevice, code string) (ClientSession, error) {
	device, err := refOf(clnt)
	if err != nil {
		return nil, err
	}
	session, err := m.api.client.Claim(ctx, code, device)
	if err != nil {
		return nil, err
	}
	return newClientSession(m.api.client, session), nil
}

// RegisterSessionProvider lets p sell sessions that live in this process. The agent
// calls it while [API.Close] was not called; it is registered again with an agent that restarts.
// A provider with a method Name() string has that name, others the program's; a
// second one of the same name replaces the first.
func (m *SessionsMgr) RegisterSessionProvider(p SessionProvider) error {
	return m.api.serveProvider(p)
}
