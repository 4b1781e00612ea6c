-- What publishes by itself, as detectors do, and what it keeps of its keys.

CREATE TABLE emitter (
    bus    INTEGER NOT NULL,
    uid    INTEGER NOT NULL,
    record BLOB NOT NULL,
    counts BLOB NOT NULL DEFAULT X'7B7D',
    PRIMARY KEY (bus, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept (
    bus    INTEGER NOT NULL,
    owner  INTEGER NOT NULL,
    key    TEXT NOT NULL,
    due_ms INTEGER,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_due ON kept (bus, due_ms) WHERE due_ms IS NOT NULL;
