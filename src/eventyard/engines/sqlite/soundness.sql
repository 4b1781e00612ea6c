-- What `soundness.py` asks of a whole file. Unlike the engine's own statements these may read whole tables.

-- name: file_version
SELECT user_version, application_id FROM pragma_user_version, pragma_application_id

-- name: buses
SELECT number, record, head FROM bus ORDER BY number

-- name: has_gaps
SELECT count(*) FROM sqlite_schema WHERE name = 'gap'

-- name: gaps
SELECT bus, first, last FROM gap ORDER BY bus, first

-- name: events_after
SELECT place, accepted_ms, digest, checksum, json FROM event WHERE place > ?1 ORDER BY place LIMIT ?2

-- name: tallies
SELECT bus, rule, waiting, leased, delivered, dead, discarded FROM tally

-- name: delivery_counts
SELECT bus, rule, state, count(*) FROM delivery GROUP BY bus, rule, state
