-- Schedules: what they say, and up to which instant all is done.

CREATE TABLE schedule (
    bus    INTEGER NOT NULL,
    uid    INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, uid)
) STRICT, WITHOUT ROWID;
