"""Rows of what rules said: written with each edit, and removed when nothing that an edit governed is left in the log."""

from typing import Any

import apsw
import msgspec

from eventyard.core import limits
from eventyard.core.changes import Changes
from eventyard.core.rule_history import Edit, RuleVersion
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.statements import SQL

_encode = msgspec.json.Encoder().encode


def write(connection: apsw.Connection, changes: Changes) -> None:
    for version in changes.versions:
        connection.execute(SQL["supersede_version"], (changes.bus, *version.key))
        connection.execute(SQL["set_version"], (changes.bus, *_row(version)))
        connection.execute(SQL["cut_versions"], (changes.bus, version.uid, limits.RULE_VERSIONS_MAX))


def _row(version: RuleVersion) -> tuple[Any, ...]:
    until = version.position if version.edit is Edit.DELETED else 0
    record = _encode(msgspec.structs.replace(version, pattern=b""))
    return (*version.key, until, version.name, record, version.pattern)


def forget(connection: apsw.Connection, changes: Changes) -> None:
    """An edit that was followed by another, or ended its rule, before the first event that is still there governs nothing any more."""
    found: Any = connection.execute(SQL["next_place"], places.span(changes.bus, 1, changes.head)).get
    first = changes.head + 1 if found is None else places.position(found)
    connection.execute(SQL["remove_versions"], (changes.bus, first, limits.RULE_VERSIONS_PER_REMOVAL))
