// SPDX-License-Identifier: Apache-2.0

// Package lab builds small networks out of network namespaces, for the tests on
// the real kernel and for the demo: a kiosk with customers, a router and a server
// on the internet, and the traffic and the independent counts that judge what the
// agent did. Nothing of it reaches the namespace the process runs in.
//
// It needs root, and the nsenter and nft programs.
package lab
