-- What tells of damage: how far each bus was committed and verified, and which positions a repair has given up.

ALTER TABLE bus ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bus ADD COLUMN verified INTEGER NOT NULL DEFAULT 0;

CREATE TABLE gap (
    bus         INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    recorded_ms INTEGER NOT NULL,
    PRIMARY KEY (bus, first)
) STRICT, WITHOUT ROWID;
