-- Runs, lanes, retention. Tables whose rows change their shape are written anew; numbers of states move, to make room for two more.

ALTER TABLE bus ADD COLUMN floor INTEGER NOT NULL DEFAULT 1;
ALTER TABLE bus ADD COLUMN log_bytes INTEGER NOT NULL DEFAULT 0;

CREATE TABLE event_2 (
    place       INTEGER PRIMARY KEY,
    accepted_ms INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    checksum    INTEGER NOT NULL,
    json        BLOB NOT NULL
) STRICT;

INSERT INTO event_2 (place, accepted_ms, offset, digest, checksum, json)
SELECT
    place,
    accepted_ms,
    sum(length(json)) OVER (PARTITION BY place >> 44 ORDER BY place ROWS UNBOUNDED PRECEDING) - length(json),
    digest,
    checksum,
    json
FROM event ORDER BY place;

DROP TABLE event;
ALTER TABLE event_2 RENAME TO event;

UPDATE bus SET log_bytes = coalesce((
    SELECT e.offset + length(e.json) FROM event AS e
    WHERE e.place BETWEEN bus.number << 44 AND (bus.number << 44) + (1 << 44) - 1
    ORDER BY e.place DESC LIMIT 1
), 0);

CREATE TABLE delivery_2 (
    bus      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    rule     INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    state    INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    leases   INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    note     BLOB NOT NULL,
    PRIMARY KEY (bus, position, rule, run)
) STRICT, WITHOUT ROWID;

-- Before: 0 waiting, 1 leased, 2 delivered, 3 dead, 4 discarded. Now 1 is waiting with an attempt behind it, and 3 is blocked.
INSERT INTO delivery_2 (bus, position, rule, run, state, at_ms, attempts, leases, first_ms, lane, note)
SELECT
    bus, position, rule, run,
    CASE state WHEN 0 THEN attempts > 0 WHEN 1 THEN 2 ELSE state + 2 END,
    at_ms, attempts, leases, first_ms, 0, note
FROM delivery ORDER BY bus, position, rule, run;

DROP TABLE delivery;
ALTER TABLE delivery_2 RENAME TO delivery;

CREATE INDEX delivery_queue ON delivery (bus, rule, run, at_ms, position, state) WHERE state < 2;
CREATE INDEX delivery_held ON delivery (bus, rule, run, position, state) WHERE state IN (2, 3);
CREATE INDEX delivery_dead ON delivery (bus, rule, position, run) WHERE state = 5;

CREATE TABLE tally_2 (
    bus       INTEGER NOT NULL,
    rule      INTEGER NOT NULL,
    run       INTEGER NOT NULL,
    waiting   INTEGER NOT NULL,
    retrying  INTEGER NOT NULL,
    leased    INTEGER NOT NULL,
    blocked   INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    discarded INTEGER NOT NULL,
    PRIMARY KEY (bus, rule, run)
) STRICT, WITHOUT ROWID;

INSERT INTO tally_2 (bus, rule, run, waiting, retrying, leased, blocked, delivered, dead, discarded)
SELECT
    t.bus, t.rule, 0,
    t.waiting - (
        SELECT count(*) FROM delivery AS d WHERE d.bus = t.bus AND d.rule = t.rule AND d.state < 2 AND d.state = 1
    ),
    (SELECT count(*) FROM delivery AS d WHERE d.bus = t.bus AND d.rule = t.rule AND d.state < 2 AND d.state = 1),
    t.leased, 0, t.delivered, t.dead, t.discarded
FROM tally AS t;

DROP TABLE tally;
ALTER TABLE tally_2 RENAME TO tally;

CREATE TABLE backfill_2 (
    bus    INTEGER NOT NULL,
    rule   INTEGER NOT NULL,
    run    INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, rule, run)
) STRICT, WITHOUT ROWID;

INSERT INTO backfill_2 (bus, rule, run, record) SELECT bus, rule, 0, record FROM backfill;

DROP TABLE backfill;
ALTER TABLE backfill_2 RENAME TO backfill;

CREATE TABLE tombstone (
    bus    INTEGER NOT NULL,
    name   TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE stub (
    place       INTEGER PRIMARY KEY,
    accepted_ms INTEGER NOT NULL,
    hash        INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    check_bytes BLOB NOT NULL
) STRICT;

-- An intent now carries the reason that it gives, and what of the dead it means.
UPDATE intent SET record = CAST(json_set(CAST(record AS TEXT), '$.reason', 'rule-deleted') AS BLOB)
WHERE CAST(record AS TEXT) ->> '$.kind' = 'discard';
UPDATE intent SET record = CAST(
    json_set(CAST(record AS TEXT), '$.filter', json_object('until_ms', (CAST(record AS TEXT) ->> '$.until_ms') + 1)) AS BLOB
) WHERE CAST(record AS TEXT) ->> '$.kind' = 'redrive';
