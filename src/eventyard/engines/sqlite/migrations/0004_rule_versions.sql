-- What rules said, edit by edit. Of those that there are the last edit alone is known: when it took effect, and, of a rule that was never
-- edited, where it began. `until` is the position of the edit that followed (of a deletion: its own), 0 while none has.

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

INSERT INTO rule_version (bus, uid, position, until, name, record, pattern)
SELECT
    bus, uid, max(version, run), CASE WHEN is_deleted THEN version ELSE 0 END, name,
    CAST(json_object(
        'uid', uid,
        'position', max(version, run),
        'edit', CASE WHEN is_deleted THEN 'deleted' WHEN version = uid AND run = 0 THEN 'created' ELSE 'changed' END,
        'name', name,
        'version', version,
        'run', run,
        'cursor', min(max(version, run) + 1, coalesce(unread, max(version, run) + 1)),
        'time_ms', changed_ms,
        'first', CASE WHEN is_deleted OR version <> uid OR run <> 0 THEN 0 WHEN start IN ('latest', 'resume') THEN uid + 1 ELSE 1 END,
        'resumed', json(resumed)
    ) AS BLOB),
    CAST(pattern AS BLOB)
FROM (
    SELECT
        r.bus, r.uid, r.record ->> '$.name' AS name, r.record ->> '$.version' AS version, coalesce(r.record ->> '$.run', 0) AS run,
        r.record ->> '$.status' IN ('deleting', 'deleted') AS is_deleted, r.record ->> '$.changed_ms' AS changed_ms,
        coalesce(r.record ->> '$.rule.start', 'latest') AS start, coalesce(r.record -> '$.resumed', '[]') AS resumed,
        r.record -> '$.rule.pattern' AS pattern,
        (
            SELECT CAST(b.record AS TEXT) ->> '$.next_position' FROM backfill AS b
            WHERE b.bus = r.bus AND b.rule = r.uid AND b.run = coalesce(r.record ->> '$.run', 0)
        ) AS unread
    FROM (SELECT bus, uid, CAST(record AS TEXT) AS record FROM rule) AS r
);
