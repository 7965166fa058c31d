-- Questions that are asked often get an index, and what a later agent may extend has
-- no list of values here. Comments stand outside of the statements, which SQLite keeps
-- with them: the whole schema is to fit on the first page of the file.

-- An address belongs to one device, the one that had it last. It is canonical text. The
-- largest recency of a device is that of its latest address.
CREATE TABLE addresses (
    ip        TEXT    PRIMARY KEY,
    device_id INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    recency   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX addresses_by_device ON addresses (device_id, recency);

-- Of one address with several devices, that of which it is the latest, then the first.
INSERT OR IGNORE INTO addresses (ip, device_id, recency)
SELECT address.value, devices.id, -address.key
FROM devices, json_each(iif(json_valid(devices.ips), devices.ips, '[]')) AS address
ORDER BY address.key, devices.id;

ALTER TABLE devices DROP COLUMN ips;

-- The same columns without the lists of types and states, and expires_at: when the
-- session expires, NULL when it is over, was never started, or never expires.
CREATE TABLE new_sessions (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id        INTEGER NOT NULL REFERENCES devices (id),
    state            TEXT    NOT NULL,
    expires_at       INTEGER,
    provider         TEXT    NOT NULL,
    type             INTEGER NOT NULL,
    time_ns          INTEGER NOT NULL CHECK (time_ns >= 0),
    time_used_ns     INTEGER NOT NULL CHECK (time_used_ns >= 0),
    data_bytes       INTEGER NOT NULL CHECK (data_bytes >= 0),
    data_used_bytes  INTEGER NOT NULL CHECK (data_used_bytes >= 0),
    down_bps         INTEGER NOT NULL CHECK (down_bps >= 0),
    up_bps           INTEGER NOT NULL CHECK (up_bps >= 0),
    use_global_speed INTEGER NOT NULL CHECK (use_global_speed IN (0, 1)),
    exp_days         INTEGER CHECK (exp_days >= 0),
    started_at       INTEGER,
    created_at       INTEGER,
    token            TEXT    NOT NULL,
    unsaved          INTEGER NOT NULL CHECK (unsaved IN (0, 1)),
    meter_epoch      INTEGER NOT NULL,
    meter_spent      INTEGER NOT NULL,
    meter_drops      INTEGER NOT NULL,
    meter_boot       TEXT    NOT NULL,
    meter_at_ns      INTEGER NOT NULL,
    meter_low        INTEGER NOT NULL CHECK (meter_low IN (0, 1))
) STRICT;

-- 1735689600 is 2025-01-01: a start before it is of a clock that was not set.
INSERT INTO new_sessions
SELECT id, device_id, state,
    iif(state IN ('available', 'running', 'paused') AND exp_days <= 36500
        AND started_at >= 1735689600000000000 AND started_at < 6000000000000000000,
        started_at + exp_days * 86400000000000, NULL),
    provider, type, time_ns, time_used_ns, data_bytes, data_used_bytes, down_bps, up_bps, use_global_speed,
    exp_days, started_at, created_at, token, unsaved,
    meter_epoch, meter_spent, meter_drops, meter_boot, meter_at_ns, meter_low
FROM sessions;

CREATE TABLE new_claims (
    hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    session_id INTEGER NOT NULL UNIQUE REFERENCES new_sessions (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO new_claims SELECT hash, session_id FROM claims;

-- No id is given twice, also when the last sessions were deleted.
DELETE FROM sqlite_sequence WHERE name = 'new_sessions';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_sessions', seq FROM sqlite_sequence WHERE name = 'sessions';

DROP TABLE claims;
DROP TABLE sessions;
ALTER TABLE new_sessions RENAME TO sessions;
ALTER TABLE new_claims RENAME TO claims;

CREATE INDEX sessions_by_device ON sessions (device_id, state);
CREATE INDEX sessions_by_state ON sessions (state);
CREATE INDEX sessions_by_expiry ON sessions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX sessions_unsaved ON sessions (unsaved) WHERE unsaved = 1;

-- What only some events have is one column: a JSON object, '' for an empty one.
ALTER TABLE events ADD COLUMN details TEXT NOT NULL DEFAULT '';

UPDATE events SET details = json_patch('{}', json_object(
    'interface', nullif(interface, ''), 'duration_ms', nullif(duration_ms, 0),
    'differs', nullif(differs, ''), 'before', nullif(value_before, ''), 'after', nullif(value_after, '')))
WHERE interface <> '' OR duration_ms <> 0 OR differs <> '' OR value_before <> '' OR value_after <> '';

ALTER TABLE events DROP COLUMN interface;
ALTER TABLE events DROP COLUMN duration_ms;
ALTER TABLE events DROP COLUMN differs;
ALTER TABLE events DROP COLUMN value_before;
ALTER TABLE events DROP COLUMN value_after;
