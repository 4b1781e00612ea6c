-- What `soundness.py` asks of a whole file. Unlike the engine's own statements these may read whole tables.

-- name: file_version
SELECT user_version, application_id FROM pragma_user_version, pragma_application_id

-- name: has
SELECT (SELECT count(*) FROM pragma_table_info('bus') WHERE name = 'floor'),
    (SELECT count(*) FROM sqlite_schema WHERE name = 'gap')

-- name: buses
SELECT number, record, head, floor FROM bus ORDER BY number

-- The first schema knew of no floor.
-- name: buses_1
SELECT number, record, head, 1 FROM bus ORDER BY number

-- name: gaps
SELECT bus, first, last FROM gap ORDER BY bus, first

-- name: events_after
SELECT place, accepted_ms, digest, checksum, json FROM event WHERE place > ?1 ORDER BY place LIMIT ?2

-- name: tallies
SELECT bus, rule, run, waiting, retrying, leased, blocked, delivered, dead, discarded FROM tally

-- name: delivery_counts
SELECT bus, rule, run, state, count(*) FROM delivery GROUP BY bus, rule, run, state
