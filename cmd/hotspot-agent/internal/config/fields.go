// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// topLevel is the file from its left margin.
var topLevel = map[string]field{
	"interfaces":          listOf(func(c *Config) *[]string { return &c.Interfaces }, parseInterface),
	"state_dir":           valueOf(func(c *Config) *string { return &c.StateDir }, parsePath),
	"socket":              valueOf(func(c *Config) *string { return &c.Socket }, parseSocket),
	"socket_group":        valueOf(func(c *Config) *string { return &c.SocketGroup }, parseGroup),
	"viewer_group":        valueOf(func(c *Config) *string { return &c.ViewerGroup }, parseGroup),
	"bpffs":               valueOf(func(c *Config) *string { return &c.BPFFS }, parsePath),
	"max_clients":         valueOf(func(c *Config) *uint32 { return &c.MaxClients }, parseMaxClients),
	"global_speed":        section(globalSpeed),
	"checkpoint":          valueOf(func(c *Config) *time.Duration { return &c.Checkpoint }, parseCheckpoint),
	"low_balance_percent": valueOf(func(c *Config) *int { return &c.LowBalancePercent }, parsePercent),
	"on_stop":             valueOf(func(c *Config) *StopMode { return &c.OnStop }, oneOf(StopKeep, StopDisconnect)),
	"after_reboot":        valueOf(func(c *Config) *RebootMode { return &c.AfterReboot }, oneOf(RebootPause, RebootResume)),
	"idle_timeout":        valueOf(func(c *Config) *time.Duration { return &c.IdleTimeout }, parseIdle),
	"bind":                valueOf(func(c *Config) *sessions.BindMode { return &c.Bind }, oneOf(sessions.BindNone, sessions.BindIP, sessions.BindPort)),
	"trusted":             listOf(func(c *Config) *[]dataplane.MAC { return &c.Trusted }, parseMAC),
	"blocked":             listOf(func(c *Config) *[]dataplane.MAC { return &c.Blocked }, parseMAC),
	"uplink":              section(uplink),
	"attach":              valueOf(func(c *Config) *dataplane.AttachMode { return &c.Attach }, oneOf(dataplane.Auto, dataplane.TCX, dataplane.Clsact)),
	"limiter":             valueOf(func(c *Config) *dataplane.Limiter { return &c.Limiter }, oneOf(dataplane.Fair, dataplane.Bucket)),
	"steer":               valueOf(func(c *Config) *bool { return &c.Steer }, parseSwitch),
	"walled_garden":       listOf(func(c *Config) *[]netip.Prefix { return &c.WalledGarden }, parseGarden),
	"portal":              listOf(func(c *Config) *[]dataplane.Portal { return &c.Portals }, parsePortal),
	"log":                 section(logging),
	"metrics":             section(metrics),
}

var globalSpeed = map[string]field{
	"down_mbps": valueOf(func(c *Config) *uint64 { return &c.GlobalDownBPS }, parseMbps),
	"up_mbps":   valueOf(func(c *Config) *uint64 { return &c.GlobalUpBPS }, parseMbps),
}

var uplink = map[string]field{
	"down_mbps": valueOf(func(c *Config) *uint64 { return &c.Uplink.DownBPS }, parseMbps),
	"up_mbps":   valueOf(func(c *Config) *uint64 { return &c.Uplink.UpBPS }, parseMbps),
}

var logging = map[string]field{
	"level":  valueOf(func(c *Config) *slog.Level { return &c.LogLevel }, parseLevel),
	"format": valueOf(func(c *Config) *LogFormat { return &c.LogFormat }, oneOf(LogText, LogJSON)),
}

var metrics = map[string]field{
	"listen": valueOf(func(c *Config) *string { return &c.MetricsListen }, parseListen),
}

// valueOf is a field with one value, which parse understands and at stores.
func valueOf[T any](at func(*Config) *T, parse func(string) (T, error)) field {
	return func(d *decoder, key string, node ast.Node) {
		text, ok := d.scalar(key, node)
		if !ok {
			return
		}
		value, err := parse(text)
		if err != nil {
			d.fail(key, node, "%v", err)
			return
		}
		*at(&d.cfg) = value
	}
}

// listOf is a field with a list of values, none of them twice. It replaces the default.
func listOf[T comparable](at func(*Config) *[]T, parse func(string) (T, error)) field {
	return func(d *decoder, key string, node ast.Node) {
		var all []T
		d.list(key, node, func(d *decoder, key string, node ast.Node) {
			text, ok := d.scalar(key, node)
			if !ok {
				return
			}
			value, err := parse(text)
			switch {
			case err != nil:
				d.fail(key, node, "%v", err)
			case slices.Contains(all, value):
				d.fail(key, node, "%q is in the list twice", text)
			default:
				all = append(all, value)
			}
		})
		*at(&d.cfg) = all
	}
}

// section is a field with fields of its own.
func section(fields map[string]field) field {
	return func(d *decoder, key string, node ast.Node) {
		if _, null := node.(*ast.NullNode); !null {
			d.mapping(key+".", node, fields)
		}
	}
}

func oneOf[T ~string](allowed ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if slices.Contains(allowed, T(s)) {
			return T(s), nil
		}
		names := make([]string, len(allowed))
		for i, a := range allowed {
			names[i] = string(a)
		}
		return "", fmt.Errorf("%q is not known: want %s", s, strings.Join(names, " or "))
	}
}

// parseInterface holds a name to what the kernel takes (dev_valid_name).
func parseInterface(s string) (string, error) {
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\r\n\v\f") {
		return "", fmt.Errorf("%q is not the name of an interface: want 1 to 15 characters, without blank, : or /, like br-lan", s)
	}
	return s, nil
}

func parsePath(s string) (string, error) {
	if !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q is not an absolute path", s)
	}
	return filepath.Clean(s), nil
}

// maxSocketPath is sun_path of sockaddr_un without its end (unix(7)).
const maxSocketPath = 107

func parseSocket(s string) (string, error) {
	path, err := parsePath(s)
	if err == nil && len(path) > maxSocketPath {
		return "", fmt.Errorf("%q is too long for a socket: want at most %d bytes", s, maxSocketPath)
	}
	return path, err
}

// parseGroup leaves it to the socket to look the group up.
func parseGroup(s string) (string, error) { return s, nil }

// maxMaxClients bounds the kernel memory that the maps are made of.
const maxMaxClients = 1_000_000

func parseMaxClients(s string) (uint32, error) {
	n, err := parseInt(s, 1, maxMaxClients)
	return uint32(n), err
}

func parseSwitch(s string) (bool, error) {
	name, err := oneOf("true", "false")(s)
	return name == "true", err
}

func parsePercent(s string) (int, error) { return parseInt(s, 0, 99) }

func parseInt(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is out of range: want a whole number from %d to %d", s, low, high)
	}
	return n, nil
}

func parseCheckpoint(s string) (time.Duration, error) {
	return parseDuration(s, time.Second, time.Hour)
}

func parseIdle(s string) (time.Duration, error) {
	if d, err := units.ParseTime(s); err == nil && d == 0 {
		return 0, nil
	}
	return parseDuration(s, time.Second, 7*24*time.Hour)
}

func parseDuration(s string, low, high time.Duration) (time.Duration, error) {
	d, err := units.ParseTime(s)
	if err != nil {
		return 0, err
	}
	if d < low || d > high {
		return 0, fmt.Errorf("%q is out of range: want %s to %s", s, units.FormatTime(low), units.FormatTime(high))
	}
	return d, nil
}

// Speeds that the kernel's limiter can hold; it counts time in ns.
const minMbps, maxMbps = 0.001, 1e6

func parseMbps(s string) (uint64, error) {
	mbps, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(mbps) || mbps != 0 && (mbps < minMbps || mbps > maxMbps) {
		return 0, fmt.Errorf("%q is not a speed: want Mbit/s from %g to %g, or 0 for no limit", s, minMbps, maxMbps)
	}
	return uint64(math.Round(mbps * 1e6)), nil
}

func parseMAC(s string) (dataplane.MAC, error) {
	mac, err := dataplane.ParseMAC(s)
	if err == nil {
		err = mac.CheckClient()
	}
	return mac, err
}

func parseGarden(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return prefix, fmt.Errorf("%q is not a network: want a CIDR, like 203.0.113.0/24 or 2001:db8::/32 (names are not supported)", s)
	case prefix.Masked() != prefix:
		return prefix, fmt.Errorf("%q has bits beyond its length: did you mean %s?", s, prefix.Masked())
	case prefix.Bits() == 0:
		return prefix, fmt.Errorf("%q would open the whole internet before paying", s)
	}
	return prefix, nil
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
	name, err := oneOf("debug", "info", "warn", "error")(s)
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

// crossCheck looks at values that are good alone and not together.
func (d *decoder) crossCheck() {
	if len(d.cfg.Interfaces) == 0 {
		d.fail("interfaces", nil, "is empty: name the client-facing interfaces, like [br-lan]")
	}
	for i, mac := range d.cfg.Blocked {
		if slices.Contains(d.cfg.Trusted, mac) {
			d.fail(fmt.Sprintf("blocked[%d]", i), nil, "%s is trusted as well: keep it in one list", mac)
		}
	}
}
