// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// The limits of the answers to one device.
const (
	CaptiveInterval = time.Duration(HotspotAbiABI_CAPTIVE_NS)
	CaptiveBurst    = int(HotspotAbiABI_CAPTIVE_BURST)
)

// attributes escapes what stands between double quotes in HTML. The html package has 46 KB of
// names for characters with it.
var attributes = strings.NewReplacer("&", "&amp;", `"`, "&#34;", "<", "&lt;", ">", "&gt;")

// CaptiveNews is how long a device has to be without an answer for the next one to be an event.
const CaptiveNews = 10 * time.Minute

// CaptivePage is the HTTP response that leads to url: short, so that most requests are
// longer. Spaces after the body make its length a multiple of 4. RFC 9110 section 15.4.3.
func CaptivePage(url string) []byte {
	body := `<a href="` + attributes.Replace(url) + `">Log in</a>`
	head := func(length int) string {
		return fmt.Sprintf("HTTP/1.1 302 Found\r\nLocation: %s\r\nCache-Control: no-store\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", url, length)
	}
	if len(head(len(body))+body) > maxCaptivePage {
		body = ""
	}
	page := head(len(body)) + body
	for len(page)%4 != 0 {
		body += " "
		page = head(len(body)) + body
	}
	return []byte(page)
}

// maxCaptivePage is how long a page may be, without the bytes that padding may take.
const maxCaptivePage = int(HotspotAbiABI_CAPTIVE_PAGE_BYTES) - 8

// SetCaptiveConstants writes the load-time constants of the programs that answer. Mark and
// secret are derived from the epoch of the maps, so that programs that were loaded at
// different times agree, and no packet of another's has them but by chance.
func SetCaptiveConstants(spec *ebpf.CollectionSpec, c dataplane.Captive, epoch uint64, news time.Duration) error {
	mark := uint32(0)
	if c.Redirect != "" {
		sum := derived(epoch, "captive mark")
		mark = binary.BigEndian.Uint32(sum[:]) | 1
	}
	page := CaptivePage(c.Redirect)
	constants := map[string]any{
		CaptiveVarCaptivePage:        append(page, make([]byte, int(HotspotAbiABI_CAPTIVE_PAGE_BYTES)-len(page))...),
		CaptiveVarCaptivePageBytes:   uint32(len(page)),
		CaptiveVarCaptiveSecret:      CaptiveSecret(epoch),
		CaptiveVarCaptiveMark:        mark,
		CaptiveVarCaptiveHttps:       captiveHTTPS(c.HTTPS),
		CaptiveVarCaptiveUnreachable: c.Unreachable,
		CaptiveVarCaptiveQuietNs:     uint64(c.EndedQuiet),
		CaptiveVarCaptiveNewsNs:      uint64(news),
	}
	return setConstants(spec, constants)
}

func captiveHTTPS(a dataplane.HTTPSAnswer) uint8 {
	switch a {
	case dataplane.HTTPSReset:
		return uint8(HotspotCaptiveHttpsCAPTIVE_HTTPS_RESET)
	case dataplane.HTTPSAlert:
		return uint8(HotspotCaptiveHttpsCAPTIVE_HTTPS_ALERT)
	}
	return uint8(HotspotCaptiveHttpsCAPTIVE_HTTPS_DROP)
}

// CaptiveSecret is the key of the SYN cookies.
func CaptiveSecret(epoch uint64) [2]uint64 {
	secret := derived(epoch, "captive secret")
	return [2]uint64{binary.BigEndian.Uint64(secret[0:]), binary.BigEndian.Uint64(secret[8:])}
}

func derived(epoch uint64, use string) [sha256.Size]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(use), epoch))
}
