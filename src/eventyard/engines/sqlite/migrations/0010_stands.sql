-- How far each bus's journal is applied, on a cluster. A repair leaves it out: what was lost is in the journal.

CREATE TABLE stand (
    bus      INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    term     INTEGER NOT NULL,
    leader   TEXT NOT NULL
) STRICT;
