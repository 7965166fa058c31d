// SPDX-License-Identifier: Apache-2.0

// Package wire is what both ends of the socket share: JSON that is read strictly, problem
// documents, HTTP over a Unix socket, and the messages between the agent and a session
// provider. It builds on every OS.
package wire
