// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"sync"
	"time"
)

// sdkTimeout bounds calls whose signature has no context.
const sdkTimeout = 5 * time.Second

// API is the agent as a portal sees it, in the shape of Flare's plugin API: its
// verbs, argument orders and types. Data is in megabytes of 1,000,000 bytes,
// speeds in Mbit/s, both directions of traffic summed. Safe for concurrent use.
//
// Errors are *[Error]; what cannot be expressed here is in [API.Client].
type API struct {
	client *Client
	mgr    *SessionsMgr
	hub    hub

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // follow

	mu        sync.Mutex    // not held over calls
	linked    chan struct{} // closed when the agent is followed; nil before the first need
	providers []*providerServer
}

// Dial connects to the agent on a Unix socket; "" is [DefaultSocket]. It fails with
// Unavailable when no agent answers there, and with Forbidden when this process may
// not use the socket. An agent that restarts later needs no new Dial.
func Dial(socket string) (*API, error) {
	client := NewClient(socket)
	ctx, cancel := context.WithTimeout(context.Background(), sdkTimeout)
	defer cancel()
	if _, err := client.Status(ctx); err != nil {
		return nil, err
	}
	a := &API{client: client}
	a.mgr = &SessionsMgr{api: a}
	a.ctx, a.end = context.WithCancel(context.Background())
	return a, nil
}

// Http is about requests that a portal receives.
func (a *API) Http() *Http { return &Http{api: a} }

// Device returns a device by its id, MAC or IP; NotFound when it is not known.
func (a *API) Device(ctx context.Context, ref string) (ClientDevice, error) {
	device, err := a.client.Device(ctx, ref)
	if err != nil {
		return nil, err
	}
	return a.wrap(device), nil
}

// SessionsMgr connects, disconnects and sells.
func (a *API) SessionsMgr() *SessionsMgr { return a.mgr }

// Client is the same agent with a method for every endpoint.
func (a *API) Client() *Client { return a.client }

// Close unregisters this process's session providers and ends its subscriptions.
func (a *API) Close() error {
	a.end()
	a.mu.Lock()
	providers := a.providers
	a.providers = nil
	a.mu.Unlock()
	a.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), sdkTimeout)
	defer cancel()
	var first error
	for _, p := range providers {
		if err := p.close(ctx); err != nil && first == nil {
			first = err
		}
	}
	a.hub.close()
	return first
}
