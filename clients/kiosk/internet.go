// SPDX-License-Identifier: Apache-2.0

package kiosk

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	// Domain is what all names of the internet are in, but those of probes.
	Domain = "internet.example"
	// Site has a page at http and https, as all names of Domain.
	Site = "www." + Domain
	// Title is the title of Site's pages.
	Title = "Internet"
	// Download is a file without an end, of the origin of Page.
	Download = "http://" + Site + "/download"
	// Page is Site without TLS.
	Page = "http://" + Site + "/"
	// SecurePage is Site with TLS.
	SecurePage = "https://" + Site + "/"
	// NetworkManagerProbe is what NetworkManager is set to look for.
	NetworkManagerProbe = "http://check." + Domain + "/nm"
	// NetworkManagerAnswer is what it has to find.
	NetworkManagerAnswer = "NetworkManager is online"
)

// addInternet has the server answer for each name, at its own address and at Resolver.
func (k *Kiosk) addInternet(ctx context.Context) error {
	machine, err := k.boot(k.Server)
	if err != nil {
		return err
	}
	if _, err := machine.Run(ctx, "ip", "address", "add", Resolver+"/32", "dev", "lo"); err != nil {
		return err
	}
	dns, err := machine.Start("dnsmasq", "--keep-in-foreground", "--user=root", "--pid-file=", "--log-facility=-", "--no-hosts", "--no-resolv",
		"--address=/#/"+lab.Server4, "--address=/#/"+lab.Server6)
	if err == nil {
		err = listening(ctx, k.Server, dns, lab.Server4+":53")
	}
	if err != nil {
		return err
	}
	certificate, err := k.certify()
	if err != nil {
		return err
	}
	if err := k.serve(k.Server, "[::]:80", http.HandlerFunc(answer)); err != nil {
		return err
	}
	return k.serveTLS(k.Server, "[::]:443", certificate)
}

// answer is the internet's page for any name.
func answer(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	switch {
	case strings.HasSuffix(r.URL.Path, "/generate_204"): // Chromium's probe
		w.WriteHeader(http.StatusNoContent)
	case host == "detectportal.firefox.com" && r.URL.Path == "/success.txt":
		_, _ = io.WriteString(w, "success\n")
	case host == "detectportal.firefox.com":
		_, _ = io.WriteString(w, firefoxCanonical)
	case "http://"+host+r.URL.Path == NetworkManagerProbe:
		_, _ = io.WriteString(w, NetworkManagerAnswer)
	case "http://"+host+r.URL.Path == Download:
		download(w)
	default:
		page(w, Title)
	}
}

const firefoxCanonical = `<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>`

func page(w http.ResponseWriter, title string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, "<!doctype html><title>%s</title><link rel=icon href=data:,><h1>%s</h1>\n", title, title)
}

func download(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	for chunk := make([]byte, 64<<10); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// serve serves until the kiosk is closed, and ends what lives then.
func (k *Kiosk) serve(h *lab.Host, address string, handler http.Handler) error {
	listener, err := h.Listen(address)
	if err != nil {
		return err
	}
	k.serveOn(listener, handler)
	return nil
}

func (k *Kiosk) serveTLS(h *lab.Host, address string, certificate tls.Certificate) error {
	listener, err := h.Listen(address)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	k.serveOn(tls.NewListener(listener, config), http.HandlerFunc(answer))
	return nil
}

func (k *Kiosk) serveOn(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	k.OnClose(func() error {
		err := server.Close()
		<-done
		return err
	})
}

// certify makes the server's certificate, and the authority that clients are to trust.
func (k *Kiosk) certify() (tls.Certificate, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	const lifetime = 24 * time.Hour
	since, until := time.Now().Add(-lifetime), time.Now().Add(lifetime)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of the tests"}, NotBefore: since, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: Domain}, DNSNames: []string{"*." + Domain}, NotBefore: since, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	k.Authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	k.keyHash = sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// KeyHash is the hash of the public key of the server's certificate in base64, by which Chromium
// can be set to trust it.
func (k *Kiosk) KeyHash() string { return base64.StdEncoding.EncodeToString(k.keyHash[:]) }
