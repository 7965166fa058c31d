// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// Damage that shows while the agent runs ends it, with the kernel still enforcing; the
// next start, as of a service manager, continues with what can be read.
func TestDamageInUse(t *testing.T) {
	m := newMachine(t)
	fillShop(m, 5000)
	m.must(m.agent.Start())
	file, err := os.OpenFile(m.agent.Database(), os.O_RDWR, 0)
	m.must(err)
	info, err := file.Stat()
	m.must(err)
	_, err = file.WriteAt(bytes.Repeat([]byte{0xa5}, int(info.Size())-4096), 4096)
	m.must(err)
	m.must(file.Close())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err := m.agent.Run("session", "list")
		if err != nil && strings.Contains(err.Error(), "no agent answers") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the agent continues with a damaged database: %v", err)
		}
	}
	m.must(m.agent.Start())
	_, err = m.agent.Buy(m.Customers[0].MAC.String(), "--type", "time", "--time", "1h")
	m.must(err)
	out, _ := m.agent.Run("doctor", "--config", m.agent.Config())
	for _, want := range []string{"is sound", "was set aside"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
}

// fillShop makes a database of more sessions than the agent keeps in memory.
func fillShop(m *machine, count int) {
	m.Helper()
	store, err := sqlite.Open(m.agent.Database(), nil)
	m.must(err)
	m.must(store.Update(m.Context(), func(tx sessions.Tx) error {
		d := sessions.Device{MAC: phone}
		if err := tx.PutDevice(&d); err != nil {
			return err
		}
		for range count {
			s := sessions.Session{Device: d.ID, Provider: sessions.LocalProvider, State: sessions.Available, Time: time.Hour}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return nil
	}))
	m.must(store.Close())
}
