-- What a file of Eventyard holds, as all migrations together leave it. This file is to be read; new files are made by the
-- migrations, and a test holds the two equal.

-- One row per bus. `record` is JSON (BusRecord); a bus that wrote before it was recorded has none yet. From `floor` to `head` the log
-- is whole; below stand only events that are owed. `log_bytes`: bytes of JSON ever accepted. `commits` counts the commits of the bus
-- (see marks.py); every event up to `verified` was read and found whole once (see verifying.py).
CREATE TABLE bus (
    number  INTEGER PRIMARY KEY,
    record  BLOB,
    head    INTEGER NOT NULL DEFAULT 0,
    time_ms INTEGER NOT NULL DEFAULT 0,
    work_ms INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 1,
    log_bytes INTEGER NOT NULL DEFAULT 0,
    commits INTEGER NOT NULL DEFAULT 0,
    verified INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Positions, `first` to `last`, that a repair has given up: their absence is known and no damage.
CREATE TABLE gap (
    bus         INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    recorded_ms INTEGER NOT NULL,
    PRIMARY KEY (bus, first)
) STRICT, WITHOUT ROWID;

-- The log. `place` is bus << 44 | position, so it is the rowid: each bus appends at its own end of one tree, a range of
-- positions is a range of rows, and there is no second index. It bounds a bus at 2^44 positions and a file at 2^19 buses.
-- Source and id stand in `json` only: decoding them costs 0.4 us, keeping them twice costs every page of the log.
-- `offset` counts the bytes of JSON accepted on the bus before it. `checksum` covers all the rest of the row.
CREATE TABLE event (
    place       INTEGER PRIMARY KEY,
    accepted_ms INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    checksum    INTEGER NOT NULL,
    json        BLOB NOT NULL
) STRICT;

-- That the event at `position` came of the one at `cause`: of those alone that came of another. It lives as long as the event at `position`.
CREATE TABLE derivation (
    bus      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    cause    INTEGER NOT NULL,
    PRIMARY KEY (bus, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX derivation_cause ON derivation (bus, cause, position);

-- One row per event, rule and run, from put to end; it then stays in place, compact, as long as its event. Positions first, so that
-- puts append. `lane` is the hash of its key where the rule keeps order, 0 elsewhere.
CREATE TABLE delivery (
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

-- The queues in the order in which they are leased: only what may be leased stands here. `state` stands last so that what asks for
-- it needs no look at the table.
CREATE INDEX delivery_queue ON delivery (bus, rule, run, at_ms, position, state) WHERE state < 2;

-- What is pending and in no queue: leased, or behind another of its lane.
CREATE INDEX delivery_held ON delivery (bus, rule, run, position, state) WHERE state IN (2, 3);

CREATE INDEX delivery_dead ON delivery (bus, rule, position, run) WHERE state = 5;

-- How many deliveries of a rule's run are in each state, kept with every commit so that nobody ever counts rows.
CREATE TABLE tally (
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

-- `record` is JSON (RuleRecord). A deleted rule leaves with its last delivery; its edits stay in the log.
CREATE TABLE rule (
    bus    INTEGER NOT NULL,
    uid    INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, uid)
) STRICT, WITHOUT ROWID;

-- What rules said, edit by edit (RuleVersion, its pattern apart): one row for every edit of a rule, kept while events are that it governed.
-- `until` is the position of the edit that followed (of a deletion: its own), 0 while none has. `pattern` stands last, so that what asks
-- for records alone reads none of it.
CREATE TABLE rule_version (
    bus      INTEGER NOT NULL,
    uid      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    record   BLOB NOT NULL,
    pattern  BLOB NOT NULL,
    PRIMARY KEY (bus, uid, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX rule_version_name ON rule_version (bus, name, uid);

CREATE INDEX rule_version_over ON rule_version (bus, until) WHERE until > 0;

-- `record` is JSON (Backfill, Intent). Done ones are deleted, but for replays, which are kept to be asked about.
CREATE TABLE backfill (
    bus    INTEGER NOT NULL,
    rule   INTEGER NOT NULL,
    run    INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, rule, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE intent (
    bus    INTEGER NOT NULL,
    number INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, number)
) STRICT, WITHOUT ROWID;

-- The ids of the dedup window, see ids.py. `place` is bus << 44 | number of the segment.
CREATE TABLE id_segment (
    place            INTEGER PRIMARY KEY,
    first_position   INTEGER NOT NULL,
    last_position    INTEGER NOT NULL,
    last_accepted_ms INTEGER NOT NULL
) STRICT;

-- A segment's ids, cut by the first bits of their hashes so that one look-up reads one small row. `place` is
-- bus << 44 | number of the segment << 8 | bucket. `ids`: sorted 64-bit hashes, then as many 32-bit offsets from
-- `first_position`, both little-endian.
CREATE TABLE id_bucket (
    place INTEGER PRIMARY KEY,
    ids   BLOB NOT NULL
) STRICT;

-- The filter of a slice of segments, once it is closed. `place` is bus << 44 | number of the slice.
CREATE TABLE id_slice (
    place    INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    filter   BLOB NOT NULL
) STRICT;

-- `record` is JSON (Tombstone): a deleted rule of this name.
CREATE TABLE tombstone (
    bus    INTEGER NOT NULL,
    name   TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, name)
) STRICT, WITHOUT ROWID;

-- The identity of an event that retention removed while the dedup window still knows it. `hash` is that of the window, `check_bytes` a
-- second one, so that two ids that share the first are told apart.
CREATE TABLE stub (
    place       INTEGER PRIMARY KEY,
    accepted_ms INTEGER NOT NULL,
    hash        INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    check_bytes BLOB NOT NULL
) STRICT;

-- Access keys: `record` is JSON (AccessKey), which holds the digest of a key and never the key.
CREATE TABLE access_key (
    id     TEXT NOT NULL PRIMARY KEY,
    record BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- `record` is JSON (Health): a rule that fails, or of which something is yet to be told. There is none of rules that are well.
CREATE TABLE health (
    bus    INTEGER NOT NULL,
    rule   INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, rule)
) STRICT, WITHOUT ROWID;

-- What publishes by itself: `record` is JSON (EmitterRecord), `counts` what was counted of it, by name.
CREATE TABLE emitter (
    bus    INTEGER NOT NULL,
    uid    INTEGER NOT NULL,
    record BLOB NOT NULL,
    counts BLOB NOT NULL DEFAULT X'7B7D',
    PRIMARY KEY (bus, uid)
) STRICT, WITHOUT ROWID;

-- What an emitter keeps of each of its keys, as its kind spells it. `due_ms`: the work time at which somebody has to look at it.
CREATE TABLE kept (
    bus    INTEGER NOT NULL,
    owner  INTEGER NOT NULL,
    key    TEXT NOT NULL,
    due_ms INTEGER,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, owner, key)
) STRICT, WITHOUT ROWID;

-- A table without rowid ends each entry of an index with its key: so this one is by time, owner and key.
CREATE INDEX kept_due ON kept (bus, due_ms) WHERE due_ms IS NOT NULL;

-- `record` is JSON (ScheduleRecord): the document, and up to which instant all is done.
CREATE TABLE schedule (
    bus    INTEGER NOT NULL,
    uid    INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (bus, uid)
) STRICT, WITHOUT ROWID;

-- How far each bus's journal is applied, on a cluster.
CREATE TABLE stand (
    bus      INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    term     INTEGER NOT NULL,
    leader   TEXT NOT NULL
) STRICT;
