// SPDX-License-Identifier: Apache-2.0

package firefox

import (
	"context"
	"errors"
	"fmt"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// browser is a running Firefox with one window.
type browser struct {
	*marionette
	product string // name and version
}

// preferences leave Firefox as its users have it, but for what it does with its maker's servers.
// Marionette's own would turn the search for portals off.
const preferences = `user_pref("remote.prefs.recommended", false);
user_pref("network.captive-portal-service.enabled", true);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("dom.security.https_first", false);
user_pref("dom.security.https_first_schemeless", false);
`

const address = "127.0.0.1:2828" // Marionette's

// launch starts Firefox in the customer's machine. It ends with the machine.
func launch(ctx context.Context, k *kiosk.Kiosk) (*browser, error) {
	err := errors.Join(
		k.Client.Write(ctx, "/tmp/firefox/user.js", preferences),
		k.Client.Write(ctx, "/etc/firefox/policies/policies.json", `{"policies": {"Certificates": {"Install": ["`+kiosk.AuthorityFile+`"]}}}`))
	if err != nil {
		return nil, err
	}
	daemon, err := k.Client.Start("firefox-esr", "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", "/tmp/firefox")
	if err != nil {
		return nil, err
	}
	b := &browser{}
	err = wait.Until(ctx, "Firefox answers", func() (bool, error) {
		conn, err := k.Customers[0].Dial(ctx, "tcp", address)
		if err != nil {
			return false, daemon.Check()
		}
		k.OnClose(conn.Close)
		b.marionette, err = hello(conn)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, daemon.Log())
	}
	var session struct {
		Capabilities struct {
			Version string `json:"browserVersion"`
		} `json:"capabilities"`
	}
	if err := b.call(ctx, "WebDriver:NewSession", map[string]any{}, &session); err != nil {
		return nil, err
	}
	b.product = "Firefox " + session.Capabilities.Version
	return b, nil
}

// navigate goes to a page, and returns when it is loaded or has failed: its title, or the error's
// name.
func (b *browser) navigate(ctx context.Context, url string) (string, error) {
	var failed *failure
	err := b.call(ctx, "WebDriver:Navigate", map[string]string{"url": url}, nil)
	if errors.As(err, &failed) && failed.page() != "" {
		return failed.page(), nil
	}
	if err != nil {
		return "", err
	}
	var title struct{ Value string }
	err = b.call(ctx, "WebDriver:GetTitle", map[string]any{}, &title)
	return title.Value, err
}

// evaluate returns what a script returns or promises, as text: in the page, or in the browser itself.
func (b *browser) evaluate(ctx context.Context, where, script string) (string, error) {
	if err := b.call(ctx, "Marionette:SetContext", map[string]string{"value": where}, nil); err != nil {
		return "", err
	}
	var got struct{ Value any }
	err := b.call(ctx, "WebDriver:ExecuteScript", map[string]any{"script": script, "args": []any{}}, &got)
	return fmt.Sprint(got.Value), errors.Join(err, b.call(ctx, "Marionette:SetContext", map[string]string{"value": "content"}, nil))
}
