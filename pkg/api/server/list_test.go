// SPDX-License-Identifier: Apache-2.0

package server

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// sold is an agent that sold a number of sessions to one device.
func sold(t *testing.T, n int) *testAgent {
	t.Helper()
	a := startAgent(t, Options{})
	a.devices(1)
	err := a.Store.Update(t.Context(), func(tx sessions.Tx) error {
		for range n {
			s := sessions.Session{Device: 1, Provider: sessions.LocalProvider, State: sessions.Available, Time: time.Hour}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A list is as complete as when it was one piece, whatever its length is next to the
// pages in which it is read.
func TestListsOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, listPage - 1, listPage, listPage + 1, 2*listPage + 1} {
		a := sold(t, n)
		list := apitest.Must(a.client.Sessions(t.Context(), api.SessionQuery{}))(t)
		if len(list) != n || list == nil {
			t.Fatalf("%d of %d sessions are listed", len(list), n)
		}
		for i, s := range list {
			if s.ID != int64(i+1) {
				t.Fatalf("session %d is the %dth of the list", s.ID, i+1)
			}
		}
	}
}

// Clients that stop reading in the middle of a long list cost a page each.
func TestStuckReadersOfALongList(t *testing.T) {
	const clients, mostEach = 50, 1 << 20
	a := sold(t, 10_000)
	before := heap()
	for range clients {
		conn, err := net.Dial("unix", a.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer wire.CloseQuietly(conn)
		if _, err := io.WriteString(conn, "GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil { // it is being answered
			t.Fatal(err)
		}
	}
	if grown := int64(heap()) - int64(before); grown > clients*mostEach {
		t.Errorf("%d stuck clients take %d bytes", clients, grown)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
