"""The tables of outbox and inbox in plain SQL, for whoever keeps their schema in migrations. `{table}` is theirs to name."""

import re
from collections.abc import Mapping, Sequence

from eventyard.client.databases import Dialect

OUTBOX: Mapping[Dialect, Sequence[str]] = {
    "sqlite": (
        """CREATE TABLE IF NOT EXISTS {table} (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  event TEXT NOT NULL,
  added TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  refused TEXT
)""",
        "CREATE INDEX IF NOT EXISTS {index}_waiting ON {bare} (number) WHERE refused IS NULL",
    ),
    "postgresql": (
        """CREATE TABLE IF NOT EXISTS {table} (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  added timestamptz NOT NULL DEFAULT now(),
  refused text
)""",
        "CREATE INDEX IF NOT EXISTS {bare}_waiting ON {table} (number) WHERE refused IS NULL",
    ),
}
"""`refused` is NULL while an event waits. What was accepted is deleted: the bus has it, in a log that is made for keeping events."""

INBOX: Mapping[Dialect, Sequence[str]] = {
    "sqlite": (
        """CREATE TABLE IF NOT EXISTS {table} (
  consumer TEXT NOT NULL,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  seen INTEGER NOT NULL,
  PRIMARY KEY (consumer, source, id)
) WITHOUT ROWID""",
        "CREATE INDEX IF NOT EXISTS {index}_seen ON {bare} (consumer, seen)",
    ),
    "postgresql": (
        """CREATE TABLE IF NOT EXISTS {table} (
  consumer text NOT NULL,
  source text NOT NULL,
  id text NOT NULL,
  seen bigint NOT NULL,
  PRIMARY KEY (consumer, source, id)
)""",
        "CREATE INDEX IF NOT EXISTS {bare}_seen ON {table} (consumer, seen)",
    ),
}
"""`seen` is Unix time in seconds."""

_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,47}\.)?[A-Za-z_][A-Za-z0-9_]{0,47}")


def schema(statements: Sequence[str], table: str) -> list[str]:
    """In SQLite it is the index that names the schema, in PostgreSQL the table."""
    bare = table.rpartition(".")[2]
    return [each.format(table=table, bare=bare, index=table) for each in statements]


def checked(table: str) -> str:
    """A table's name as it goes into SQL, with or without its schema's."""
    if not _NAME.fullmatch(table):
        raise ValueError(
            f'found the table name "{table}"; wanted letters, digits and _ (up to 48), with or without a schema and a dot'
        )
    return table
