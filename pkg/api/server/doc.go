// SPDX-License-Identifier: Apache-2.0

// Package server answers the agent's API on its Unix socket: the caller, its role, how
// much it may do at a time, and each endpoint. A resource is one file, from its routes
// to the JSON; openapi.json describes all, and a test holds it against the handlers.
package server
