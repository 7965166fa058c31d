-- What was bought, by whom, what is left of it, and what happened.
-- Times are nanoseconds of the Unix epoch (UTC), NULL for "never"; durations are
-- nanoseconds; bytes are bytes; speeds are bit/s, 0 for no limit.

PRAGMA application_id = 0x48534147; -- "HSAG": so that another program's file is noticed

CREATE TABLE devices (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused
    mac        TEXT    NOT NULL UNIQUE CHECK (length(mac) = 17), -- canonical: lower case, colons
    ips        TEXT    NOT NULL, -- JSON array, most recent first
    hostname   TEXT    NOT NULL,
    created_at INTEGER
) STRICT;

CREATE TABLE sessions (
    id               INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: it names a kernel counter
    device_id        INTEGER NOT NULL REFERENCES devices (id),
    state            TEXT    NOT NULL CHECK (state IN ('available', 'running', 'paused', 'consumed', 'expired')),
    provider         TEXT    NOT NULL,
    type             INTEGER NOT NULL CHECK (type IN (0, 1, 2)), -- time, data, time or data
    time_ns          INTEGER NOT NULL CHECK (time_ns >= 0), -- bought
    time_used_ns     INTEGER NOT NULL CHECK (time_used_ns >= 0),
    data_bytes       INTEGER NOT NULL CHECK (data_bytes >= 0), -- bought
    data_used_bytes  INTEGER NOT NULL CHECK (data_used_bytes >= 0),
    down_bps         INTEGER NOT NULL CHECK (down_bps >= 0),
    up_bps           INTEGER NOT NULL CHECK (up_bps >= 0),
    use_global_speed INTEGER NOT NULL CHECK (use_global_speed IN (0, 1)),
    exp_days         INTEGER CHECK (exp_days >= 0), -- NULL: never expires
    started_at       INTEGER,
    created_at       INTEGER,
    token            TEXT    NOT NULL, -- names it at its provider
    unsaved          INTEGER NOT NULL CHECK (unsaved IN (0, 1)), -- the provider is to be told
    -- The baseline: up to where the kernel's counts are in time_used_ns and
    -- data_used_bytes. In this row, so that it commits with the debit.
    meter_epoch      INTEGER NOT NULL, -- 64 bits, read as unsigned
    meter_spent      INTEGER NOT NULL, -- 64 bits, read as unsigned
    meter_drops      INTEGER NOT NULL, -- 64 bits, read as unsigned
    meter_boot       TEXT    NOT NULL,
    meter_at_ns      INTEGER NOT NULL, -- CLOCK_BOOTTIME
    meter_low        INTEGER NOT NULL CHECK (meter_low IN (0, 1))
) STRICT;

-- The two questions asked of it: the sessions of a device, and those that run.
CREATE INDEX sessions_by_device ON sessions (device_id, state);
CREATE INDEX sessions_by_state ON sessions (state);

-- Without references: an event outlives the session it tells of. The primary key
-- is one more than the largest, and trimming keeps the largest, so that a number
-- is neither skipped nor used twice.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    time       INTEGER,
    type       TEXT    NOT NULL,
    device_id  INTEGER NOT NULL, -- 0: none
    mac        TEXT    NOT NULL,
    session_id INTEGER NOT NULL, -- 0: none
    reason     TEXT    NOT NULL,
    message    TEXT    NOT NULL
) STRICT;

CREATE TABLE providers (
    place  INTEGER PRIMARY KEY, -- order of registration
    name   TEXT NOT NULL UNIQUE,
    socket TEXT NOT NULL
) STRICT;
