-- When a device was seen last, and when a session was over: what is long past is
-- forgotten. What is here already counts from the last event, so that none of it is
-- forgotten sooner than what comes.

ALTER TABLE devices ADD COLUMN seen_at INTEGER; -- NULL: when it was made

UPDATE devices SET seen_at = max(coalesce(created_at, 0), coalesce((SELECT max(time) FROM events), 0))
WHERE created_at IS NOT NULL;

ALTER TABLE sessions ADD COLUMN ended_at INTEGER; -- NULL: it is not over

UPDATE sessions SET ended_at = max(coalesce(created_at, 0), coalesce(started_at, 0), coalesce((SELECT max(time) FROM events), 0))
WHERE state IN ('consumed', 'expired');

CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- The time of a sale names a purchase in an export.
CREATE INDEX sessions_by_sale ON sessions (created_at);
