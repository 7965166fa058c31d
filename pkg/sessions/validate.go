// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// The largest amounts that make sense; sums of them do not overflow.
const (
	maxTime     = 100 * 365 * 24 * time.Hour
	maxBytes    = 1 << 60 // an exbibyte
	maxDays     = 36500
	maxHostname = 253 // RFC 1035 as text
	maxName     = 100

	maxReference = 128
)

func checkTime(field string, d time.Duration) error {
	if d < 0 || d > maxTime {
		return Invalidf(field, "%s is out of range (0 to %d hours)", d, maxTime/time.Hour)
	}
	return nil
}

func checkBytes(field string, n uint64) error {
	if n > maxBytes {
		return Invalidf(field, "%d bytes is too much (at most %d)", n, uint64(maxBytes))
	}
	return nil
}

func checkSpeed(field string, bps uint64) error {
	if bps != 0 && (bps < dataplane.MinBPS || bps > dataplane.MaxBPS) {
		return Invalidf(field, "%d bit/s is out of range (0 for no limit, else %d to %d)", bps, dataplane.MinBPS, dataplane.MaxBPS)
	}
	return nil
}

// CheckPurchase checks what a session is made of, however it came to be.
func CheckPurchase(s Session) error {
	switch {
	case !s.Type.Valid():
		return Invalidf("type", "%d is not a type (0 time, 1 data, 2 time_or_data)", s.Type)
	case s.Type.Timed() && s.Time == 0:
		return Invalidf("time_secs", "0 is no allowance for this type of session")
	case s.Type.Metered() && s.Bytes == 0:
		return Invalidf("data_bytes", "0 is no allowance for this type of session")
	case s.ExpDays != nil && (*s.ExpDays == 0 || *s.ExpDays > maxDays):
		return Invalidf("exp_days", "%d is out of range (1 to %d, none for never)", *s.ExpDays, maxDays)
	}
	for _, err := range []error{
		checkTime("time_secs", s.Time), checkTime("time_used_secs", s.TimeUsed),
		checkBytes("data_bytes", s.Bytes), checkBytes("data_used_bytes", s.Used),
		checkSpeed("down_bps", s.DownBPS), checkSpeed("up_bps", s.UpBPS),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// maxToken is the longest name of a session at its provider, in bytes.
const maxToken = 1024

// When a session that comes from elsewhere may have been sold: it has to fit into the
// store.
var earliestSale, latestSale = time.Unix(0, 0).UTC(), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// CheckProvided checks what a provider sent as strictly as what a caller sends.
func CheckProvided(p ProvidedSession) error {
	if len(p.Token) > maxToken {
		return Invalidf("token", "%d bytes is too long (at most %d)", len(p.Token), maxToken)
	}
	for field, at := range map[string]time.Time{"created_at": p.Data.Created, "started_at": p.Data.Started} {
		if !at.IsZero() && (at.Before(earliestSale) || at.After(latestSale)) {
			return Invalidf(field, "%s is out of range (%d to %d)", at.Format(time.RFC3339), earliestSale.Year(), latestSale.Year())
		}
	}
	var s Session
	s.SetPurchase(p.Data)
	s.SetUsage(p.Data)
	return CheckPurchase(s)
}

// CheckProvider checks a registration. Codes: Invalid.
func CheckProvider(r ProviderRecord) error {
	switch {
	case r.Name == "" || len(r.Name) > maxName || !printable(r.Name):
		return Invalidf("name", "%q is not a name (1 to %d printable characters)", r.Name, maxName)
	case r.Name == LocalProvider:
		return Invalidf("name", "%q is the agent's own sessions", r.Name)
	case r.Socket == "":
		return Invalidf("socket", "is empty: it is the path on which the provider answers")
	}
	return nil
}

// ParseIP reads a device's address, IPv4 or IPv6, without its zone. An IPv4-mapped IPv6
// address is IPv4. Codes: Invalid.
func ParseIP(text string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ip, Invalidf("ip", "%q is not an IP address", text)
	}
	ip = ip.Unmap().WithZone("")
	return ip, CheckIP(ip)
}

// CheckIP refuses what cannot be a device's address: unspecified, multicast, loopback,
// limited broadcast. Codes: Invalid.
func CheckIP(ip netip.Addr) error {
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Invalidf("ip", "%s cannot be a device's address", ip)
	}
	return nil
}

// CheckHostname bounds a hostname's bytes, which must be printable text; empty is valid.
// Codes: Invalid.
func CheckHostname(name string) error {
	if len(name) > maxHostname || !printable(name) {
		return Invalidf("hostname", "%s is not a name (at most %d bytes of printable text)", strconv.Quote(Shorten(name)), maxHostname)
	}
	return nil
}

// CheckReference bounds a caller's reference; empty is none. Codes: Invalid.
func CheckReference(text string) error {
	if utf8.RuneCountInString(text) > maxReference || !printable(text) || strings.TrimSpace(text) != text {
		return Invalidf("reference", "%s is not a reference (at most %d printable characters, without space at its ends)", strconv.Quote(Shorten(text)), maxReference)
	}
	return nil
}

// TakenReference refuses a reference that another session has: the same purchase was
// stored before, perhaps.
func TakenReference(text string, other SessionID) error {
	e := Errorf(Conflict, "reference: %q is that of session %d", text, other)
	e.Field = "reference"
	return e
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Shorten cuts input that an error message repeats after 40 bytes.
func Shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
