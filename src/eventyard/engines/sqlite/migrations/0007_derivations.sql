-- That the event at `position` came of the one at `cause`. What came of events that are there already is not known.

CREATE TABLE derivation (
    bus      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    cause    INTEGER NOT NULL,
    PRIMARY KEY (bus, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX derivation_cause ON derivation (bus, cause, position);
