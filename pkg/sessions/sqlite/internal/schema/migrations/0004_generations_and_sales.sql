-- Comments stand outside of the statements: SQLite stores these, and the schema is to need
-- few pages, for with one of them all is lost.

-- The generations that the database had, in their order, the latest last: 64 random bits,
-- one for each time that an agent opened it, and the number of the first event in it.
CREATE TABLE generations (number INTEGER PRIMARY KEY, generation INTEGER NOT NULL, first_event INTEGER NOT NULL) STRICT;

-- 0: of a generation before there were any. With the id it names the kernel's counter.
ALTER TABLE sessions ADD COLUMN account_tag INTEGER NOT NULL DEFAULT 0;

-- Of the caller; '': none.
ALTER TABLE sessions ADD COLUMN reference TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX sessions_by_reference ON sessions (reference) WHERE reference <> '';

-- What requests with an Idempotency-Key were answered, in their order. SHA-256 of key and
-- request; the answer is sealed with the key itself, for a claim code may be in it.
CREATE TABLE answers (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, request BLOB NOT NULL, sealed BLOB NOT NULL, created_at INTEGER) STRICT;
