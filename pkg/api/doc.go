// SPDX-License-Identifier: Apache-2.0

// Package api is the agent's API on its Unix socket: the types on the wire, the typed
// [Client] with a method per endpoint, and the SDK ([Dial]) for portals that sell
// sessions, in the shape of Flare's SessionsMgrApi. It builds on every OS; an agent
// runs on Linux only.
//
// The socket speaks HTTP/1.1 with JSON under /v1, which /openapi.json describes. Errors
// are *[Error] with the [Code] that the agent gave.
package api
