-- Access keys: `record` is JSON (AccessKey), which holds the digest of a key and never the key.

CREATE TABLE access_key (
    id     TEXT NOT NULL PRIMARY KEY,
    record BLOB NOT NULL
) STRICT, WITHOUT ROWID;
