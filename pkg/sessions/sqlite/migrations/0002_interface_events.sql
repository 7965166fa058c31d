-- Events about an interface and no device.
ALTER TABLE events ADD COLUMN interface TEXT NOT NULL DEFAULT ''; -- '': none
ALTER TABLE events ADD COLUMN duration_ms INTEGER NOT NULL DEFAULT 0; -- 0: none
