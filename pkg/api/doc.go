// SPDX-License-Identifier: Apache-2.0

// Package api is the agent's public surface over a Unix socket, both ends of it:
// the server ([Listen], [NewServer]), the wire types, the typed [Client] that the
// CLI is built on, and the seed-shaped SDK ([Dial]) for portals that sell sessions.
//
// The socket speaks HTTP/1.1 with JSON under /v1. openapi.json describes it and is
// served at /openapi.json; a test holds it against the handlers. Errors are RFC 9457
// problem documents, and on the client side *[sessions.Error] with the same code.
package api
