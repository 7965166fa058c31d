// SPDX-License-Identifier: Apache-2.0

// Package sqlite keeps what was bought in one SQLite file. It implements
// [sessions.Store] and holds no rules.
//
// # Durability
//
// The database is in WAL mode. Update returns when its transaction is on the disk, so
// a purchase survives a power cut that follows it; Commit returns before. SQLite
// itself runs with synchronous=NORMAL: the WAL is synced outside the writer's turn, once
// for all callers that wait. A transaction that a power cut tears is gone as a whole, and
// none survives without those before it.
//
// # Connections
//
// One connection writes; its transactions begin IMMEDIATE, so a transaction that has read
// never fails to write because another came between. View reads through it while it is
// free: its page cache is always current, where each commit makes those of other
// connections stale. While it is busy, and for Snapshot, there are reading connections,
// which never wait for the writer and are closed when idle.
//
// A WAL begins anew after about 4 MB, once no reader needs it. One that a foreign reader held
// back grows; TrimWAL cuts it afterwards, and HeldWAL names the reader meanwhile.
//
// # Without shared memory
//
// The connections share the index of the WAL in mapped memory, which JFFS2, 9p and some of
// FUSE do not have. There the database has a rollback journal. Each
// writing transaction is on the disk then, also those of Commit: some three waits for it, in
// the writer's turn. Readers and the writer wait for each other.
//
// # Flash wear
//
// A transaction appends each page it changed (4 KB) to the WAL once, whatever the
// number of rows on the page, and SQLite's checkpoint copies the pages to the file
// after about 4 MB of WAL. The agent's checkpoints write no row of a session that stays
// connected, but a file beside the database: one block of 4 KB for some 500 sessions,
// synced without a journal entry of the file system. Every 15 s that is 1 MB an hour.
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
