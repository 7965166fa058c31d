// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

type providerTable struct{ *statements }

const selectProviders = "SELECT name, socket FROM providers"

func (t providerTable) Provider(name string) (sessions.ProviderRecord, error) {
	return one(t.statements, noProvider(name), scanProvider, selectProviders+" WHERE name = ?", name)
}

func (t providerTable) Providers() ([]sessions.ProviderRecord, error) {
	return many(t.statements, scanProvider, selectProviders+" ORDER BY place")
}

func (t providerTable) PutProvider(p sessions.ProviderRecord) error {
	_, err := t.exec(`INSERT INTO providers (name, socket) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET socket = excluded.socket`, p.Name, p.Socket)
	return err
}

func (t providerTable) DeleteProvider(name string) error {
	return t.change(noProvider(name), "DELETE FROM providers WHERE name = ?", name)
}

func scanProvider(row *conn.Row) (p sessions.ProviderRecord, err error) {
	err = row.Scan(&p.Name, &p.Socket)
	return p, err
}

func noProvider(name string) func() error {
	return func() error { return sessions.Errorf(sessions.NotFound, "provider %q is not registered", name) }
}
