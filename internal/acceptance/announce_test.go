// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// What announce prints for dnsmasq brings the API to a DHCP client, and nothing is printed that
// phones would not take.
func TestAnnounce(t *testing.T) {
	const host = "example.com" // of the certificate that net/http/httptest has
	const api = "https://" + host + "/captive"
	k := newKiosk(t, lab.KioskConfig{Customers: 1})
	s := openIn(t, k, `captive: {redirect: "`+portalURL+`", api: "`+api+`"}`)
	announce := func(program string) (string, error) {
		return s.agent.Run("announce", program, "--config", s.agent.Config())
	}
	refused := func(program, want string) {
		t.Helper()
		if out, err := announce(program); out != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("announce %s: %q %v, want %q", program, out, err, want)
		}
	}
	refused("dnsmasq", host+" does not answer")

	s.dnsmasq("--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--address=/"+host+"/"+lab.RouterLAN4)
	portal := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/captive+json")
		_, _ = fmt.Fprintf(w, `{"captive": true, "user-portal-url": "https://%s/"}`, host)
	}))
	listener, err := k.Router.Listen(lab.RouterLAN4 + ":443")
	must(t, err)
	_ = portal.Listener.Close()
	portal.Listener = listener
	portal.StartTLS()
	t.Cleanup(portal.Close)
	s.until("the portal's name", func() bool {
		_, err := announce("dnsmasq")
		return strings.Contains(err.Error(), "an authority that phones do not know")
	})

	authority := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: portal.Certificate().Raw}), 0o600))
	t.Setenv("SSL_CERT_FILE", authority)
	files := make(map[string]string)
	for _, program := range []string{"dnsmasq", "odhcpd", "radvd", "kea"} {
		out, err := announce(program)
		must(t, err)
		if !strings.Contains(out, api) {
			t.Errorf("announce %s: %q", program, out)
		}
		files[program] = filepath.Join(t.TempDir(), program+".conf")
		must(t, os.WriteFile(files[program], []byte(out), 0o600))
	}
	if out, err := exec.Command("dnsmasq", "--test", "--conf-file="+files["dnsmasq"]).CombinedOutput(); err != nil {
		t.Errorf("dnsmasq --test: %v: %s", err, out)
	}
	s.dnsmasq(append(s.leases(), "--conf-file="+files["dnsmasq"])...)
	udhcpc(t, k.Customers[0], api)

	out, _ := s.agent.Run("doctor", "--config", s.agent.Config()) // other checks may fail
	for _, want := range []string{"ok    captive API", "ok    captive certificate " + host, "fail  captive redirect", "fail  captive DNS"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
}
