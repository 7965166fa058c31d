// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// names are what the DNS of a test answers.
type names map[string]string

// serve answers questions for IPv4 addresses, and has none for others.
func (n names) serve(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		for buffer := make([]byte, 1500); ; {
			size, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			var query layers.DNS
			if query.DecodeFromBytes(buffer[:size], gopacket.NilDecodeFeedback) != nil || len(query.Questions) != 1 {
				continue
			}
			answer := layers.DNS{ID: query.ID, QR: true, RD: true, RA: true, Questions: query.Questions}
			q := query.Questions[0]
			if addr, known := n[strings.ToLower(string(q.Name))]; !known {
				answer.ResponseCode = layers.DNSResponseCodeNXDomain
			} else if ip := net.ParseIP(addr); q.Type == layers.DNSTypeA && ip != nil {
				answer.Answers = []layers.DNSResourceRecord{{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60, IP: ip.To4()}}
			}
			out := gopacket.NewSerializeBuffer()
			if answer.SerializeTo(out, gopacket.SerializeOptions{FixLengths: true}) == nil {
				_, _ = conn.WriteToUDPAddrPort(out.Bytes(), from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// truthful are the probes of a network that works.
func truthful() names {
	n := names{"portal.test": "127.0.0.1", "elsewhere.test": "127.0.0.2"}
	for i, probe := range probes {
		n[probe] = fmt.Sprintf("192.0.2.%d", i+1)
	}
	return n
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(raw)
	check(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return authority{cert, key, pool}
}

// issue makes a certificate of a name that is valid for so long from now.
func (a authority) issue(t *testing.T, name string, valid time.Duration) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(valid)}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: a.key}
}

// serve starts a web server with TLS where it has a certificate, and returns its port.
func serve(t *testing.T, h http.Handler, certs ...tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	if len(certs) > 0 {
		s.TLS = &tls.Config{Certificates: certs}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	check(t, err)
	return u.Port()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pathOver is the path of a router that opens 127.0.0.1.
func pathOver(t *testing.T, dns names) Path {
	return Path{
		DNS: []netip.AddrPort{dns.serve(t)}, Now: time.Now, Router: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
		Admits: func(_ string, at netip.AddrPort) bool { return at.Addr() == netip.MustParseAddr("127.0.0.1") },
	}
}

// expect fails unless the first finding has the level and text, and advice unless it is fine.
func expect(t *testing.T, found []Finding, level Level, text string) {
	t.Helper()
	if len(found) == 0 || found[0].Level != level || !strings.Contains(found[0].Detail, text) || (found[0].Advice == "") != (level == OK) {
		t.Errorf("found %+v, want %s with %q", found, level, text)
	}
}

func TestDNS(t *testing.T) {
	hijacked, silent, own := truthful(), truthful(), truthful()
	hijacked["captive.apple.com"] = "10.0.0.1"
	own["www.msftconnecttest.com"] = "198.51.100.1"
	delete(silent, "detectportal.firefox.com")
	for name, c := range map[string]struct {
		dns   names
		level Level
		text  string
	}{
		"truthful":     {truthful(), OK, "lead out"},
		"private":      {hijacked, Fail, "captive.apple.com is 10.0.0.1"},
		"the router's": {own, Fail, "www.msftconnecttest.com is 198.51.100.1"},
		"one missing":  {silent, Fail, "no answer for detectportal.firefox.com"},
		"uplink down":  {names{}, Fail, "no answer for captive.apple.com, connectivitycheck.gstatic.com"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pathOver(t, c.dns)
			p.Redirect = "http://portal.test/"
			expect(t, p.checkDNS(t.Context()), c.level, c.text)
		})
	}
	if found := pathOver(t, names{}).Check(t.Context()); found != nil {
		t.Errorf("nothing is set, but found %+v", found)
	}
}

func TestGarden(t *testing.T) {
	dns := names{"pay.test": "192.0.2.7", "private.test": "10.0.0.9"}
	for name, c := range map[string]struct {
		garden []string
		level  Level
		text   string
	}{
		"right":   {[]string{"pay.test"}, OK, "all 1 names"},
		"missing": {[]string{"pay.test", "gone.test"}, Warn, "no answer for gone.test"},
		"private": {[]string{"private.test", "pay.test"}, Warn, "private.test is 10.0.0.9"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pathOver(t, dns)
			p.Garden = c.garden
			expect(t, p.checkGarden(t.Context()), c.level, c.text)
		})
	}
}

func TestRedirect(t *testing.T) {
	mux := http.NewServeMux()
	redirects := map[string]string{"/loop": "/loop", "/a": "/b", "/b": "/a", "/hop": "/page", "/probe": "http://connectivitycheck.gstatic.com/generate_204",
		"/away": "http://elsewhere.test/", "/unknown": "http://unknown.test/", "/endless": "/endless?x"}
	for from, to := range redirects {
		mux.HandleFunc(from, func(w http.ResponseWriter, r *http.Request) {
			if from == "/endless" {
				to = "/endless?" + r.URL.RawQuery + "x"
			}
			http.Redirect(w, r, to, http.StatusFound)
		})
	}
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<p>Welcome") })
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no device", http.StatusInternalServerError)
	})
	port := serve(t, mux)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	dead := closed.Addr().String()
	check(t, closed.Close())
	p := pathOver(t, truthful())
	for address, want := range map[string]struct {
		level Level
		text  string
	}{
		"http://portal.test:" + port + "/page":    {OK, "answers with a page"},
		"http://127.0.0.1:" + port + "/hop":       {OK, "/page answers with a page"},
		"http://portal.test:" + port + "/empty":   {Fail, "without a page"},
		"http://portal.test:" + port + "/nothing": {Fail, "204"},
		"http://portal.test:" + port + "/broken":  {Warn, "500"},
		"http://portal.test:" + port + "/loop":    {Fail, "again and again"},
		"http://portal.test:" + port + "/a":       {Fail, "again and again"},
		"http://portal.test:" + port + "/endless": {Fail, "again and again"},
		"http://portal.test:" + port + "/probe":   {Fail, "a loop"},
		"http://portal.test:" + port + "/away":    {Fail, "127.0.0.2:80 of elsewhere.test is not open before paying"},
		"http://portal.test:" + port + "/unknown": {Fail, "unknown.test does not resolve"},
		"http://nowhere.test/":                    {Fail, "nowhere.test does not resolve"},
		"http://" + dead + "/":                    {Fail, "does not answer"},
		"http://203.0.113.9/":                     {Fail, "203.0.113.9:80 of 203.0.113.9 is not open before paying"},
	} {
		t.Run(address, func(t *testing.T) {
			p.Redirect = address
			expect(t, p.checkRedirect(t.Context()), want.level, want.text)
		})
	}
}

// speaks answers with a status, a media type and a body.
func speaks(status int, kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != mediaType {
			status = http.StatusNotAcceptable
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Location", "/")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

const validState = `{"captive": true, "user-portal-url": "https://portal.test/"}`

func TestAPI(t *testing.T) {
	ca := newAuthority(t)
	p := pathOver(t, truthful())
	p.Roots = ca.pool
	for name, c := range map[string]struct {
		handler http.Handler
		level   Level
		text    string
	}{
		"right":         {speaks(200, mediaType, validState), OK, "https://portal.test/"},
		"with charset":  {speaks(200, mediaType+"; charset=utf-8", validState), OK, "https://portal.test/"},
		"not captive":   {speaks(200, mediaType, `{"captive": false}`), OK, ""},
		"no page":       {speaks(200, mediaType, `{"captive": true}`), Fail, "user-portal-url"},
		"page by http":  {speaks(200, mediaType, `{"captive": true, "user-portal-url": "http://portal.test/"}`), Fail, `"http://portal.test/"`},
		"no key":        {speaks(200, mediaType, `{"user-portal-url": "https://portal.test/"}`), Fail, `"captive"`},
		"wrong type":    {speaks(200, mediaType, `{"captive": "yes"}`), Fail, "no JSON of RFC 8908"},
		"HTML":          {speaks(200, mediaType, `<html>`), Fail, "no JSON of RFC 8908"},
		"media type":    {speaks(200, "application/json", validState), Fail, `"application/json"`},
		"error":         {speaks(500, mediaType, validState), Fail, "500"},
		"redirect":      {speaks(302, mediaType, validState), Fail, "302"},
		"more than fit": {speaks(200, mediaType, validState+strings.Repeat(" ", 4096)), Fail, "4096"},
	} {
		t.Run(name, func(t *testing.T) {
			p.API = "https://portal.test:" + serve(t, c.handler, ca.issue(t, "portal.test", 90*24*time.Hour)) + "/captive"
			found := p.checkAPI(t.Context())
			expect(t, found, c.level, c.text)
			if len(found) != 2 || found[1].Level != OK || !strings.Contains(found[1].Detail, "valid until") {
				t.Errorf("the certificate: %+v", found)
			}
		})
	}
}

func TestCertificate(t *testing.T) {
	ca, month := newAuthority(t), 30*24*time.Hour
	early := func() time.Time { return time.Date(1970, 1, 1, 0, 0, 9, 0, time.UTC) }
	for name, c := range map[string]struct {
		cert  tls.Certificate
		roots *x509.CertPool
		now   func() time.Time
		text  string // "" where it is taken
		soon  bool
	}{
		"valid":             {cert: ca.issue(t, "portal.test", month), roots: ca.pool},
		"expires soon":      {cert: ca.issue(t, "portal.test", 48*time.Hour), roots: ca.pool, soon: true},
		"expired":           {cert: ca.issue(t, "portal.test", -time.Hour), roots: ca.pool, text: "is not valid now"},
		"another name":      {cert: ca.issue(t, "other.test", month), roots: ca.pool, text: "is for another name"},
		"unknown authority": {cert: ca.issue(t, "portal.test", month), roots: newAuthority(t).pool, text: "an authority that phones do not know"},
		"clock not set":     {cert: ca.issue(t, "portal.test", month), roots: ca.pool, now: early, text: "the clock of this router shows 1970-01-01"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pathOver(t, truthful())
			p.Roots = c.roots
			if c.now != nil {
				p.Now = c.now
			}
			port := serve(t, speaks(200, mediaType, validState), c.cert)
			p.API, p.Redirect = "https://portal.test:"+port+"/captive", "https://portal.test:"+port+"/"
			err := p.VerifyCertificate(t.Context())
			api, page := p.checkAPI(t.Context()), p.checkRedirect(t.Context())
			if c.text != "" {
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Errorf("verified: %v, want %q", err, c.text)
				}
				expect(t, api, Fail, c.text)
				expect(t, page, Fail, c.text)
				return
			}
			check(t, err)
			expect(t, api, OK, "")
			if level := api[1].Level; (level == Warn) != c.soon || (level == OK) == c.soon {
				t.Errorf("%+v", api[1])
			}
		})
	}
	p := pathOver(t, truthful())
	p.API = "https://portal.test:1/"
	if err := p.VerifyCertificate(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("nothing listens: %v", err)
	}
	p.API = "https://unknown.test/"
	if err := p.VerifyCertificate(t.Context()); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("no name: %v", err)
	}
}
