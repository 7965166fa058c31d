// SPDX-License-Identifier: Apache-2.0

// Package adversary is a device that has not paid, in front of a router, and all that it
// may try to get something past it: frames, by name, and endless others at random.
package adversary
