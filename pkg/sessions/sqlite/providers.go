// SPDX-License-Identifier: Apache-2.0

package sqlite

import "github.com/hotspot-agent/hotspot-agent/pkg/sessions"

const selectProviders = "SELECT name, socket FROM providers"

func (t *tx) Provider(name string) (sessions.ProviderRecord, error) {
	return one(t, noProvider(name), scanProvider, selectProviders+" WHERE name = ?", name)
}

func (t *tx) Providers() ([]sessions.ProviderRecord, error) {
	return many(t, scanProvider, selectProviders+" ORDER BY place")
}

func (t *tx) PutProvider(p sessions.ProviderRecord) error {
	_, err := t.exec(`INSERT INTO providers (name, socket) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET socket = excluded.socket`, p.Name, p.Socket)
	return err
}

func (t *tx) DeleteProvider(name string) error {
	return t.change(noProvider(name), "DELETE FROM providers WHERE name = ?", name)
}

func scanProvider(row scanner) (p sessions.ProviderRecord, err error) {
	return p, row.Scan(&p.Name, &p.Socket)
}

func noProvider(name string) func() error {
	return func() error { return sessions.Errorf(sessions.NotFound, "provider %q is not registered", name) }
}
