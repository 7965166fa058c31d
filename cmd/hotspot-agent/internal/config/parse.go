// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Bounds of values that no other part of the agent bounds.
const (
	maxLowBalance                = 99 // percent
	minCheckpoint, maxCheckpoint = time.Second, time.Hour
	minIdle, maxIdle             = time.Second, 7 * 24 * time.Hour
	minKeep, maxKeep             = 24 * time.Hour, 10 * 366 * 24 * time.Hour
)

func durationRange(low, high time.Duration) string {
	return units.FormatTime(low) + " to " + units.FormatTime(high)
}

func parseInterface(s string) (string, error) {
	if err := dataplane.CheckInterfaceName(s); err != nil {
		return "", err
	}
	return s, nil
}

func parsePath(s string) (string, error) {
	if !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q is not an absolute path", s)
	}
	return filepath.Clean(s), nil
}

func parseSocket(s string) (string, error) {
	path, err := parsePath(s)
	if err == nil && len(path) > server.MaxSocketPath {
		return "", fmt.Errorf("%q is too long for a socket: want at most %d bytes", s, server.MaxSocketPath)
	}
	return path, err
}

// parseGroup leaves the lookup of the group to the socket.
func parseGroup(s string) (string, error) { return s, nil }

func parseMaxClients(s string) (uint32, error) {
	n, err := parseInt(s, 1, dataplane.MaxClients)
	return uint32(n), err
}

func parseSwitch(s string) (bool, error) {
	name, err := oneOf[string]("true", "false")(s)
	return name == "true", err
}

func parsePercent(s string) (int, error) { return parseInt(s, 0, maxLowBalance) }

func parseInt(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is out of range: want a whole number from %d to %d", s, low, high)
	}
	return n, nil
}

func parseCheckpoint(s string) (time.Duration, error) {
	return parseDuration(s, minCheckpoint, maxCheckpoint)
}

func parseIdle(s string) (time.Duration, error) { return parseOrNever(s, minIdle, maxIdle) }

func parseKeep(s string) (time.Duration, error) { return parseOrNever(s, minKeep, maxKeep) }

// parseOrNever reads a duration, or 0.
func parseOrNever(s string, low, high time.Duration) (time.Duration, error) {
	if d, err := units.ParseTime(s); err == nil && d == 0 {
		return 0, nil
	}
	return parseDuration(s, low, high)
}

func parseDuration(s string, low, high time.Duration) (time.Duration, error) {
	d, err := units.ParseTime(s)
	if err != nil {
		return 0, err
	}
	if d < low || d > high {
		return 0, fmt.Errorf("%q is out of range: want %s", s, durationRange(low, high))
	}
	return d, nil
}

func parseMbps(s string) (uint64, error) {
	mbps, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(mbps) || mbps != 0 && (mbps < mbit(dataplane.MinBPS) || mbps > mbit(dataplane.MaxBPS)) {
		return 0, fmt.Errorf("%q is not a speed: want %s", s, speedRange())
	}
	return uint64(math.Round(mbps * 1e6)), nil
}

func speedRange() string {
	return fmt.Sprintf("Mbit/s from %g to %g, or 0 for no limit", mbit(dataplane.MinBPS), mbit(dataplane.MaxBPS))
}

func mbit(bps uint64) float64 { return float64(bps) / 1e6 }

func parseMAC(s string) (dataplane.MAC, error) {
	mac, err := dataplane.ParseMAC(s)
	if err == nil {
		err = mac.CheckClient()
	}
	return mac, err
}

func parsePort(s string) (uint16, error) {
	n, err := parseInt(s, 1, math.MaxUint16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port: want 1 to %d", s, math.MaxUint16)
	}
	return uint16(n), nil
}

// parseSpeed reads a speed with its unit.
func parseSpeed(s string) (uint64, error) {
	bps, err := units.ParseSpeed(s)
	if err == nil && bps != 0 && (bps < dataplane.MinBPS || bps > dataplane.MaxBPS) {
		err = fmt.Errorf("%q is out of range: want %s to %s, or 0 for no limit", s, showSpeed(dataplane.MinBPS), showSpeed(dataplane.MaxBPS))
	}
	return bps, err
}

func showSpeed(bps uint64) string {
	switch {
	case bps == 0:
		return "0"
	case bps%1e6 == 0:
		return fmt.Sprintf("%dmbit", bps/1e6)
	case bps%1e3 == 0:
		return fmt.Sprintf("%dkbit", bps/1e3)
	}
	return fmt.Sprintf("%dbit", bps)
}

func parsePortal(s string) (dataplane.Portal, error) {
	host, port, err := net.SplitHostPort(s)
	n, portErr := parseInt(port, 1, math.MaxUint16)
	portal := dataplane.Portal{Port: uint16(n), Protocol: "tcp"}
	if err == nil && host != "" {
		portal.Addr, err = netip.ParseAddr(host)
	}
	if err != nil || portErr != nil || portal.Addr.Zone() != "" || portal.Addr.IsMulticast() {
		return portal, fmt.Errorf("%q is not a service: want ADDRESS:PORT, [IPV6]:PORT, or :PORT for the router's own addresses", s)
	}
	portal.Addr = portal.Addr.Unmap()
	return portal, nil
}

func parseLevel(s string) (slog.Level, error) {
	name, err := oneOf[string]("debug", "info", "warn", "error")(s)
	if err != nil {
		return 0, err
	}
	var level slog.Level
	err = level.UnmarshalText([]byte(name))
	return level, err
}

func parseListen(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = parseInt(port, 0, math.MaxUint16)
	}
	if err != nil {
		return "", fmt.Errorf("%q is not an address to listen on: want HOST:PORT, like 127.0.0.1:9273, or nothing for off", s)
	}
	return s, nil
}

// oneOf accepts some names.
func oneOf[T ~string](names ...string) func(string) (T, error) {
	return func(s string) (T, error) {
		if slices.Contains(names, s) {
			return T(s), nil
		}
		return "", fmt.Errorf("%q is not known: want %s", s, strings.Join(names, " or "))
	}
}

func parseRedirect(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return s, dataplane.CheckRedirect(s)
}

// maxAnnounced is the longest URL that a DHCPv4 option carries (RFC 8910, section 2).
const maxAnnounced = 255

// parseAPI refuses what a DHCP server's configuration would have to quote.
func parseAPI(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is not a URL: %w", s, err)
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return "", fmt.Errorf("%q: want a URL like https://portal.example/captive: phones take https only (RFC 8908)", s)
	case len(s) > maxAnnounced:
		return "", fmt.Errorf("%q: %d bytes, at most %d fit a DHCP option", s, len(s), maxAnnounced)
	}
	if bad := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`,;'"<>\^`+"`{|}", r) }); bad >= 0 {
		return "", fmt.Errorf("%q: byte %d is not one that every DHCP server takes; write it as %%XX", s, bad)
	}
	return s, nil
}

func parseUDPAnswer(s string) (unreachable bool, err error) {
	if s != "unreachable" && s != "drop" {
		return false, fmt.Errorf("%q is neither unreachable nor drop", s)
	}
	return s == "unreachable", nil
}

func showUDPAnswer(unreachable bool) string {
	if unreachable {
		return "unreachable"
	}
	return "drop"
}

func parseEndedQuiet(s string) (time.Duration, error) {
	return parseDuration(s, 0, dataplane.MaxEndedQuiet)
}
