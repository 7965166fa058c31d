// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Device is a client machine.
type Device struct {
	ID        int64     `json:"id"`
	MAC       string    `json:"mac"` // lower-case, with colons
	IP        string    `json:"ip"`  // the address seen last; "" for none
	IPs       []string  `json:"ips"` // most recent first
	Hostname  string    `json:"hostname"`
	CreatedAt time.Time `json:"created_at"`
	// Visitor: it bought nothing yet, is in no list, and is forgotten when the agent ends or
	// has too many others. Its id stays the same when it buys.
	Visitor bool `json:"visitor"`
}

// DeviceQuery selects devices; its zero value selects all.
type DeviceQuery struct {
	Query  string    // part of the MAC, of an address or of the hostname
	Since  time.Time // made then or later; zero: at any time
	Newest bool      // the newest first
	Limit  int       // of a page, at most 1,000; 0: 500
	Cursor string    // where the page before ended; "" for the first one
}

// NewDevice is the body of POST /v1/devices. A known MAC is updated and returned.
type NewDevice struct {
	MAC      string `json:"mac"`
	IP       string `json:"ip,omitempty"`
	Hostname string `json:"hostname,omitempty"`
}

// DevicePatch is the body of PATCH /v1/devices/{device}; nil leaves a field.
type DevicePatch struct {
	MAC      *string `json:"mac,omitempty"`
	IP       *string `json:"ip,omitempty"`
	Hostname *string `json:"hostname,omitempty"`
}

// DeviceStatus is the state of one device.
type DeviceStatus struct {
	Device    Device   `json:"device"`
	Connected bool     `json:"connected"`
	Session   *Session `json:"session"` // the running one
	Traffic   Traffic  `json:"traffic"`
}

// Traffic is what the kernel counted for a device's running session: forwarded
// wire bytes and packets, and the current rates in bit/s.
type Traffic struct {
	UpBytes        uint64     `json:"up_bytes"`
	DownBytes      uint64     `json:"down_bytes"`
	UpPackets      uint64     `json:"up_packets"`
	DownPackets    uint64     `json:"down_packets"`
	DroppedPackets uint64     `json:"dropped_packets"`
	UpBPS          uint64     `json:"up_bps"`
	DownBPS        uint64     `json:"down_bps"`
	LastSeen       *time.Time `json:"last_seen"`
}

type deviceCalls struct{ agent *transport }

// Devices returns all devices by id; without visitors.
func (c deviceCalls) Devices(ctx context.Context) ([]Device, error) {
	return all(func(cursor string) ([]Device, string, error) {
		return c.DevicePage(ctx, DeviceQuery{Cursor: cursor, Limit: maxPage})
	})
}

// DevicePage returns devices by id, without visitors, and the cursor of the next page; "" when
// there is none.
func (c deviceCalls) DevicePage(ctx context.Context, query DeviceQuery) (page []Device, next string, err error) {
	return fetchPage[Device](ctx, c.agent, "/v1/devices", pageArgs(query.Query, query.Since, query.Newest, query.Limit, query.Cursor))
}

// DeleteDevice deletes a device, with its sessions that are over. Conflict names others that it
// has.
func (c deviceCalls) DeleteDevice(ctx context.Context, device string) error {
	_, err := c.agent.Do(ctx, http.MethodDelete, devicePath(device, ""), nil)
	return err
}

// Device returns one device.
func (c deviceCalls) Device(ctx context.Context, device string) (Device, error) {
	return fetch[Device](ctx, c.agent, http.MethodGet, devicePath(device, ""), nil)
}

// CreateDevice registers a device; one whose MAC is known is updated.
func (c deviceCalls) CreateDevice(ctx context.Context, device NewDevice) (Device, error) {
	return fetch[Device](ctx, c.agent, http.MethodPost, "/v1/devices", device)
}

// UpdateDevice changes a device. Moving it to the MAC of another is a Conflict.
func (c deviceCalls) UpdateDevice(ctx context.Context, device string, patch DevicePatch) (Device, error) {
	return fetch[Device](ctx, c.agent, http.MethodPatch, devicePath(device, ""), patch)
}

// Resolve returns the device behind an address of a client network, registering
// it when it is new. NotFound when no neighbour has the address.
func (c deviceCalls) Resolve(ctx context.Context, ip string) (Device, error) {
	return fetch[Device](ctx, c.agent, http.MethodGet, "/v1/resolve?ip="+url.QueryEscape(ip), nil)
}

// Connect starts what the device has to consume; when it returns nil, packets pass.
// NoSession when there is nothing, Full when max_clients are connected.
func (c deviceCalls) Connect(ctx context.Context, device, notify string) (DeviceStatus, error) {
	return fetch[DeviceStatus](ctx, c.agent, http.MethodPost, devicePath(device, "/connect"), notice{notify})
}

// Disconnect pauses; when it returns nil, nothing passes and the balance is saved.
func (c deviceCalls) Disconnect(ctx context.Context, device, notify string) (DeviceStatus, error) {
	return fetch[DeviceStatus](ctx, c.agent, http.MethodPost, devicePath(device, "/disconnect"), notice{notify})
}

type notice struct {
	Notify string `json:"notify"`
}

// DeviceStatus returns a device with its running session and live traffic.
func (c deviceCalls) DeviceStatus(ctx context.Context, device string) (DeviceStatus, error) {
	return fetch[DeviceStatus](ctx, c.agent, http.MethodGet, devicePath(device, "/status"), nil)
}

// CurrentSession returns the running session, or NotConnected.
func (c deviceCalls) CurrentSession(ctx context.Context, device string) (Session, error) {
	return fetch[Session](ctx, c.agent, http.MethodGet, devicePath(device, "/session"), nil)
}

// AvailableSession returns the running session of a connected device, else the session
// that Connect would start, or NoSession.
func (c deviceCalls) AvailableSession(ctx context.Context, device string) (Session, error) {
	return fetch[Session](ctx, c.agent, http.MethodGet, devicePath(device, "/available-session"), nil)
}

func devicePath(ref, more string) string { return "/v1/devices/" + url.PathEscape(ref) + more }
