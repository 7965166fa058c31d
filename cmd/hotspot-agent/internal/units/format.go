// SPDX-License-Identifier: Apache-2.0

package units

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FormatBytes writes bytes in decimal units with three figures or so: 1.25 GB.
func FormatBytes(n uint64) string {
	return scaled(n, "B", []string{"kB", "MB", "GB", "TB", "PB", "EB"})
}

// FormatSpeed writes bit/s in decimal units: 5 Mbit/s.
func FormatSpeed(bps uint64) string {
	return scaled(bps, "bit/s", []string{"kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s"})
}

// FormatLimit is FormatSpeed for a limit, of which 0 is none.
func FormatLimit(bps uint64) string {
	if bps == 0 {
		return "no limit"
	}
	return FormatSpeed(bps)
}

// scaled rounds down, so that what is left is never shown as more than it is.
func scaled(n uint64, unit string, larger []string) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10) + " " + unit
	}
	scale, i := uint64(1000), 0
	for n/scale >= 1000 && i < len(larger)-1 {
		scale *= 1000
		i++
	}
	whole, hundredths := n/scale, n%scale/(scale/100)
	text := strconv.FormatUint(whole, 10)
	switch {
	case whole < 10 && hundredths > 0:
		text += strings.TrimRight(fmt.Sprintf(".%02d", hundredths), "0")
	case whole < 100 && hundredths >= 10:
		text += fmt.Sprintf(".%d", hundredths/10)
	}
	return text + " " + larger[i]
}

// FormatTime writes a duration in its two or three largest units: 2d 3h, 1h 05m 09s.
func FormatTime(d time.Duration) string {
	secs := int64(d / time.Second)
	days, hours, minutes := secs/86400, secs/3600%24, secs/60%60
	switch {
	case secs < 60:
		return fmt.Sprintf("%ds", secs)
	case secs < 3600:
		return fmt.Sprintf("%dm %02ds", minutes, secs%60)
	case days == 0:
		return fmt.Sprintf("%dh %02dm %02ds", hours, minutes, secs%60)
	}
	return fmt.Sprintf("%dd %dh %02dm", days, hours, minutes)
}
