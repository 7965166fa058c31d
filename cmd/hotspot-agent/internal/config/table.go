// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

//go:generate go test -run TestGenerated -update .

// Keys are all keys of the file, in the order of the example. The loader reads by them;
// config.example.yaml and docs/CONFIGURATION.md are generated from them.
func Keys() []Key {
	return slices.Concat(routerKeys(), sessionKeys(), accessKeys(), programKeys(), preauthKeys(), monitoringKeys())
}

// routerKeys are those of interfaces, files and kernel tables.
func routerKeys() []Key {
	return []Key{
		list(Key{
			Name: "interfaces", Kind: "list of interface names", Wrong: "[a/b]",
			Accepts: "at least one; the interfaces need not exist yet",
			Meaning: "The client-facing interfaces: a bridge, its ports, or plain interfaces. On them only paid traffic is forwarded.",
		}, func(c *Config) *[]string { return &c.Interfaces }, parseInterface, plain),
		value(Key{
			Name: "state_dir", Kind: "path", Accepts: "absolute", Wrong: "var/lib",
			Meaning: "Folder of the database hotspot.db: devices, sessions, events.",
		}, func(c *Config) *string { return &c.StateDir }, parsePath, plain),
		value(Key{
			Name: "socket", Kind: "path", Accepts: fmt.Sprintf("absolute, at most %d bytes", server.MaxSocketPath), Wrong: "agent.sock",
			Meaning: "The Unix socket of the API, for the command line and the portal software.",
		}, func(c *Config) *string { return &c.Socket }, parseSocket, plain),
		value(Key{
			Name: "socket_group", Kind: "group", Accepts: "name or number of a group, or \"\" for none",
			Meaning: "Group that may use the socket, beside root. An unknown group ends the start.",
		}, func(c *Config) *string { return &c.SocketGroup }, parseGroup, plain),
		value(Key{
			Name: "viewer_group", Kind: "group", Accepts: "name or number of a group, or \"\" for none",
			Meaning: "Group that may read by the socket, and change nothing. An unknown group ends the start.",
		}, func(c *Config) *string { return &c.ViewerGroup }, parseGroup, plain),
		value(Key{
			Name: "bpffs", Kind: "path", Accepts: "absolute", Wrong: "bpf",
			Meaning: "Folder of the pinned programs, links and maps. A bpffs is mounted there when it is on none.",
		}, func(c *Config) *string { return &c.BPFFS }, parsePath, plain),
		value(Key{
			Name: "max_clients", Kind: "whole number", Accepts: fmt.Sprintf("1 to %d devices", dataplane.MaxClients), Wrong: "0",
			Meaning: "Devices that can have a rule in the kernel at the same time. The maps are pinned: a change takes effect after a reboot, or after `hotspot-agent detach`.",
		}, func(c *Config) *uint32 { return &c.MaxClients }, parseMaxClients, func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }),
	}
}

// sessionKeys are those of sessions: their speed, accounting, and pauses.
func sessionKeys() []Key {
	return []Key{
		section(Key{
			Name:    "global_speed",
			Meaning: "Speed of sessions that were sold with the global speed.",
			Keys: []Key{
				value(speedKey("down_mbps", "Towards the device."), func(c *Config) *uint64 { return &c.GlobalDownBPS }, parseMbps, showMbps),
				value(speedKey("up_mbps", "From the device."), func(c *Config) *uint64 { return &c.GlobalUpBPS }, parseMbps, showMbps),
			},
		}),
		value(Key{
			Name: "checkpoint", Kind: "duration", Accepts: durationRange(minCheckpoint, maxCheckpoint), Wrong: "15",
			Meaning: "How often usage is written to disk while it changes. A shorter time wears flash more; a power cut costs at most this much usage.",
		}, func(c *Config) *time.Duration { return &c.Checkpoint }, parseCheckpoint, showDuration),
		value(Key{
			Name: "low_balance_percent", Kind: "whole number", Accepts: fmt.Sprintf("0 to %d percent; 0 is never", maxLowBalance), Wrong: "100",
			Meaning: "Event session.low is published when this share of a session is left.",
		}, func(c *Config) *int { return &c.LowBalancePercent }, parsePercent, strconv.Itoa),
		name(Key{
			Name: "on_stop", Wrong: "kill", Meaning: "What a clean stop of the agent does to connected devices.",
			Values: []Value{
				{string(StopKeep), "they stay connected, and the kernel ends their sessions when they are due"},
				{string(StopDisconnect), "their sessions are paused"},
			},
		}, func(c *Config) *StopMode { return &c.OnStop }),
		name(Key{
			Name: "after_reboot", Wrong: "stop", Meaning: "What happens after a reboot to sessions that were running.",
			Values: []Value{
				{string(RebootPause), "they wait for the customer to connect again"},
				{string(RebootResume), "they run again as soon as the agent does"},
			},
		}, func(c *Config) *RebootMode { return &c.AfterReboot }),
		value(Key{
			Name: "idle_timeout", Kind: "duration", Accepts: durationRange(minIdle, maxIdle) + ", or 0s for never", Wrong: "soon",
			Meaning: "A device that has sent nothing for this long is paused, whatever was sent to it.",
		}, func(c *Config) *time.Duration { return &c.IdleTimeout }, parseIdle, showDuration),
		value(Key{
			Name: "forget_devices", Kind: "duration", Accepts: showDays(minKeep) + " to " + showDays(maxKeep) + ", or 0 for never", Wrong: "1h",
			Meaning: "Devices that have no session and were not seen this long are deleted, in the background. A device that only the portal has seen is in memory and not in the database; it is not meant here.",
		}, func(c *Config) *time.Duration { return &c.ForgetDevices }, parseKeep, showDays),
		value(Key{
			Name: "keep_sessions", Kind: "duration", Accepts: showDays(minKeep) + " to " + showDays(maxKeep) + ", or 0 for never", Wrong: "a year",
			Meaning: "Sessions that were used up or expired this long ago are deleted, in the background. To have them longer, keep an export (`hotspot-agent session export --all`).",
		}, func(c *Config) *time.Duration { return &c.KeepSessions }, parseKeep, showDays),
	}
}

// accessKeys say which devices are let through.
func accessKeys() []Key {
	return []Key{
		name(Key{
			Name: "bind", Wrong: "mac", Meaning: "What a connected device has to keep beside its MAC, which any device can copy.",
			Values: []Value{
				{string(sessions.BindNone), "nothing; event client.conflict reports a MAC that appears with another IPv4 address, hostname or bridge port"},
				{string(sessions.BindIP), "its IPv4 address: packets from another one are dropped. A customer with a new lease gets through by connecting again, once the old address no longer answers. IPv6 addresses change by design and are not checked"},
				{string(sessions.BindPort), "its bridge port, where that is a wall socket or one customer's access point: on another port it is disconnected at once, until it connects again"},
			},
		}, func(c *Config) *sessions.BindMode { return &c.Bind }),
		list(Key{
			Name: "trusted", Kind: "list of MACs", Accepts: "unicast addresses, in any common form", Wrong: "[02:00]",
			Meaning: "Devices that are let through and counted, but never debited.",
		}, func(c *Config) *[]dataplane.MAC { return &c.Trusted }, parseMAC, dataplane.MAC.String),
		list(Key{
			Name: "blocked", Kind: "list of MACs", Accepts: "unicast addresses, none of them trusted", Wrong: "[ff:ff:ff:ff:ff:ff]",
			Meaning: "Devices all of whose packets are dropped, also before paying.",
		}, func(c *Config) *[]dataplane.MAC { return &c.Blocked }, parseMAC, dataplane.MAC.String),
	}
}

// programKeys are those of the programs in the kernel and their limiters.
func programKeys() []Key {
	return []Key{
		name(Key{
			Name: "attach", Wrong: "xdp", Meaning: "How the programs are attached. After a change: `hotspot-agent detach`.",
			Values: []Value{
				{string(dataplane.Auto), "tcx where the kernel has it (6.6), else clsact"},
				{string(dataplane.TCX), "by tcx links, which other tools do not remove by accident"},
				{string(dataplane.Clsact), "by filters on the clsact qdisc"},
			},
		}, func(c *Config) *dataplane.AttachMode { return &c.Attach }),
		name(Key{
			Name: "limiter", Wrong: "htb", Meaning: "How speeds are held. Both drop packets over the speed and delay none. A change takes effect at the next start.",
			Values: []Value{
				{string(dataplane.Fair), "the speed is shared evenly among a customer's flows"},
				{string(dataplane.Bucket), "one token bucket: the most aggressive flow gets most"},
			},
		}, func(c *Config) *dataplane.Limiter { return &c.Limiter }),
		value(Key{
			Name: "tcp_window_clamp", Kind: "switch", Accepts: "true or false", Wrong: "yes",
			Meaning: "With limiter fair, the receive window in passing TCP acknowledgements is clamped to the flow's share, so that senders stay within it instead of finding it by loss. Flows that were open before are not clamped.",
		}, func(c *Config) *bool { return &c.TCPWindowClamp }, parseSwitch, strconv.FormatBool),
		section(Key{
			Name:    "uplink",
			Meaning: "What all connected clients share, over all interfaces above: a little less than the line carries, so that the queue of its modem stays empty. It is shared by need (max-min fair): a client that wants less than an even share gets all it wants.",
			Keys: []Key{
				value(speedKey("down_mbps", "From the internet."), func(c *Config) *uint64 { return &c.Uplink.DownBPS }, parseMbps, showMbps),
				value(speedKey("up_mbps", "To the internet."), func(c *Config) *uint64 { return &c.Uplink.UpBPS }, parseMbps, showMbps),
			},
		}),
	}
}

// preauthKeys are those of destinations that need no session.
func preauthKeys() []Key {
	return []Key{
		list(Key{
			Name: "walled_garden", Kind: "list of networks and names", Wrong: "[10.1.0.0/8]",
			Accepts: "CIDRs or addresses, IPv4 and IPv6, not the whole internet; names like pay.example, or \"*.bank.example\" for bank.example and all names below it",
			Meaning: "Networks and names that any device may reach before paying. A network is open with all its ports, at any speed. Of a name the addresses are open that the router's DNS answers with, once it does: on the ports and at the speed below, as others may have services at the same address. Private addresses are not opened by a name.",
		}, func(c *Config) *[]dataplane.GardenEntry { return &c.Garden.Entries }, dataplane.ParseGardenEntry, showGardenEntry),
		list(Key{
			Name: "walled_garden_ports", Kind: "list of ports", Accepts: fmt.Sprintf("1 to %d, at most %d of them", math.MaxUint16, dataplane.MaxGardenPorts), Wrong: "[https]",
			Meaning: "Ports, of TCP and UDP (QUIC), that are open at the addresses of names in walled_garden.",
		}, func(c *Config) *[]uint16 { return &c.Garden.Ports }, parsePort, func(p uint16) string { return strconv.Itoa(int(p)) }),
		value(Key{
			Name: "walled_garden_speed", Kind: "speed", Accepts: fmt.Sprintf("%s to %s, or 0 for no limit; a number without a unit is in Mbit/s", showSpeed(dataplane.MinBPS), showSpeed(dataplane.MaxBPS)), Wrong: "fast",
			Meaning: "What a device that has not paid gets to and from the addresses of names in walled_garden, both directions together. More is dropped (garden_rate in status).",
		}, func(c *Config) *uint64 { return &c.Garden.SpeedBPS }, parseSpeed, showSpeed),
		list(Key{
			Name: "portal", Kind: "list of services", Accepts: "ADDRESS:PORT, [IPV6]:PORT, or :PORT for the router's own addresses; TCP", Wrong: "[80]",
			Meaning: "Services that any device may reach before paying: the portal.",
		}, func(c *Config) *[]dataplane.Portal { return &c.Portals }, parsePortal, showPortal),
		section(Key{
			Name:    "captive",
			Meaning: "What a device that may not pass is answered, by the programs in the kernel: it finds the portal at once instead of waiting for time-outs, also while the agent does not run.",
			Keys: []Key{
				value(Key{
					Name: "redirect", Kind: "URL", Accepts: fmt.Sprintf("http:// or https://, at most %d bytes, of a host in portal or walled_garden; \"\" for no answers at all", dataplane.MaxRedirectBytes), Wrong: "portal.html",
					Meaning: "The portal's page. HTTP to any address is redirected to it.",
				}, func(c *Config) *string { return &c.Captive.Redirect }, parseRedirect, quoted),
				name(Key{
					Name: "https", Wrong: "redirect", Meaning: "How other TCP is answered.",
					Values: []Value{
						{string(dataplane.HTTPSReset), "connections are refused at once"},
						{string(dataplane.HTTPSAlert), "port 443 by a TLS alert, by which Chromium opens the portal; the rest is refused"},
						{string(dataplane.HTTPSDrop), "connections time out"},
					},
				}, func(c *Config) *dataplane.HTTPSAnswer { return &c.Captive.HTTPS }),
				value(Key{
					Name: "udp", Kind: "name", Accepts: "unreachable or drop", Wrong: "reset",
					Meaning: "How UDP and other protocols are answered: by an ICMP error, or not at all.",
				}, func(c *Config) *bool { return &c.Captive.Unreachable }, parseUDPAnswer, showUDPAnswer),
				value(Key{
					Name: "ended_quiet", Kind: "duration", Accepts: fmt.Sprintf("0s to %v", dataplane.MaxEndedQuiet), Wrong: "-1s",
					Meaning: "After the end of a session only HTTP is answered this long: some phones look for a portal only when connections time out.",
				}, func(c *Config) *time.Duration { return &c.Captive.EndedQuiet }, parseEndedQuiet, showDuration),
				value(Key{
					Name: "api", Kind: "URL", Accepts: fmt.Sprintf("https://, at most %d bytes, of a host in portal or walled_garden; \"\" for none", maxAnnounced), Wrong: "http://portal.example/api",
					Meaning: "The portal's API for phones (RFC 8908). The agent does not announce it: `hotspot-agent announce` prints what the DHCP server needs.",
				}, func(c *Config) *string { return &c.CaptiveAPI }, parseAPI, quoted),
			},
		}),
	}
}

// monitoringKeys are those of log and metrics.
func monitoringKeys() []Key {
	return []Key{
		section(Key{
			Name: "log", Meaning: "Log lines on standard error.",
			Keys: []Key{
				value(Key{
					Name: "level", Kind: "name", Accepts: "debug, info, warn or error", Wrong: "loud", Meaning: "The least level that is written.",
				}, func(c *Config) *slog.Level { return &c.LogLevel }, parseLevel, func(l slog.Level) string { return strings.ToLower(l.String()) }),
				name(Key{
					Name: "format", Wrong: "xml", Meaning: "Form of a line.",
					Values: []Value{{string(LogText), "key=value pairs"}, {string(LogJSON), "one JSON object"}},
				}, func(c *Config) *LogFormat { return &c.LogFormat }),
			},
		}),
		section(Key{
			Name: "metrics", Meaning: "Prometheus metrics at http://HOST:PORT/metrics.",
			Keys: []Key{
				value(Key{
					Name: "listen", Kind: "address", Accepts: "HOST:PORT, or \"\" for off", Wrong: "9273",
					Meaning: "Address that is listened on. The listener has no access control.",
				}, func(c *Config) *string { return &c.MetricsListen }, parseListen, plain),
			},
		}),
	}
}

func speedKey(name, meaning string) Key {
	return Key{Name: name, Kind: "number", Accepts: speedRange(), Wrong: "500000", Meaning: meaning}
}

func showMbps(bps uint64) string { return strconv.FormatFloat(mbit(bps), 'g', -1, 64) }

// showGardenEntry quotes what YAML would take for an alias.
func showGardenEntry(e dataplane.GardenEntry) string {
	if text := e.String(); strings.HasPrefix(text, "*") {
		return quoted(text)
	}
	return e.String()
}

// showDays is for durations of whole days.
func showDays(d time.Duration) string { return strconv.Itoa(int(d/(24*time.Hour))) + "d" }

func showDuration(d time.Duration) string { return d.String() }

func showPortal(p dataplane.Portal) string {
	if !p.Addr.IsValid() {
		return quoted(fmt.Sprintf(":%d", p.Port))
	}
	return quoted(netip.AddrPortFrom(p.Addr, p.Port).String())
}
