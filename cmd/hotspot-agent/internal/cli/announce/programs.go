// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"fmt"
	"strings"
)

// programs are those that this package knows, with what they need.
var programs = []struct {
	name  string
	texts func(api string, networks []string) []Text
}{
	{"dnsmasq", dnsmasq},
	{"odhcpd", odhcpd},
	{"radvd", radvd},
	{"kea", kea},
}

func names() (all []string) {
	for _, p := range programs {
		all = append(all, p.name)
	}
	return all
}

// Configuration is what a program needs to announce an API on networks; nil for an unknown
// program. api is as the configuration takes it, so that no syntax here has to quote it.
func Configuration(program, api string, networks []string) []Text {
	for _, p := range programs {
		if p.name == program {
			return p.texts(api, networks)
		}
	}
	return nil
}

// dnsmasq has a tag for the interface that a request came by. It sends an option to those that
// ask for it only, as phones with an API do. It has no option of router advertisements: man
// dnsmasq, --dhcp-option.
func dnsmasq(api string, networks []string) []Text {
	text := "# dnsmasq: DHCPv4 option 114, DHCPv6 option 103 (RFC 8910). Router advertisements of\n" +
		"# dnsmasq cannot have it.\n"
	for _, n := range networks {
		text += fmt.Sprintf("dhcp-option=tag:%s,114,%s\ndhcp-option=tag:%s,option6:103,%s\n", n, api, n, api)
	}
	return []Text{{"/etc/dnsmasq.d/captive.conf", text}}
}

// odhcpd of November 2025 and later has the option for all three; OpenWrt's dnsmasq, which
// serves DHCPv4 unless maindhcp is set, takes dhcp_option.
func odhcpd(api string, networks []string) []Text {
	return []Text{{"/etc/config/dhcp", fmt.Sprintf(`# OpenWrt, /etc/config/dhcp: two lines for the section of %s (here 'lan').
# odhcpd since November 2025: DHCPv6 option 103, router advertisements, and DHCPv4 option
# 114 where it serves DHCPv4 (maindhcp). dhcp_option is for dnsmasq, which else does.
config dhcp 'lan'
	option captive_portal_uri '%s'
	list dhcp_option '114,%s'
`, strings.Join(networks, ", "), api, api)}}
}

// radvd 2.20 has the option: radvd.conf(5).
func radvd(api string, networks []string) []Text {
	text := "# radvd 2.20 or later: router advertisements (RFC 8910). One line for the block of each\n# client network.\n"
	for _, n := range networks {
		text += fmt.Sprintf("interface %s {\n    AdvSendAdvert on;\n    AdvCaptivePortalAPI \"%s\";\n};\n", n, api)
	}
	return []Text{{"/etc/radvd.conf", text}}
}

// kea names both options, and takes comments in its JSON.
func kea(api string, networks []string) []Text {
	part := func(version, file, option string) Text {
		return Text{file, fmt.Sprintf(`// %s: option-data of Dhcp%s, or better of the subnet of %s alone.
{ "Dhcp%s": {
  "option-data": [ { "name": "%s", "data": "%s" } ]
} }
`, file, version, strings.Join(networks, ", "), version, option, api)}
	}
	return []Text{part("4", "/etc/kea/kea-dhcp4.conf", "v4-captive-portal"), part("6", "/etc/kea/kea-dhcp6.conf", "v6-captive-portal")}
}
