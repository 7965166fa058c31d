-- Who may take a purchase to another device, what a connected device is bound to, what
-- a conflict is about, and events about an interface and no device.

-- The SHA-256 of the code that was printed with the purchase. It ends with it.
CREATE TABLE claims (
    hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    session_id INTEGER NOT NULL UNIQUE REFERENCES sessions (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

ALTER TABLE devices ADD COLUMN bound TEXT NOT NULL DEFAULT ''; -- an IPv4 address, '' for any

ALTER TABLE events ADD COLUMN differs      TEXT    NOT NULL DEFAULT ''; -- address, hostname, port
ALTER TABLE events ADD COLUMN value_before TEXT    NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN value_after  TEXT    NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN interface    TEXT    NOT NULL DEFAULT ''; -- '': none
ALTER TABLE events ADD COLUMN duration_ms  INTEGER NOT NULL DEFAULT 0;  -- 0: none
