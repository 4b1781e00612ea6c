"""Changes as rows: what one commit writes. Everything here happens inside a transaction that the engine begins and ends.

Whole rows replace whole rows, so writing the same changes twice leaves the same rows (the tally aside, which adds up).
"""

import apsw
import msgspec

from eventyard.core.access import AccessKey
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.rule import Status
from eventyard.engines.sqlite import delivery_rows, event_rows, forgetting, version_rows
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.statements import SQL, insert_all

EMPTIED_ROWS = 2_000
"""Rows of each table that one commit removes of a deleted bus: a few milliseconds of writing between two publishes."""

_EMPTY_BY_BUS = (
    "empty_delivery",
    "empty_derivation",
    "empty_tally",
    "empty_rule",
    "empty_rule_version",
    "empty_backfill",
    "empty_intent",
    "empty_tombstone",
    "empty_health",
    "empty_emitter",
    "empty_kept",
    "empty_schedule",
)
_EMPTY_BY_PLACE = ("empty_event", "empty_stub", "empty_id_segment", "empty_id_bucket", "empty_id_slice")

_encode = msgspec.json.Encoder().encode


def write(connection: apsw.Connection, changes: Changes) -> None:
    """All rows of one bus's changes, the ids of its events aside (`ids`)."""
    _write_progress(connection, changes)
    if changes.events:
        _write_events(connection, changes)
    if changes.puts or changes.moves:
        delivery_rows.write(connection, changes)
    if changes.rules:
        _write_rules(connection, changes)
    if changes.versions:
        version_rows.write(connection, changes)
    _write_work(connection, changes)
    _write_emitters(connection, changes)
    for record in changes.buses:
        _write_bus(connection, record)
    for key in changes.keys:
        _write_key(connection, key)
    for first, last in changes.forgotten:
        forgetting.forget(connection, changes, first, last)
    if changes.forgotten:
        version_rows.forget(connection, changes)
    if changes.emptied_bus:
        _empty(connection, changes.emptied_bus)


def _write_progress(connection: apsw.Connection, changes: Changes) -> None:
    bus, time = changes.bus, changes.time
    connection.execute(
        SQL["set_bus_progress"], (bus, changes.head, time.time_ms, time.work_ms, changes.floor, changes.log_bytes)
    )
    if changes.stand is not None:
        connection.execute(SQL["set_stand"], (bus, *msgspec.structs.astuple(changes.stand)))


def _write_events(connection: apsw.Connection, changes: Changes) -> None:
    bus = changes.bus
    insert_all(connection, "add_event", (event_rows.to_row(bus, event) for event in changes.events))
    if changes.derivations:
        insert_all(connection, "add_derivation", ((bus, row.position, row.cause) for row in changes.derivations))


def _write_rules(connection: apsw.Connection, changes: Changes) -> None:
    """A deleted rule leaves nothing but its deliveries, which live as long as their events."""
    for record in changes.rules:
        if record.status is Status.DELETED:
            connection.execute(SQL["remove_rule"], (changes.bus, record.uid))
            connection.execute(SQL["remove_tally"], (changes.bus, record.uid))
        else:
            connection.execute(SQL["set_rule"], (changes.bus, record.uid, _encode(record)))


def _write_work(connection: apsw.Connection, changes: Changes) -> None:
    for backfill in changes.backfills:
        if backfill.is_removed or (backfill.is_done and not backfill.is_replay):
            connection.execute(SQL["remove_backfill"], (changes.bus, *backfill.key))
        else:
            connection.execute(SQL["set_backfill"], (changes.bus, *backfill.key, _encode(backfill)))
    for tombstone in changes.tombstones:
        if tombstone.is_removed:
            connection.execute(SQL["remove_tombstone"], (changes.bus, tombstone.name))
        else:
            connection.execute(SQL["set_tombstone"], (changes.bus, tombstone.name, _encode(tombstone)))
    for intent in changes.intents:
        if intent.is_done:
            connection.execute(SQL["remove_intent"], (changes.bus, intent.number))
        else:
            connection.execute(SQL["set_intent"], (changes.bus, intent.number, _encode(intent)))
    for health in changes.health:
        if health.is_removed:
            connection.execute(SQL["remove_health"], (changes.bus, health.rule))
        else:
            connection.execute(SQL["set_health"], (changes.bus, health.rule, _encode(health)))
    _write_schedules(connection, changes)


def _write_schedules(connection: apsw.Connection, changes: Changes) -> None:
    for schedule in changes.schedules:
        if schedule.is_deleted:
            connection.execute(SQL["remove_schedule"], (changes.bus, schedule.uid))
        else:
            connection.execute(SQL["set_schedule"], (changes.bus, schedule.uid, _encode(schedule)))


def _write_emitters(connection: apsw.Connection, changes: Changes) -> None:
    bus = changes.bus
    for record in changes.emitters:
        if record.is_removed:
            connection.execute(SQL["remove_emitter"], (bus, record.uid))
        else:
            connection.execute(SQL["set_emitter"], (bus, record.uid, _encode(record)))
    for tally in changes.emitter_tallies:
        connection.execute(SQL["set_emitter_counts"], (bus, tally.owner, _encode(tally.counts)))
    rows = [(bus, row.owner, row.key, row.due_ms, row.record) for row in changes.kept if row.record]
    insert_all(connection, "set_kept", rows)
    for row in changes.kept:
        if not row.record:
            connection.execute(SQL["remove_kept"], (bus, row.owner, row.key))


def _write_bus(connection: apsw.Connection, record: BusRecord) -> None:
    if record.is_removed:
        connection.execute(SQL["remove_bus"], (record.number,))
        connection.execute(SQL["remove_stand"], (record.number,))
    else:
        connection.execute(SQL["set_bus_record"], (record.number, _encode(record)))


def _write_key(connection: apsw.Connection, key: AccessKey) -> None:
    if key.is_removed:
        connection.execute(SQL["remove_key"], (key.id,))
    else:
        connection.execute(SQL["set_key"], (key.id, _encode(key)))


def _empty(connection: apsw.Connection, bus: int) -> None:
    for name in _EMPTY_BY_BUS:
        connection.execute(SQL[name], (bus, EMPTIED_ROWS))
    for name in _EMPTY_BY_PLACE:
        connection.execute(SQL[name], (*places.span(bus), EMPTIED_ROWS))
