-- Rules in trouble: what the log has yet to be told of them.

CREATE TABLE health (
    bus    INTEGER NOT NULL,
    rule   INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, rule)
) STRICT, WITHOUT ROWID;
