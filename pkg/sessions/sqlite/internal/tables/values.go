// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// checker converts values for their columns and keeps the first that does not fit.
type checker struct{ err error }

func (c *checker) refuse(field, format string, args ...any) {
	if c.err == nil {
		c.err = sessions.Invalidf(field, format, args...)
	}
}

// wall is a time as nanoseconds of the Unix epoch, NULL for the zero time.
func (c *checker) wall(field string, t time.Time) any {
	if t.IsZero() {
		return nil
	}
	if !fitsWall(t) {
		c.refuse(field, "%s is outside the years 1678 to 2261", t.Format(time.RFC3339))
	}
	return t.UnixNano()
}

// fitsWall reports whether nanoseconds of the Unix epoch can say t.
func fitsWall(t time.Time) bool { return time.Unix(0, t.UnixNano()).Equal(t) }

// amount is what SQLite's signed integers can hold.
func (c *checker) amount(field string, v uint64) int64 {
	if v > math.MaxInt64 {
		c.refuse(field, "%d is too large (at most %d)", v, int64(math.MaxInt64))
	}
	return int64(v)
}

func (c *checker) duration(field string, d time.Duration) int64 {
	if d < 0 {
		c.refuse(field, "%s is negative", d)
	}
	return int64(d)
}

// days is a number of days, NULL for nil.
func (c *checker) days(field string, n *uint) any {
	if n == nil {
		return nil
	}
	return c.amount(field, uint64(*n))
}

// decodeIPs reads a list with spaces between.
func decodeIPs(text string) (ips []netip.Addr, err error) {
	for word := range strings.FieldsSeq(text) {
		ip, err := decodeIP(word)
		if err != nil {
			return nil, err
		}
		ips = append(ips, ip)
	}
	return ips, nil
}

// encodeIP is an address as text, "" for the zero Addr.
func encodeIP(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func decodeIP(text string) (ip netip.Addr, err error) {
	if text == "" {
		return ip, nil
	}
	if ip, err = netip.ParseAddr(text); err != nil {
		return ip, fmt.Errorf("stored address: %w", err)
	}
	return ip, nil
}

// DecodeMAC reads a stored MAC.
func DecodeMAC(text string) (dataplane.MAC, error) {
	mac, err := dataplane.ParseMAC(text)
	if err != nil {
		return mac, fmt.Errorf("stored MAC: %w", err)
	}
	return mac, nil
}
