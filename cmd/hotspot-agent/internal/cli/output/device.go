// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// Device shows the answer of a call about one device, or returns its error.
func Device(w io.Writer, c *cli.Context, device api.Device, err error) error {
	if err != nil {
		return err
	}
	return Show(w, c, device, func(w io.Writer, d api.Device) { Fields(w, deviceFields(d)...) })
}

func deviceFields(d api.Device) []string {
	return []string{
		"device", ID(d.ID),
		"MAC", d.MAC,
		"IP", strings.Join(d.IPs, ", "),
		"hostname", d.Hostname,
		"created", Stamp(d.CreatedAt),
		"visitor", visitor(d),
	}
}

func visitor(d api.Device) string {
	if !d.Visitor {
		return ""
	}
	return "yes: bought nothing, in memory only"
}

// Sentence is a device's status in one line: "02:… is connected: session 3, 59m 58s left".
func Sentence(s api.DeviceStatus) string {
	switch {
	case s.Connected && s.Session != nil:
		return fmt.Sprintf("%s is connected: session %d, %s left", s.Device.MAC, s.Session.ID, Remaining(*s.Session))
	case s.Connected:
		return s.Device.MAC + " is connected"
	}
	return s.Device.MAC + " is not connected"
}

// DeviceStatus prints the status of one device.
func DeviceStatus(w io.Writer, s api.DeviceStatus) {
	connected := "no"
	if s.Connected {
		connected = "yes"
	}
	Fields(w, append(deviceFields(s.Device), "connected", connected)...)
	if s.Session != nil {
		fmt.Fprintln(w)
		Fields(w, SessionFields(*s.Session)...)
	}
	if !s.Connected {
		return
	}
	fmt.Fprintln(w)
	Fields(w, "now", fmt.Sprintf("%s down, %s up", units.FormatSpeed(s.Traffic.DownBPS), units.FormatSpeed(s.Traffic.UpBPS)),
		"passed", fmt.Sprintf("%s down, %s up", units.FormatBytes(s.Traffic.DownBytes), units.FormatBytes(s.Traffic.UpBytes)),
		"dropped", Count(int(s.Traffic.DroppedPackets), "packet", "packets"),
		"last seen", StampOf(s.Traffic.LastSeen))
}
