// SPDX-License-Identifier: Apache-2.0

// Package sqlite keeps what was bought in one SQLite file. It implements
// [sessions.Store] and holds no rules.
//
// # Durability
//
// The database is in WAL mode with synchronous=FULL: a transaction is fsynced
// before Update returns, so a purchase survives a power cut that follows it, and
// a transaction that the cut tears is gone as a whole. Readers never wait for the
// writer. There is one writing connection, whose transactions begin IMMEDIATE, so
// a transaction that has read never fails to write because another came between.
//
// # Flash wear
//
// A transaction appends each page it changed (4 KB) to the WAL once, whatever the
// number of rows on the page, and a checkpoint copies the pages to the file after
// about 4 MB of WAL. Some 30 sessions share a page, and rewriting their figures does
// not touch the indexes: settling 1,000 running sessions writes 132 KB, every 15 s
// that is 0.8 GB a day; 100 of them write a tenth.
//
// # Events
//
// The newest 10,000 events are kept, older ones are trimmed now and then. Their
// numbers are not used again, and a transaction that fails uses up none.
//
// # Migrations
//
// The schema is made by the numbered files of migrations/, each applied in a
// transaction of its own that also raises PRAGMA user_version. A file that was
// released is never edited: its SHA-256 is stored in schema_migrations when it is
// applied and compared at each Open. A database that a newer agent made is
// refused, never guessed at.
package sqlite
