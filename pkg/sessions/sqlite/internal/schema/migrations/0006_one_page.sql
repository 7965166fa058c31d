-- The same tables in fewer words: the schema is on the first page of the file again, so that
-- no other page is one without which nothing can be read.

PRAGMA writable_schema = ON;

CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema ORDER BY rowid;

UPDATE kept SET sql = 'CREATE TABLE devices(id INTEGER PRIMARY KEY AUTOINCREMENT,mac TEXT NOT NULL UNIQUE CHECK(length(mac)=17),hostname TEXT NOT NULL,created_at INTEGER,bound TEXT NOT NULL DEFAULT '''',seen_at INTEGER) STRICT'
WHERE type = 'table' AND name = 'devices';

UPDATE kept SET sql = 'CREATE TABLE sessions(id INTEGER PRIMARY KEY AUTOINCREMENT,device_id INTEGER NOT NULL REFERENCES devices(id),state TEXT NOT NULL,expires_at INTEGER,provider TEXT NOT NULL,type INTEGER NOT NULL,time_ns INTEGER NOT NULL CHECK(time_ns>=0),time_used_ns INTEGER NOT NULL CHECK(time_used_ns>=0),data_bytes INTEGER NOT NULL CHECK(data_bytes>=0),data_used_bytes INTEGER NOT NULL CHECK(data_used_bytes>=0),down_bps INTEGER NOT NULL CHECK(down_bps>=0),up_bps INTEGER NOT NULL CHECK(up_bps>=0),use_global_speed INTEGER NOT NULL CHECK(use_global_speed IN(0,1)),exp_days INTEGER CHECK(exp_days>=0),started_at INTEGER,created_at INTEGER,token TEXT NOT NULL,unsaved INTEGER NOT NULL CHECK(unsaved IN(0,1)),meter_epoch INTEGER NOT NULL,meter_spent INTEGER NOT NULL,meter_drops INTEGER NOT NULL,meter_boot TEXT NOT NULL,meter_at_ns INTEGER NOT NULL,meter_low INTEGER NOT NULL CHECK(meter_low IN(0,1)),account_tag INTEGER NOT NULL DEFAULT 0,reference TEXT NOT NULL DEFAULT '''',ended_at INTEGER) STRICT'
WHERE type = 'table' AND name = 'sessions';

UPDATE kept SET sql = 'CREATE TABLE events(seq INTEGER PRIMARY KEY,time INTEGER,type TEXT NOT NULL,device_id INTEGER NOT NULL,mac TEXT NOT NULL,session_id INTEGER NOT NULL,reason TEXT NOT NULL,message TEXT NOT NULL,details TEXT NOT NULL DEFAULT '''') STRICT'
WHERE type = 'table' AND name = 'events';

UPDATE kept SET sql = 'CREATE TABLE providers(place INTEGER PRIMARY KEY,name TEXT NOT NULL UNIQUE,socket TEXT NOT NULL) STRICT'
WHERE type = 'table' AND name = 'providers';

DELETE FROM sqlite_schema;
INSERT INTO sqlite_schema SELECT * FROM kept ORDER BY rowid;
DROP TABLE kept;

PRAGMA writable_schema = RESET;
