// SPDX-License-Identifier: Apache-2.0

package api

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

// DefaultSocket is where the agent listens unless configured otherwise.
const DefaultSocket = "/run/hotspot-agent/agent.sock"

// Client calls the agent, one method per endpoint. Errors are *[Error] with the agent's
// code; one of a call without an answer is Unavailable. A device is named by its id, MAC
// or IP. Safe for concurrent use.
type Client struct {
	*transport
	statusCalls
	deviceCalls
	captiveCalls
	gardenCalls
	sessionCalls
	claimCalls
	transferCalls
	eventCalls
	providerCalls
}

// NewClient makes a client of the agent at a Unix socket; "" is [DefaultSocket].
// It connects with the first call.
func NewClient(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	agent := &transport{socket: socket, http: wire.SocketTransport(socket, 0)}
	return &Client{
		agent, statusCalls{agent}, deviceCalls{agent}, captiveCalls{agent}, gardenCalls{agent}, sessionCalls{agent}, claimCalls{agent},
		transferCalls{agent}, eventCalls{agent}, providerCalls{agent},
	}
}
