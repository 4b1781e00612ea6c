-- Every statement that the engine runs, by name. `statements.py` reads this file; a test holds that each name is used.

-- name: set_bus_progress
INSERT INTO bus (number, head, time_ms, work_ms, floor, log_bytes, commits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)
ON CONFLICT DO UPDATE SET
    head = ?2, time_ms = ?3, work_ms = ?4, floor = ?5, log_bytes = ?6, commits = commits + 1

-- name: set_bus_record
INSERT INTO bus (number, record) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = ?2

-- name: remove_bus
DELETE FROM bus WHERE number = ?1

-- name: set_stand
INSERT INTO stand (bus, sequence, digest, term, leader) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO UPDATE SET sequence = ?2, digest = ?3, term = ?4, leader = ?5

-- name: remove_stand
DELETE FROM stand WHERE bus = ?1

-- name: stands
SELECT bus, sequence, digest, term, leader FROM stand

-- name: buses
SELECT record, head, time_ms, work_ms, floor, log_bytes FROM bus WHERE record IS NOT NULL ORDER BY number

-- name: standings
SELECT number, record, head, commits, verified FROM bus ORDER BY number

-- name: set_verified
UPDATE bus SET verified = ?1 WHERE number = ?2

-- name: gaps
SELECT first, last, reason, recorded_ms FROM gap WHERE bus = ?1 ORDER BY first

-- name: raise_head
UPDATE bus SET head = ?2 WHERE number = ?1

-- name: add_gap
INSERT INTO gap (bus, first, last, reason, recorded_ms) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: bus_head
SELECT head FROM bus WHERE number = ?1

-- name: bus_floor
SELECT floor FROM bus WHERE number = ?1

-- name: add_event
INSERT INTO event (place, accepted_ms, offset, digest, checksum, json) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    accepted_ms = excluded.accepted_ms, offset = excluded.offset, digest = excluded.digest, checksum = excluded.checksum,
    json = excluded.json

-- name: events_ascending
SELECT place, accepted_ms, offset, digest, checksum, json FROM event WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3

-- name: next_place
SELECT place FROM event WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT 1

-- name: events_descending
SELECT place, accepted_ms, offset, digest, checksum, json FROM event WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT ?3

-- name: events_at
SELECT place, accepted_ms, offset, digest, checksum, json FROM event WHERE place IN carray(?1)

-- name: add_derivation
INSERT INTO derivation (bus, position, cause) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET cause = excluded.cause

-- name: derived
SELECT position FROM derivation INDEXED BY derivation_cause WHERE bus = ?1 AND cause = ?2 AND position > ?3 ORDER BY position LIMIT ?4

-- name: cause_of
SELECT cause FROM derivation WHERE bus = ?1 AND position = ?2

-- name: set_delivery
INSERT INTO delivery (bus, position, rule, run, state, at_ms, attempts, leases, first_ms, lane, note)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    state = excluded.state, at_ms = excluded.at_ms, attempts = excluded.attempts, leases = excluded.leases,
    first_ms = excluded.first_ms, lane = excluded.lane, note = excluded.note

-- The rows of one rule and run at these positions, alike but for their lanes, which stay.
-- name: set_stretch
UPDATE delivery SET state = ?6, at_ms = ?7, attempts = ?8, leases = ?9, first_ms = ?10, note = ?11
WHERE bus = ?1 AND rule = ?2 AND run = ?3 AND position BETWEEN ?4 AND ?5

-- name: delivery
SELECT rule, run, position, state, at_ms, attempts, leases, first_ms, note, lane
FROM delivery WHERE bus = ?1 AND position = ?2 AND rule = ?3 AND run = ?4

-- name: deliveries
SELECT d.rule, d.run, d.position, d.state, d.at_ms, d.attempts, d.leases, d.first_ms, d.note, d.lane
FROM carray(?4) AS p
CROSS JOIN delivery AS d ON d.bus = ?1 AND d.position = p.value AND d.rule = ?2 AND d.run = ?3

-- What asks for deliveries by their states names its index: left to itself, SQLite, which has no figures of these tables, walks all
-- deliveries of the bus for some.

-- name: due
SELECT rule, run, position, state, at_ms, attempts, leases, first_ms, note, lane
FROM delivery INDEXED BY delivery_queue WHERE bus = ?1 AND rule = ?2 AND run = ?3 AND state < 2 AND at_ms <= ?4
ORDER BY at_ms, position LIMIT ?5

-- name: next_due
SELECT at_ms FROM delivery INDEXED BY delivery_queue WHERE bus = ?1 AND rule = ?2 AND run = ?3 AND state < 2 ORDER BY at_ms LIMIT 1

-- Pending rows in the order of their indexes, which alone the inner statements read.

-- name: queued
SELECT d.rule, d.run, d.position, d.state, d.at_ms, d.attempts, d.leases, d.first_ms, d.note, d.lane
FROM (
    SELECT position, run FROM delivery INDEXED BY delivery_queue
    WHERE bus = ?1 AND rule = ?2 AND state < 2 AND (?3 IS NULL OR run = ?3) AND position < ?4
    ORDER BY run, at_ms, position LIMIT ?5
) AS p
CROSS JOIN delivery AS d ON d.bus = ?1 AND d.position = p.position AND d.rule = ?2 AND d.run = p.run

-- name: held
SELECT d.rule, d.run, d.position, d.state, d.at_ms, d.attempts, d.leases, d.first_ms, d.note, d.lane
FROM (
    SELECT position, run FROM delivery INDEXED BY delivery_held
    WHERE bus = ?1 AND rule = ?2 AND state IN (2, 3) AND (?3 IS NULL OR run = ?3) AND position < ?4 AND state >= ?5
    ORDER BY run, position LIMIT ?6
) AS p
CROSS JOIN delivery AS d ON d.bus = ?1 AND d.position = p.position AND d.rule = ?2 AND d.run = p.run

-- name: oldest
SELECT min(position) FROM (
    SELECT min(position) AS position FROM delivery INDEXED BY delivery_queue
    WHERE bus = ?1 AND rule = ?2 AND state < 2 AND (?3 IS NULL OR run = ?3)
    UNION ALL
    SELECT min(position) FROM delivery INDEXED BY delivery_held
    WHERE bus = ?1 AND rule = ?2 AND state IN (2, 3) AND (?3 IS NULL OR run = ?3)
)

-- name: leased
SELECT d.rule, d.run, d.position, d.state, d.at_ms, d.attempts, d.leases, d.first_ms, d.note, d.lane
FROM (SELECT position, run FROM delivery INDEXED BY delivery_held WHERE bus = ?1 AND rule = ?2 AND state IN (2, 3) AND state = 2) AS p
CROSS JOIN delivery AS d ON d.bus = ?1 AND d.position = p.position AND d.rule = ?2 AND d.run = p.run

-- name: ordered
SELECT d.rule, d.run, d.position, d.state, d.at_ms, d.attempts, d.leases, d.first_ms, d.note, d.lane
FROM (
    SELECT position, run FROM delivery INDEXED BY delivery_queue WHERE bus = ?1 AND rule = ?2 AND state < 2
    UNION ALL
    SELECT position, run FROM delivery INDEXED BY delivery_held WHERE bus = ?1 AND rule = ?2 AND state IN (2, 3)
    UNION ALL
    SELECT position, run FROM delivery INDEXED BY delivery_dead WHERE bus = ?1 AND rule = ?2 AND state = 5
) AS p
CROSS JOIN delivery AS d ON d.bus = ?1 AND d.position = p.position AND d.rule = ?2 AND d.run = p.run AND d.lane <> 0

-- name: dead
SELECT rule, run, position, state, at_ms, attempts, leases, first_ms, note, lane
FROM delivery INDEXED BY delivery_dead WHERE bus = ?1 AND rule = ?2 AND state = 5 AND (position, run) > (?3, ?4)
ORDER BY position, run LIMIT ?5

-- name: oldest_dead
SELECT min(position) FROM delivery WHERE bus = ?1 AND rule = ?2 AND state = 5 AND run = ?3

-- name: deliveries_of
SELECT rule, run, position, state, at_ms, attempts, leases, first_ms, note, lane
FROM delivery WHERE bus = ?1 AND position = ?2 AND rule > ?3 ORDER BY rule, run LIMIT ?4

-- name: add_tally
INSERT INTO tally (bus, rule, run, waiting, retrying, leased, blocked, delivered, dead, discarded)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    waiting = waiting + excluded.waiting, retrying = retrying + excluded.retrying, leased = leased + excluded.leased,
    blocked = blocked + excluded.blocked, delivered = delivered + excluded.delivered, dead = dead + excluded.dead,
    discarded = discarded + excluded.discarded

-- name: tallies
SELECT t.rule, t.run, t.waiting, t.retrying, t.leased, t.blocked, t.delivered, t.dead, t.discarded, (
    SELECT d.at_ms FROM delivery AS d INDEXED BY delivery_queue
    WHERE d.bus = ?1 AND d.rule = t.rule AND d.run = t.run AND d.state < 2 ORDER BY d.at_ms LIMIT 1
) FROM tally AS t WHERE t.bus = ?1

-- Retention. Removing reads what is owed first; stretches without any go whole.

-- name: owed_positions
SELECT DISTINCT position FROM delivery WHERE bus = ?1 AND position BETWEEN ?2 AND ?3 AND (state <= 3 OR state = 5) ORDER BY position

-- name: remove_events
DELETE FROM event WHERE place BETWEEN ?1 AND ?2

-- name: remove_deliveries
DELETE FROM delivery WHERE bus = ?1 AND position BETWEEN ?2 AND ?3

-- name: remove_derivations
DELETE FROM derivation WHERE bus = ?1 AND position BETWEEN ?2 AND ?3

-- name: add_stub
INSERT INTO stub (place, accepted_ms, hash, digest, check_bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: stub
SELECT place, accepted_ms, hash, digest, check_bytes FROM stub WHERE place = ?1

-- name: stubs
SELECT place, accepted_ms, hash, digest, check_bytes FROM stub WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3

-- name: remove_stubs
DELETE FROM stub WHERE place BETWEEN ?1 AND ?2

-- name: set_rule
INSERT INTO rule (bus, uid, record) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = ?3

-- name: remove_rule
DELETE FROM rule WHERE bus = ?1 AND uid = ?2

-- name: remove_tally
DELETE FROM tally WHERE bus = ?1 AND rule = ?2

-- name: rules
SELECT record FROM rule WHERE bus = ?1 ORDER BY uid

-- What rules said.

-- name: supersede_version
UPDATE rule_version SET until = ?3 WHERE bus = ?1 AND uid = ?2 AND position = (
    SELECT max(position) FROM rule_version WHERE bus = ?1 AND uid = ?2 AND position < ?3
)

-- name: set_version
INSERT INTO rule_version (bus, uid, position, until, name, record, pattern) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO UPDATE SET until = ?4, name = ?5, record = ?6, pattern = ?7

-- name: cut_versions
DELETE FROM rule_version WHERE bus = ?1 AND uid = ?2 AND position <= (
    SELECT position FROM rule_version WHERE bus = ?1 AND uid = ?2 ORDER BY position DESC LIMIT 1 OFFSET ?3
)

-- name: remove_versions
DELETE FROM rule_version WHERE (bus, uid, position) IN (
    SELECT bus, uid, position FROM rule_version INDEXED BY rule_version_over
    WHERE bus = ?1 AND until > 0 AND until < ?2 ORDER BY until, uid, position LIMIT ?3
)

-- name: versions
SELECT record FROM rule_version WHERE bus = ?1 AND uid > ?2 ORDER BY uid, position LIMIT ?3

-- name: pattern_of
SELECT pattern FROM rule_version WHERE bus = ?1 AND uid = ?2 AND position = ?3

-- name: rules_named
SELECT DISTINCT uid FROM rule_version INDEXED BY rule_version_name WHERE bus = ?1 AND name = ?2 ORDER BY uid DESC LIMIT ?3

-- name: set_tombstone
INSERT INTO tombstone (bus, name, record) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = ?3

-- name: remove_tombstone
DELETE FROM tombstone WHERE bus = ?1 AND name = ?2

-- name: tombstones
SELECT record FROM tombstone WHERE bus = ?1 ORDER BY name

-- name: set_backfill
INSERT INTO backfill (bus, rule, run, record) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET record = ?4

-- name: remove_backfill
DELETE FROM backfill WHERE bus = ?1 AND rule = ?2 AND run = ?3

-- name: backfills
SELECT record FROM backfill WHERE bus = ?1 ORDER BY rule, run

-- name: set_intent
INSERT INTO intent (bus, number, record) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = ?3

-- name: remove_intent
DELETE FROM intent WHERE bus = ?1 AND number = ?2

-- name: intents
SELECT record FROM intent WHERE bus = ?1 ORDER BY number

-- name: set_key
INSERT INTO access_key (id, record) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = ?2

-- name: remove_key
DELETE FROM access_key WHERE id = ?1

-- name: keys
SELECT record FROM access_key ORDER BY id

-- name: set_health
INSERT INTO health (bus, rule, record) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = ?3

-- name: remove_health
DELETE FROM health WHERE bus = ?1 AND rule = ?2

-- name: healths
SELECT record FROM health WHERE bus = ?1 ORDER BY rule

-- Emitters and what they keep.

-- name: set_emitter
INSERT INTO emitter (bus, uid, record) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = ?3

-- name: set_emitter_counts
UPDATE emitter SET counts = ?3 WHERE bus = ?1 AND uid = ?2

-- name: remove_emitter
DELETE FROM emitter WHERE bus = ?1 AND uid = ?2

-- name: emitters
SELECT record, uid, counts FROM emitter WHERE bus = ?1 ORDER BY uid

-- name: set_kept
INSERT INTO kept (bus, owner, key, due_ms, record) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET due_ms = excluded.due_ms, record = excluded.record

-- name: remove_kept
DELETE FROM kept WHERE bus = ?1 AND owner = ?2 AND key = ?3

-- name: kept
SELECT owner, key, due_ms, record FROM kept WHERE bus = ?1 AND owner = ?2 AND key = ?3

-- name: kept_of
SELECT k.owner, k.key, k.due_ms, k.record FROM json_each(?3) AS wanted
CROSS JOIN kept AS k ON k.bus = ?1 AND k.owner = ?2 AND k.key = wanted.value

-- name: kept_after
SELECT owner, key, due_ms, record FROM kept WHERE bus = ?1 AND owner = ?2 AND key > ?3 ORDER BY key LIMIT ?4

-- name: kept_due
SELECT owner, key, due_ms, record FROM kept INDEXED BY kept_due
WHERE bus = ?1 AND due_ms IS NOT NULL ORDER BY due_ms, owner, key LIMIT ?2

-- name: kept_due_first
SELECT min(due_ms) FROM kept INDEXED BY kept_due WHERE bus = ?1 AND due_ms IS NOT NULL

-- name: set_schedule
INSERT INTO schedule (bus, uid, record) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = ?3

-- name: remove_schedule
DELETE FROM schedule WHERE bus = ?1 AND uid = ?2

-- name: schedules
SELECT record FROM schedule WHERE bus = ?1 ORDER BY uid

-- name: holds
SELECT EXISTS (SELECT 1 FROM event WHERE place BETWEEN ?2 AND ?3)
    OR EXISTS (SELECT 1 FROM delivery WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM derivation WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM tally WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM rule WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM rule_version WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM backfill WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM intent WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM tombstone WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM health WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM emitter WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM kept WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM schedule WHERE bus = ?1)
    OR EXISTS (SELECT 1 FROM stub WHERE place BETWEEN ?2 AND ?3)
    OR EXISTS (SELECT 1 FROM id_segment WHERE place BETWEEN ?2 AND ?3)
    OR EXISTS (SELECT 1 FROM id_bucket WHERE place BETWEEN ?2 AND ?3)
    OR EXISTS (SELECT 1 FROM id_slice WHERE place BETWEEN ?2 AND ?3)

-- Emptying a bus. Each removes about ?2 rows, from the low end, and all rows of the last position or rule with it.

-- name: empty_delivery
DELETE FROM delivery WHERE bus = ?1 AND position <= (
    SELECT max(position) FROM (SELECT position FROM delivery WHERE bus = ?1 ORDER BY position LIMIT ?2)
)

-- name: empty_derivation
DELETE FROM derivation WHERE bus = ?1 AND position <= (
    SELECT max(position) FROM (SELECT position FROM derivation WHERE bus = ?1 ORDER BY position LIMIT ?2)
)

-- name: empty_tally
DELETE FROM tally WHERE bus = ?1 AND rule <= (
    SELECT max(rule) FROM (SELECT rule FROM tally WHERE bus = ?1 ORDER BY rule LIMIT ?2)
)

-- name: empty_rule
DELETE FROM rule WHERE bus = ?1 AND uid <= (
    SELECT max(uid) FROM (SELECT uid FROM rule WHERE bus = ?1 ORDER BY uid LIMIT ?2)
)

-- name: empty_rule_version
DELETE FROM rule_version WHERE bus = ?1 AND uid <= (
    SELECT max(uid) FROM (SELECT uid FROM rule_version WHERE bus = ?1 ORDER BY uid LIMIT ?2)
)

-- name: empty_backfill
DELETE FROM backfill WHERE bus = ?1 AND rule <= (
    SELECT max(rule) FROM (SELECT rule FROM backfill WHERE bus = ?1 ORDER BY rule LIMIT ?2)
)

-- name: empty_intent
DELETE FROM intent WHERE bus = ?1 AND number <= (
    SELECT max(number) FROM (SELECT number FROM intent WHERE bus = ?1 ORDER BY number LIMIT ?2)
)

-- name: empty_tombstone
DELETE FROM tombstone WHERE bus = ?1 AND name <= (
    SELECT max(name) FROM (SELECT name FROM tombstone WHERE bus = ?1 ORDER BY name LIMIT ?2)
)

-- name: empty_health
DELETE FROM health WHERE bus = ?1 AND rule <= (
    SELECT max(rule) FROM (SELECT rule FROM health WHERE bus = ?1 ORDER BY rule LIMIT ?2)
)

-- name: empty_emitter
DELETE FROM emitter WHERE bus = ?1 AND uid <= (
    SELECT max(uid) FROM (SELECT uid FROM emitter WHERE bus = ?1 ORDER BY uid LIMIT ?2)
)

-- name: empty_kept
DELETE FROM kept WHERE (bus, owner, key) IN (SELECT bus, owner, key FROM kept WHERE bus = ?1 LIMIT ?2)

-- name: empty_schedule
DELETE FROM schedule WHERE bus = ?1 AND uid <= (
    SELECT max(uid) FROM (SELECT uid FROM schedule WHERE bus = ?1 ORDER BY uid LIMIT ?2)
)

-- name: empty_stub
DELETE FROM stub WHERE place BETWEEN ?1 AND (
    SELECT max(place) FROM (SELECT place FROM stub WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)
)

-- name: empty_event
DELETE FROM event WHERE place BETWEEN ?1 AND (
    SELECT max(place) FROM (SELECT place FROM event WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)
)

-- name: empty_id_segment
DELETE FROM id_segment WHERE place BETWEEN ?1 AND (
    SELECT max(place) FROM (SELECT place FROM id_segment WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)
)

-- name: empty_id_bucket
DELETE FROM id_bucket WHERE place BETWEEN ?1 AND (
    SELECT max(place) FROM (SELECT place FROM id_bucket WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)
)

-- name: empty_id_slice
DELETE FROM id_slice WHERE place BETWEEN ?1 AND (
    SELECT max(place) FROM (SELECT place FROM id_slice WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)
)

-- The dedup window.

-- name: add_id_segment
INSERT INTO id_segment (place, first_position, last_position, last_accepted_ms) VALUES (?1, ?2, ?3, ?4)

-- name: id_segments
SELECT place, first_position, last_position, last_accepted_ms FROM id_segment WHERE place BETWEEN ?1 AND ?2 ORDER BY place

-- name: remove_id_segment
DELETE FROM id_segment WHERE place = ?1

-- name: add_id_bucket
INSERT INTO id_bucket (place, ids) VALUES (?, ?)

-- name: id_buckets_at
SELECT place, ids FROM id_bucket WHERE place IN carray(?1) ORDER BY place DESC

-- name: id_buckets
SELECT ids FROM id_bucket WHERE place BETWEEN ?1 AND ?2 ORDER BY place

-- name: remove_id_buckets
DELETE FROM id_bucket WHERE place BETWEEN ?1 AND ?2

-- name: add_id_slice
INSERT INTO id_slice (place, checksum, filter) VALUES (?1, ?2, ?3)

-- name: id_slice
SELECT checksum, filter FROM id_slice WHERE place = ?1

-- name: remove_id_slice
DELETE FROM id_slice WHERE place = ?1
