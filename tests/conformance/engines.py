"""Every engine that keeps the contract of `eventyard.ports.Engine`, made the same way, and rows to put into it."""

import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from eventyard.core.changes import BusRecord, Changes, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.record import ID_BYTES
from eventyard.core.rule import Rule, RuleRecord, Status, parse
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.nats.engine import NatsEngine
from eventyard.engines.nats.jetstream import JetStreams
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite.ids import Layout
from eventyard.ports import Engine
from tests.support.nats_servers import shared_server

SMALL = Layout(segment_ids=5, slice_segments=3)
"""Segments and slices of ids that close within a test."""

BUS = 1
RULE = 7
TIME = BusTime(1_700_000_000_000, 5_000)


def _sqlite(folder: Path) -> Engine:
    return SqliteEngine(str(folder / "bus.db"), layout=SMALL)


def _sqlite_exclusive(folder: Path) -> Engine:
    return SqliteEngine(str(folder / "bus.db"), is_exclusive=True, layout=SMALL)


def _nats(folder: Path) -> Engine:
    """Over a real server, which all tests of a process share; each has streams of its own."""
    streams = JetStreams([shared_server().url], prefix=f"t{next(_numbers)}")
    return NatsEngine(streams, _sqlite(folder), leader="a", ids=partial(os.urandom, ID_BYTES))


_numbers = itertools.count()


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "memory": lambda _: MemoryEngine(),
    "sqlite": _sqlite,
    "sqlite-exclusive": _sqlite_exclusive,
    "nats": _nats,
}


def event(position: int, *, id: str = "", source: str = "/s", at_ms: int = 0, note: str = "", offset: int = 0) -> StoredEvent:  # noqa: A002 - it is the event's id
    """An event at `position`, accepted `position` ms after TIME unless `at_ms` says otherwise."""
    id = id or f"e{position}"  # noqa: A001 - as above
    json = f'{{"specversion":"1.0","id":"{id}","source":"{source}","type":"t","data":"{note}"}}'.encode()
    return StoredEvent(position, at_ms or TIME.time_ms + position, position.to_bytes(16, "big"), json, source, id, offset)


def changes(*events: StoredEvent, bus: int = BUS, head: int | None = None, **more: Any) -> Changes:
    last = max((stored.position for stored in events), default=0)
    return Changes(bus, TIME, last if head is None else head, events=list(events), **more)


def record(number: int, **fields: Any) -> BusRecord:
    return BusRecord(number, "system" if number == 0 else f"bus{number}", f"i{number}", 1, **fields)


def founding(*numbers: int) -> Changes:
    """The system bus and the buses `numbers`."""
    return Changes(0, TIME, 0, buses=[record(0), *(record(number) for number in numbers)])


def rule(uid: int, *, status: Status = Status.LIVE, pattern: str = '{"type": ["t"]}', is_ordered: bool = False) -> RuleRecord:
    order = "key" if is_ordered else "none"
    return RuleRecord(uid, f"rule{uid}", uid, rule_document(pattern, order=order), status, 1, 2)


def rule_document(pattern: str, start: str = '"latest"', order: str = "none", target: str = "http") -> Rule:
    targets = {"http": '{"http": {"url": "http://127.0.0.1:9/"}}', "queue": '{"queue": {"max_leases": 3}}'}
    delivery = f'{{"order": "{order}", "max_attempts": 3}}'
    text = f'{{"pattern": {pattern}, "target": {targets[target]}, "start": {start}, "delivery": {delivery}}}'
    return parse(text.encode())[0]


def waiting(position: int, *, at_ms: int = 100, rule: int = RULE, run: int = 0, lane: int = 0) -> Delivery:
    return Delivery(rule, run, position, State.WAITING, at_ms, lane=lane)


def retrying(position: int, *, at_ms: int = 100, rule: int = RULE, run: int = 0) -> Delivery:
    return Delivery(rule, run, position, State.RETRYING, at_ms, 1, 1, 50, b'{"failure":"x"}')


def leased(position: int, *, at_ms: int = 100, rule: int = RULE, run: int = 0, lane: int = 0) -> Delivery:
    return Delivery(rule, run, position, State.LEASED, at_ms, 1, 1, 50, b'{"reason":"x"}', lane)


def blocked(position: int, *, at_ms: int = 100, rule: int = RULE, run: int = 0, lane: int = 5) -> Delivery:
    return Delivery(rule, run, position, State.BLOCKED, at_ms, lane=lane)


def dead(position: int, *, at_ms: int = 100, rule: int = RULE, run: int = 0, lane: int = 0) -> Delivery:
    return Delivery(rule, run, position, State.DEAD, at_ms, 3, 3, 0, b'{"reason":"age"}', lane)
