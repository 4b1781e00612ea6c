-- How a file that SQLite calls malformed is read row by row, and what is made of it. Unlike the engine's own statements these may read
-- whole tables. Every walk goes along one number: its first column of that name is what the rows are ordered by.

-- name: walk_bus_up
SELECT number, record, head, time_ms, work_ms, floor, log_bytes, commits, verified FROM bus
WHERE number BETWEEN ?1 AND ?2 ORDER BY number

-- name: walk_bus_down
SELECT number, record, head, time_ms, work_ms, floor, log_bytes, commits, verified FROM bus
WHERE number BETWEEN ?1 AND ?2 ORDER BY number DESC

-- name: keep_bus
INSERT OR IGNORE INTO bus (number, record, head, time_ms, work_ms, floor, log_bytes, commits, verified)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: keep_event
INSERT OR IGNORE INTO event (place, accepted_ms, offset, digest, checksum, json) VALUES (?, ?, ?, ?, ?, ?)

-- name: walk_derivation_up
SELECT position, bus, cause FROM derivation WHERE bus = ?3 AND position BETWEEN ?1 AND ?2 ORDER BY position

-- name: walk_derivation_down
SELECT position, bus, cause FROM derivation WHERE bus = ?3 AND position BETWEEN ?1 AND ?2 ORDER BY position DESC

-- name: keep_derivation
INSERT OR IGNORE INTO derivation (position, bus, cause) VALUES (?, ?, ?)

-- name: walk_delivery_up
SELECT position, bus, rule, run, state, at_ms, attempts, leases, first_ms, lane, note FROM delivery
WHERE bus = ?3 AND position BETWEEN ?1 AND ?2 ORDER BY position

-- name: walk_delivery_down
SELECT position, bus, rule, run, state, at_ms, attempts, leases, first_ms, lane, note FROM delivery
WHERE bus = ?3 AND position BETWEEN ?1 AND ?2 ORDER BY position DESC

-- name: keep_delivery
INSERT OR IGNORE INTO delivery (position, bus, rule, run, state, at_ms, attempts, leases, first_ms, lane, note)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: walk_tally_up
SELECT rule, bus, run, waiting, retrying, leased, blocked, delivered, dead, discarded FROM tally
WHERE bus = ?3 AND rule BETWEEN ?1 AND ?2 ORDER BY rule

-- name: walk_tally_down
SELECT rule, bus, run, waiting, retrying, leased, blocked, delivered, dead, discarded FROM tally
WHERE bus = ?3 AND rule BETWEEN ?1 AND ?2 ORDER BY rule DESC

-- name: keep_tally
INSERT OR IGNORE INTO tally (rule, bus, run, waiting, retrying, leased, blocked, delivered, dead, discarded)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: walk_rule_up
SELECT uid, bus, record FROM rule WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid

-- name: walk_rule_down
SELECT uid, bus, record FROM rule WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid DESC

-- name: keep_rule
INSERT OR IGNORE INTO rule (uid, bus, record) VALUES (?, ?, ?)

-- name: walk_rule_version_up
SELECT uid, bus, position, until, name, pattern, record FROM rule_version WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid

-- name: walk_rule_version_down
SELECT uid, bus, position, until, name, pattern, record FROM rule_version WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid DESC

-- name: keep_rule_version
INSERT OR IGNORE INTO rule_version (uid, bus, position, until, name, pattern, record) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: walk_backfill_up
SELECT rule, bus, run, record FROM backfill WHERE bus = ?3 AND rule BETWEEN ?1 AND ?2 ORDER BY rule

-- name: walk_backfill_down
SELECT rule, bus, run, record FROM backfill WHERE bus = ?3 AND rule BETWEEN ?1 AND ?2 ORDER BY rule DESC

-- name: keep_backfill
INSERT OR IGNORE INTO backfill (rule, bus, run, record) VALUES (?, ?, ?, ?)

-- name: walk_intent_up
SELECT number, bus, record FROM intent WHERE bus = ?3 AND number BETWEEN ?1 AND ?2 ORDER BY number

-- name: walk_intent_down
SELECT number, bus, record FROM intent WHERE bus = ?3 AND number BETWEEN ?1 AND ?2 ORDER BY number DESC

-- name: keep_intent
INSERT OR IGNORE INTO intent (number, bus, record) VALUES (?, ?, ?)

-- name: walk_health_up
SELECT rule, bus, record FROM health WHERE bus = ?3 AND rule BETWEEN ?1 AND ?2 ORDER BY rule

-- name: walk_health_down
SELECT rule, bus, record FROM health WHERE bus = ?3 AND rule BETWEEN ?1 AND ?2 ORDER BY rule DESC

-- name: keep_health
INSERT OR IGNORE INTO health (rule, bus, record) VALUES (?, ?, ?)

-- name: walk_emitter_up
SELECT uid, bus, counts, record FROM emitter WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid

-- name: walk_emitter_down
SELECT uid, bus, counts, record FROM emitter WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid DESC

-- name: keep_emitter
INSERT OR IGNORE INTO emitter (uid, bus, counts, record) VALUES (?, ?, ?, ?)

-- name: walk_kept_up
SELECT owner, bus, key, due_ms, record FROM kept WHERE bus = ?3 AND owner BETWEEN ?1 AND ?2 ORDER BY owner, key

-- name: walk_kept_down
SELECT owner, bus, key, due_ms, record FROM kept WHERE bus = ?3 AND owner BETWEEN ?1 AND ?2 ORDER BY owner DESC, key DESC

-- name: keep_kept
INSERT OR IGNORE INTO kept (owner, bus, key, due_ms, record) VALUES (?, ?, ?, ?, ?)

-- name: walk_schedule_up
SELECT uid, bus, record FROM schedule WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid

-- name: walk_schedule_down
SELECT uid, bus, record FROM schedule WHERE bus = ?3 AND uid BETWEEN ?1 AND ?2 ORDER BY uid DESC

-- name: keep_schedule
INSERT OR IGNORE INTO schedule (uid, bus, record) VALUES (?, ?, ?)

-- name: walk_gap_up
SELECT first, bus, last, reason, recorded_ms FROM gap WHERE bus = ?3 AND first BETWEEN ?1 AND ?2 ORDER BY first

-- name: walk_gap_down
SELECT first, bus, last, reason, recorded_ms FROM gap WHERE bus = ?3 AND first BETWEEN ?1 AND ?2 ORDER BY first DESC

-- name: keep_gap
INSERT OR IGNORE INTO gap (first, bus, last, reason, recorded_ms) VALUES (?, ?, ?, ?, ?)

-- name: walk_stub_up
SELECT place, accepted_ms, hash, digest, check_bytes FROM stub WHERE place BETWEEN ?1 AND ?2 ORDER BY place

-- name: walk_stub_down
SELECT place, accepted_ms, hash, digest, check_bytes FROM stub WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC

-- name: keep_stub
INSERT OR IGNORE INTO stub (place, accepted_ms, hash, digest, check_bytes) VALUES (?, ?, ?, ?, ?)

-- name: walk_tombstone_up
SELECT bus, name, record FROM tombstone ORDER BY bus, name

-- name: walk_tombstone_down
SELECT bus, name, record FROM tombstone ORDER BY bus DESC, name DESC

-- name: keep_tombstone
INSERT OR IGNORE INTO tombstone (bus, name, record) VALUES (?, ?, ?)

-- name: walk_access_key_up
SELECT id, record FROM access_key ORDER BY id

-- name: walk_access_key_down
SELECT id, record FROM access_key ORDER BY id DESC

-- name: keep_access_key
INSERT OR IGNORE INTO access_key (id, record) VALUES (?, ?)

-- What is made of what was read.

-- name: has_any
SELECT EXISTS (SELECT 1 FROM event) OR EXISTS (SELECT 1 FROM bus)

-- name: bus_numbers
SELECT number FROM bus

-- name: bus_floors
SELECT number, floor FROM bus

-- name: bus_records
SELECT number, record FROM bus WHERE record IS NOT NULL

-- name: bus_heads
SELECT number, head FROM bus

-- name: drop_bus
DELETE FROM bus WHERE number = ?1

-- name: missing_buses
SELECT DISTINCT place >> 44 FROM event WHERE place >> 44 NOT IN (SELECT number FROM bus)

-- name: log_ends
SELECT min(place) & 17592186044415, max(place) & 17592186044415, max(accepted_ms), max(offset + length(json))
FROM event WHERE place BETWEEN ?1 AND ?2

-- name: add_bus
INSERT INTO bus (number, record, head, time_ms, work_ms, floor, log_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: work_reached
SELECT max((SELECT coalesce(max(work_ms), 0) FROM bus), (SELECT coalesce(max(at_ms), 0) FROM delivery WHERE state <= 3))

-- name: lift_head
UPDATE bus SET head = max(head, ?2), log_bytes = max(log_bytes, ?3) WHERE number = ?1

-- name: orphans
SELECT bus, count(*) FROM delivery AS d
WHERE state <= 3 AND NOT EXISTS (SELECT 1 FROM rule AS r WHERE r.bus = d.bus AND r.uid = d.rule) GROUP BY bus

-- name: discard_orphans
UPDATE delivery AS d SET state = 6, at_ms = ?1, note = ?2, first_ms = 0
WHERE state <= 3 AND NOT EXISTS (SELECT 1 FROM rule AS r WHERE r.bus = d.bus AND r.uid = d.rule)

-- name: lacking_rules
SELECT DISTINCT bus, rule FROM delivery AS d
WHERE NOT EXISTS (SELECT 1 FROM rule AS r WHERE r.bus = d.bus AND r.uid = d.rule)
    AND EXISTS (SELECT 1 FROM tally AS t WHERE t.bus = d.bus AND t.rule = d.rule)

-- name: recount
INSERT INTO tally (bus, rule, run, waiting, retrying, leased, blocked, delivered, dead, discarded)
SELECT bus, rule, run, sum(state = 0), sum(state = 1), sum(state = 2), sum(state = 3), sum(state = 4), sum(state = 5), sum(state = 6)
FROM delivery GROUP BY bus, rule, run
HAVING EXISTS (SELECT 1 FROM rule AS r WHERE r.bus = delivery.bus AND r.uid = delivery.rule)
ON CONFLICT DO UPDATE SET
    waiting = excluded.waiting, retrying = excluded.retrying, leased = excluded.leased, blocked = excluded.blocked,
    delivered = max(delivered, excluded.delivered), dead = excluded.dead, discarded = max(discarded, excluded.discarded)

-- name: drop_counts
DELETE FROM tally AS t WHERE NOT EXISTS (SELECT 1 FROM rule AS r WHERE r.bus = t.bus AND r.uid = t.rule)

-- name: clear_counts
UPDATE tally SET waiting = 0, retrying = 0, leased = 0, blocked = 0, dead = 0

-- name: window_events
SELECT place, accepted_ms, json FROM event WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3

-- name: window_stubs
SELECT place, accepted_ms, hash FROM stub WHERE place BETWEEN ?1 AND ?2 ORDER BY place

-- A lane whose head could not be read would stand still for ever: its first row that is left becomes its head.
-- name: unblock
UPDATE delivery AS d SET state = attempts > 0 WHERE state = 3 AND (bus, rule, run, lane, position) IN (
    SELECT bus, rule, run, lane, min(position) FROM delivery
    WHERE lane <> 0 AND (state <= 3 OR state = 5) GROUP BY bus, rule, run, lane
)

-- name: owed_in
SELECT d.rule, json_extract(CAST(r.record AS TEXT), '$.name'), count(*)
FROM delivery AS d LEFT JOIN rule AS r ON r.bus = d.bus AND r.uid = d.rule
WHERE d.bus = ?1 AND d.position BETWEEN ?2 AND ?3 AND d.state <= 3 GROUP BY d.rule
