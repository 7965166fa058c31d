// SPDX-License-Identifier: Apache-2.0

// Package deptest holds the arrows of docs/ARCHITECTURE.md: its tests parse the
// repository and fail, with the reason of the rule, when a package reaches for
// something that is not its business. Tests of packages are free to import what
// they need.
package deptest
