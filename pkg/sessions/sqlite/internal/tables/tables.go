// SPDX-License-Identifier: Apache-2.0

// Package tables is the SQL of the store: a [Tx] over one connection, by aggregate.
package tables

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

var _ sessions.Tx = (*Tx)(nil)

// Tx is one transaction. For one goroutine, and until End; calls that come later fail.
type Tx struct {
	deviceTable
	sessionTable
	claimTable
	eventTable
	generationTable
	providerTable
	answerTable

	*statements
}

// Begin starts a transaction. ctx ends it between two statements. Sessions that it inserts
// get the tag of the generation.
func Begin(ctx context.Context, c *conn.Conn, writes bool, g sessions.Generation) (*Tx, error) {
	s := &statements{ctx: ctx, conn: c, writes: writes}
	begin := "BEGIN"
	if writes {
		begin = "BEGIN IMMEDIATE"
	}
	if _, err := c.Exec(begin); err != nil {
		return nil, err
	}
	return &Tx{
		deviceTable{s}, sessionTable{statements: s, tag: g.Tag()}, claimTable{s}, eventTable{s}, generationTable{s},
		providerTable{s}, answerTable{s}, s,
	}, nil
}

// Commit makes the transaction's writes seen by all.
func (t *Tx) Commit() error {
	if err := t.statements.usable(); err != nil {
		return err
	}
	if _, err := t.statements.conn.Exec("COMMIT"); err != nil {
		return err
	}
	t.statements.over = true
	return nil
}

// End rolls back what was not committed. A connection for which it fails is not to be
// used again.
func (t *Tx) End() error {
	committed := t.statements.over
	t.statements.over = true
	if committed {
		return nil
	}
	_, err := t.statements.conn.Exec("ROLLBACK")
	return err
}

// Exec runs a statement of another subject, such as a PRAGMA.
func (t *Tx) Exec(query string) error {
	_, err := t.statements.exec(query)
	return err
}

// Pragma reads a numeric PRAGMA.
func (t *Tx) Pragma(name string) (int64, error) {
	return one(t.statements, nil, scanInt, "PRAGMA "+name)
}
