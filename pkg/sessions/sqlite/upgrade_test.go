// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
)

var writeFixture = flag.Bool("write-fixture", false, "keep a database of the latest schema in testdata, if there is none")

// A fixture is a database that an agent of its schema wrote, with a row of every kind.
func fixture(version int) string { return fmt.Sprintf("testdata/schema-%04d.db.gz", version) }

// Every schema that was ever in use becomes the latest: no row is lost, no value
// changes, and what is there then is what a new database has.
func TestEverySchemaBecomesTheLatest(t *testing.T) {
	latest := len(schema.Embedded())
	if _, err := os.Stat(fixture(latest)); *writeFixture && err != nil {
		keepFixture(t, fixture(latest))
	}
	fresh := schemaOf(t, openTest(t).path)
	for version := 1; version <= latest; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			path := unpack(t, fixture(version))
			before := rowsOf(t, path)
			moved := movedTo(before)
			s, err := Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, rowsWith(t, path, before)); diff != "" {
				t.Errorf("what was there changed (-before +after):\n%s", diff)
			}
			for query, want := range moved {
				if diff := cmp.Diff(want, texts(t, openReadOnly(t, path), query)); diff != "" {
					t.Errorf("%s (-before +after):\n%s", query, diff)
				}
			}
			if diff := cmp.Diff(fresh, schemaOf(t, path)); diff != "" {
				t.Errorf("the schema is not that of a new database (-new +this):\n%s", diff)
			}
			if v, err := Check(t.Context(), path); v != latest || err != nil {
				t.Errorf("checked: version %d, %v", v, err)
			}
		})
	}
}

// movedTo takes the columns out that a later schema has elsewhere, and returns what a
// query must find of them there.
func movedTo(before map[string]table) map[string][]string {
	moved := make(map[string][]string)
	if ips, ok := before["devices"]["ips"]; ok {
		delete(before["devices"], "ips")
		moved["SELECT device_id || ' ' || ip FROM addresses ORDER BY device_id, recency DESC"] = addressesOf(before["devices"]["id"], ips)
	}
	for column, key := range map[string]string{
		"interface": "interface", "duration_ms": "duration_ms", "differs": "differs", "value_before": "before", "value_after": "after",
	} {
		if values, ok := before["events"][column]; ok {
			delete(before["events"], column)
			moved["SELECT quote(nullif(details, '') ->> '"+key+"') FROM events ORDER BY seq"] = values
		}
	}
	return moved
}

// addressesOf gives an address that several devices had to the first of them: each has
// the same ones in the fixtures.
func addressesOf(ids, ips []string) (all []string) {
	seen := make(map[string]bool)
	for i, list := range ips {
		for _, ip := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(`'[]",`, r) }) {
			if !seen[ip] {
				seen[ip] = true
				all = append(all, ids[i]+" "+ip)
			}
		}
	}
	return all
}

// unpack gives a test a fixture of its own.
func unpack(t *testing.T, name string) string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatalf("%v: a new schema needs a fixture: go test ./pkg/sessions/sqlite -run TestEverySchema -write-fixture", err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hotspot.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// table is the values of a table, by column, in the order of its rows.
type table map[string][]string

// rowsOf reads all tables, but the records of migrations and generations, which grow.
func rowsOf(t *testing.T, path string) map[string]table {
	t.Helper()
	db := openReadOnly(t, path)
	all := make(map[string]table)
	for _, name := range texts(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ('schema_migrations', 'generations') ORDER BY name") {
		columns := texts(t, db, fmt.Sprintf("SELECT name FROM pragma_table_info('%s')", name))
		all[name] = columnsOf(t, db, name, columns)
	}
	return all
}

// rowsWith reads the columns that another reading had.
func rowsWith(t *testing.T, path string, before map[string]table) map[string]table {
	t.Helper()
	db := openReadOnly(t, path)
	all := make(map[string]table)
	for name, had := range before {
		var columns []string
		for column := range had {
			columns = append(columns, column)
		}
		all[name] = columnsOf(t, db, name, columns)
	}
	return all
}

func columnsOf(t *testing.T, db *sql.DB, name string, columns []string) table {
	t.Helper()
	keys := texts(t, db, fmt.Sprintf("SELECT name FROM pragma_table_info('%s') WHERE pk ORDER BY pk", name))
	order := "rowid"
	if len(keys) > 0 {
		order = strings.Join(keys, ", ")
	}
	values := make(table)
	for _, column := range columns {
		values[column] = texts(t, db, fmt.Sprintf("SELECT quote(%s) FROM %s ORDER BY %s", column, name, order))
	}
	return values
}

// schemaOf is what tables and indices are made of.
func schemaOf(t *testing.T, path string) []string {
	t.Helper()
	return texts(t, openReadOnly(t, path),
		"SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
}

// Schema 6 is schema 5 in fewer words: it differs in spaces and comments only.
func TestShorterSchemaIsTheSame(t *testing.T) {
	words := func(version int) []string {
		list := schemaOf(t, unpack(t, fixture(version)))
		for i, statement := range list {
			statement = regexp.MustCompile(`--[^\n]*`).ReplaceAllString(statement, "")
			list[i] = regexp.MustCompile(`[\s"]`).ReplaceAllString(statement, "")
		}
		return list
	}
	if diff := cmp.Diff(words(5), words(6)); diff != "" {
		t.Errorf("(-5 +6):\n%s", diff)
	}
}

func openReadOnly(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", journal.ReadDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// keepFixture writes what an agent writes, through the store.
func keepFixture(t *testing.T, name string) {
	t.Helper()
	s := openTest(t)
	if err := s.Update(t.Context(), furnish); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zipped.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// furnish puts a session of every type and state, of the agent and of a provider.
func furnish(tx sessions.Tx) error {
	day := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	days := uint(30)
	if err := tx.PutProvider(sessions.ProviderRecord{Name: "café", Socket: "/run/café/s"}); err != nil {
		return err
	}
	for i, state := range []sessions.State{sessions.Available, sessions.Running, sessions.Paused, sessions.Consumed, sessions.Expired} {
		d := sessions.Device{
			MAC: dataplane.MAC{2, 0, 0, 0, 0, byte(i + 1)}, Hostname: "phone " + string(state), Created: day,
			Bound: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
			IPs:   []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(7 + i)}), netip.MustParseAddr(fmt.Sprintf("fd00::%d", 7+i))},
		}
		if err := tx.PutDevice(&d); err != nil {
			return err
		}
		s := sessions.Session{
			Device: d.ID, Provider: sessions.LocalProvider, Type: sessions.Type(i % 3), State: state,
			Time: time.Hour, TimeUsed: time.Duration(i) * time.Minute, Bytes: 1 << 40, Used: uint64(i) << 30,
			DownBPS: 5_000_000, UpBPS: 512_000, UseGlobalSpeed: i == 1, Created: day,
			Reference: fmt.Sprintf("order %d", i),
		}
		if state != sessions.Available {
			s.Started, s.ExpDays = day.Add(time.Minute), &days
			s.Meter = sessions.Baseline{Epoch: 1<<63 + 5, Spent: s.Used, Drops: 3, Boot: "a boot", At: 12345, Low: i == 2}
		}
		if i == 2 {
			s.Provider, s.Token, s.Unsaved = "café", "t7", true
		}
		if err := tx.PutSession(&s); err != nil {
			return err
		}
		if err := tx.PutClaim(sessions.ClaimHash{byte(i)}, s.ID); err != nil {
			return err
		}
		if err := tx.PutAnswer(sessions.Answer{Key: [32]byte{byte(i)}, Request: [32]byte{1}, Sealed: []byte("sealed"), Created: day}); err != nil {
			return err
		}
		e := sessions.Event{
			Time: day, Type: sessions.SessionCreated, Device: d.ID, MAC: d.MAC.String(), Session: s.ID, Reason: "why", Message: "hello",
			Differs: "port", Before: "lan1", After: "lan2", Interface: "br-lan", DurationMS: 12,
		}
		if err := tx.AppendEvent(&e); err != nil {
			return err
		}
	}
	return nil
}

// later are the migrations of a later agent.
func later(more ...string) []schema.Migration {
	all := schema.Embedded()
	for _, sql := range more {
		version := len(all) + 1
		all = append(all, schema.Migration{Version: version, Name: fmt.Sprintf("%04d_later.sql", version), SQL: sql})
	}
	return all
}

// A migration that fails half-way leaves all as it was, those before it included: the
// former agent can use it.
func TestMigrationFailsHalfWay(t *testing.T) {
	path := unpack(t, fixture(1))
	create(t, path) // to the latest
	rows, schema := rowsOf(t, path), schemaOf(t, path)
	err := migrateAt(t, path, later(
		"CREATE TABLE notes (text TEXT); UPDATE devices SET hostname = 'changed'",
		"CREATE TABLE half (x TEXT); DELETE FROM sessions; CREATE TABLE notes (again TEXT)"))
	if err == nil || !strings.Contains(err.Error(), "_later.sql") || !strings.Contains(err.Error(), "notes") {
		t.Fatalf("the broken migration: %v", err)
	}
	if diff := cmp.Diff(rows, rowsOf(t, path)); diff != "" {
		t.Errorf("rows (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(schema, schemaOf(t, path)); diff != "" {
		t.Errorf("schema (-before +after):\n%s", diff)
	}
	create(t, path)
	if err := migrateAt(t, path, later("CREATE TABLE notes (text TEXT)", "ALTER TABLE notes ADD COLUMN more TEXT")); err != nil {
		t.Errorf("the mended migrations: %v", err)
	}
}

// The former agent refuses what a later one made, and says how to go back to the copy
// that the later one kept, which has all that there was.
func TestGoingBack(t *testing.T) {
	path := unpack(t, fixture(1))
	create(t, path)
	latest, rows := len(schema.Embedded()), rowsOf(t, path)
	if err := migrateAt(t, path, later("DELETE FROM events")); err != nil {
		t.Fatal(err)
	}
	copied := schema.BackupOf(path, latest)
	if info, err := os.Stat(copied); err != nil || info.Mode() != 0o600 {
		t.Fatalf("the copy: %v, %v", info, err)
	}
	_, err := Open(path, nil)
	for _, words := range []string{"newer agent", fmt.Sprintf("version %d", latest+1), "cp -p " + copied + " " + path} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("the refusal lacks %q: %v", words, err)
		}
	}
	for _, name := range []string{path + "-wal", path + "-shm"} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(copied, path); err != nil {
		t.Fatal(err)
	}
	create(t, path)
	if diff := cmp.Diff(rows, rowsOf(t, path)); diff != "" {
		t.Errorf("rows of the copy (-before +after):\n%s", diff)
	}
}

// Without room for the copy the database stays as it is.
func TestNoRoomForTheCopy(t *testing.T) {
	path := unpack(t, fixture(1))
	create(t, path)
	if err := os.Mkdir(schema.BackupOf(path, len(schema.Embedded()))+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := migrateAt(t, path, later("DELETE FROM events")); err == nil || !strings.Contains(err.Error(), "before its schema changes") {
		t.Errorf("migrated without a copy: %v", err)
	}
	create(t, path)
}

// create opens a database as this agent, and closes it.
func create(t *testing.T, path string) {
	t.Helper()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// migrateAt is what an agent with those migrations does.
func migrateAt(t *testing.T, path string, all []schema.Migration) error {
	t.Helper()
	db, err := sql.Open("sqlite3", journal.WAL.WriteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	return schema.Migrate(t.Context(), db, all, slog.New(slog.DiscardHandler))
}
