// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Status describes the agent.
func (c *Client) Status(ctx context.Context) (AgentStatus, error) {
	return fetch[AgentStatus](ctx, c, http.MethodGet, "/v1/status", nil)
}

// OpenAPI returns the document that describes the API.
func (c *Client) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	return c.Do(ctx, http.MethodGet, "/openapi.json", nil)
}

// Devices returns all devices by id.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	return fetch[[]Device](ctx, c, http.MethodGet, "/v1/devices", nil)
}

// Device returns one device.
func (c *Client) Device(ctx context.Context, device string) (Device, error) {
	return fetch[Device](ctx, c, http.MethodGet, devicePath(device, ""), nil)
}

// CreateDevice registers a device; one whose MAC is known is updated.
func (c *Client) CreateDevice(ctx context.Context, device NewDevice) (Device, error) {
	return fetch[Device](ctx, c, http.MethodPost, "/v1/devices", device)
}

// UpdateDevice changes a device. Moving it to the MAC of another is a Conflict.
func (c *Client) UpdateDevice(ctx context.Context, device string, patch DevicePatch) (Device, error) {
	return fetch[Device](ctx, c, http.MethodPatch, devicePath(device, ""), patch)
}

type notice struct {
	Notify string `json:"notify"`
}

// Connect starts what the device has to consume; when it returns nil, packets pass.
// NoSession when there is nothing, Full when max_clients are connected.
func (c *Client) Connect(ctx context.Context, device, notify string) (DeviceStatus, error) {
	return fetch[DeviceStatus](ctx, c, http.MethodPost, devicePath(device, "/connect"), notice{notify})
}

// Disconnect pauses; when it returns nil, nothing passes and the balance is saved.
func (c *Client) Disconnect(ctx context.Context, device, notify string) (DeviceStatus, error) {
	return fetch[DeviceStatus](ctx, c, http.MethodPost, devicePath(device, "/disconnect"), notice{notify})
}

// DeviceStatus returns a device with its running session and live traffic.
func (c *Client) DeviceStatus(ctx context.Context, device string) (DeviceStatus, error) {
	return fetch[DeviceStatus](ctx, c, http.MethodGet, devicePath(device, "/status"), nil)
}

// CurrentSession returns the running session, or NotConnected.
func (c *Client) CurrentSession(ctx context.Context, device string) (Session, error) {
	return fetch[Session](ctx, c, http.MethodGet, devicePath(device, "/session"), nil)
}

// AvailableSession returns what Connect would run, or NoSession.
func (c *Client) AvailableSession(ctx context.Context, device string) (Session, error) {
	return fetch[Session](ctx, c, http.MethodGet, devicePath(device, "/available-session"), nil)
}

// Resolve returns the device behind an address of a client network, registering
// it when it is new. NotFound when no neighbour has the address.
func (c *Client) Resolve(ctx context.Context, ip string) (Device, error) {
	return fetch[Device](ctx, c, http.MethodGet, "/v1/resolve?ip="+url.QueryEscape(ip), nil)
}

// SessionQuery selects sessions; its zero value selects all.
type SessionQuery struct {
	Device string           // id, MAC or IP; "" for every device
	States []sessions.State // empty: in every state
}

// Sessions returns sessions by id.
func (c *Client) Sessions(ctx context.Context, query SessionQuery) ([]Session, error) {
	args := url.Values{}
	if query.Device != "" {
		args.Set("device", query.Device)
	}
	if len(query.States) > 0 {
		args.Set("state", strings.Join(each(query.States, func(s sessions.State) string { return string(s) }), ","))
	}
	path := "/v1/sessions"
	if len(args) > 0 {
		path += "?" + args.Encode()
	}
	return fetch[[]Session](ctx, c, http.MethodGet, path, nil)
}

// Session returns one session.
func (c *Client) Session(ctx context.Context, id int64) (Session, error) {
	return fetch[Session](ctx, c, http.MethodGet, sessionPath(id), nil)
}

// CreateSession sells a session; it is on disk when CreateSession returns nil.
func (c *Client) CreateSession(ctx context.Context, session NewSession) (Purchase, error) {
	return fetch[Purchase](ctx, c, http.MethodPost, "/v1/sessions", session)
}

// UpdateSession changes a session, running or not.
func (c *Client) UpdateSession(ctx context.Context, id int64, patch SessionPatch) (Session, error) {
	return fetch[Session](ctx, c, http.MethodPatch, sessionPath(id), patch)
}

// DeleteSession deletes a session; a running one ends.
func (c *Client) DeleteSession(ctx context.Context, id int64) error {
	_, err := c.Do(ctx, http.MethodDelete, sessionPath(id), nil)
	return err
}

// Providers returns the registered providers in the order in which they are asked.
func (c *Client) Providers(ctx context.Context) ([]Provider, error) {
	return fetch[[]Provider](ctx, c, http.MethodGet, "/v1/providers", nil)
}

// RegisterProvider registers a provider, or replaces the one of its name.
func (c *Client) RegisterProvider(ctx context.Context, provider Provider) (Provider, error) {
	return fetch[Provider](ctx, c, http.MethodPost, "/v1/providers", provider)
}

// UnregisterProvider forgets a provider.
func (c *Client) UnregisterProvider(ctx context.Context, name string) error {
	_, err := c.Do(ctx, http.MethodDelete, "/v1/providers/"+url.PathEscape(name), nil)
	return err
}
