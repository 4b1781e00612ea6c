"""Replies: what targets answer pushes with, and that it enters the bus exactly once, and only as the answer that ends its delivery.

A target names the delivery in what it answers, so the audit knows of every event in a log what it replies to. It may say the same each time, or something new each
time, or something that is refused; and it answers again whenever it is pushed to again.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.changes import Changes, StoredEvent
from eventyard.core.delivery import Delivery, Key, State, delivery_id, parse_delivery_id
from eventyard.core.event import BATCHED, STRUCTURED
from tests.simulation.books import Books, Handed
from tests.simulation.documents import TYPES
from tests.simulation.ledger import BusLedger
from tests.simulation.world import World

SOURCE = "/target"
KINDS = ("own", "own", "fresh", "unnamed", "binary", "shared", "shared", "not-json", "reserved", "huge", "batch")
GOOD = frozenset({"own", "fresh", "unnamed", "binary"})


class Offer(msgspec.Struct, frozen=True):
    """What an answer brought. `kind` empty: nothing."""

    kind: str = ""
    headers: dict[str, str] = {}
    body: bytes = b""


class Repliers:
    """What targets reply. Half of them have nothing to say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = 0

    def offer(self, handed: Handed) -> Offer:
        rng = self._world.rng
        if rng.random() < 0.5:
            return Offer()
        uid, run, position = handed.key
        self._count += 1
        return self._make(rng.choice(KINDS), delivery_id(handed.incarnation, uid, position, run))

    def _make(self, kind: str, delivery: str) -> Offer:
        rng = self._world.rng
        told = {"answers": delivery, "n": sum(delivery.encode()) % 10, "kind": "xyz"[len(delivery) % 3]}
        attributes = {"specversion": "1.0", "source": f"{SOURCE}/{kind}", "type": TYPES[sum(delivery.encode()) % len(TYPES)]}
        match kind:
            case "not-json":
                return Offer(kind, {"content-type": STRUCTURED}, rng.choice((b"{", b"thanks", b'{"id": "1", "id": "2"}')))
            case "reserved":
                attributes["type"] = "io.eventyard.rule.deleted"
            case "huge":
                told["more"] = "x" * limits.REPLY_BYTES_MAX
        named = {"fresh": f"{delivery}:{self._count}", "shared": f"one-of-{rng.randint(1, 3)}"}.get(kind, f"{delivery}:own")
        if kind != "unnamed":
            attributes["id"] = named
        if kind == "binary":
            headers = {f"ce-{name}": value for name, value in attributes.items()}
            return Offer(kind, headers | {"content-type": "application/json"}, json.dumps(told).encode())
        body = json.dumps(attributes | {"data": told}).encode()
        return (
            Offer(kind, {"content-type": STRUCTURED}, body)
            if kind != "batch"
            else Offer(kind, {"content-type": BATCHED}, b"[" + body + b"]")
        )


# With every commit


def check_commit(bus: BusLedger, changes: Changes, hops_max: int) -> None:
    """A reply stands in the very commit that has its delivery delivered, names what it came of, and is no hop too far."""
    ended = {move.now.key for move in changes.moves if move.now.state is State.DELIVERED}
    for event in changes.events:
        document = bus.documents[event.position]
        hops = document.get("eventyardhops", 0)
        if hops > hops_max and not document["type"].startswith("io.eventyard."):
            bus.fail(f"event {event.position} has {hops} hops behind it, and {hops_max} may be")
        key = _answered(bus, document)
        if key is not None and not _is_known(bus, event):
            _check_caused(bus, document, key, ended)


def _answered(bus: BusLedger, document: Any) -> Key | None:
    """The delivery of this bus that an event replies to."""
    if not document["source"].startswith(SOURCE):
        return None
    parsed = parse_delivery_id(document["data"]["answers"])
    return parsed[1] if parsed is not None and parsed[0] == bus.record.incarnation else None


def _is_known(bus: BusLedger, event: StoredEvent) -> bool:
    """Whether it stood in the log before: then it may have come round over other buses, long after."""
    return any(_named(other) == _named(event) for at, other in bus.log.items() if at < event.position)


def _named(event: StoredEvent) -> tuple[str, str, bytes]:
    return event.source, event.id, event.digest


def _check_caused(bus: BusLedger, document: Any, key: Key, ended: set[Key]) -> None:
    if key not in ended:
        bus.fail(f"{document} is a reply to {key}, which this commit does not end: {bus.rows.get(key)}")
    cause = bus.documents[key[2]]
    wanted = {
        "causationid": cause["id"],
        "causationsource": cause["source"],
        "correlationid": cause.get("correlationid", cause["id"]),
        "eventyardhops": cause.get("eventyardhops", 0) + 1,
    }
    found = {name: document.get(name) for name in wanted}
    if found != wanted:
        bus.fail(f"a reply says that it came of {found}, and it came of {wanted}")


# At checkpoints


class Verdict(msgspec.Struct):
    """Of a rule: refused replies that the log has to tell of, those that it may, and those that it did."""

    sure: int = 0
    maybe: int = 0
    told: int = 0


def check_replies(bus: BusLedger, books: Books, hops_max: int, *, is_at_rest: bool) -> None:
    """Of each delivery that was delivered at most one reply is there, and exactly one where it was answered with one that is good.

    Of what becomes of the bus's own events nothing is told, not even that a loop was stopped.
    """
    entered = _entered(bus)
    stopped = {
        document["data"]["delivery"]
        for position, document in bus.documents.items()
        if document["type"] == bus_events.LOOP_STOPPED and bus.is_own(position) and document["data"]["made"] == "reply"
    }
    verdicts: dict[int, Verdict] = {}
    for row in bus.rows.values():
        cause = bus.documents[row.position]
        is_own = cause["type"].startswith("io.eventyard.")
        handed = books.handed.get((bus.record.incarnation, row.key), [])
        count = entered.get(row.key, 0)
        offers = [offer for one in handed if one.is_taken for offer in one.offers or [""]]
        identity = delivery_id(bus.record.incarnation, row.rule, row.position, row.run)
        is_stopped = identity in stopped or (is_own and cause.get("eventyardhops", 0) >= hops_max)
        if why := _why_not(row, offers, count, is_stopped=is_stopped):
            bus.fail(f"{why}: {row} was answered with {offers}, and {count} replies to it are in the log")
        if row.state is State.DELIVERED and not is_own:
            _count_refused(verdicts.setdefault(row.rule, Verdict()), offers, count, is_stopped=is_stopped)
    _check_told(bus, verdicts, is_at_rest=is_at_rest)


def _entered(bus: BusLedger) -> dict[Key, int]:
    seen: set[tuple[str, str, bytes]] = set()
    counts: dict[Key, int] = {}
    for position in range(1, bus.head + 1):
        event = bus.log[position]
        key = _answered(bus, bus.documents[position])
        if key is not None and _named(event) not in seen:
            counts[key] = counts.get(key, 0) + 1
        seen.add(_named(event))
    return counts


def _why_not(row: Delivery, offers: Iterable[str], count: int, *, is_stopped: bool) -> str:
    kinds = set(offers)
    if count > 1:
        return "more than one reply entered"
    if count and not kinds & (GOOD | {"shared"}):
        return "a reply entered that nobody gave"
    is_good = bool(kinds) and kinds <= GOOD
    if row.state is State.DELIVERED and is_good and not count and not is_stopped:
        return "a good reply is not there"
    return ""


def _count_refused(verdict: Verdict, offers: list[str], count: int, *, is_stopped: bool) -> None:
    kinds = set(offers)
    if count or is_stopped or not kinds or kinds <= GOOD:
        return
    is_sure = not kinds & (GOOD | {""})
    verdict.sure += is_sure
    verdict.maybe += not is_sure


def _check_told(bus: BusLedger, verdicts: dict[int, Verdict], *, is_at_rest: bool) -> None:
    for position, document in bus.documents.items():
        if document["type"] == bus_events.REPLY_REFUSED and bus.is_own(position):
            verdicts.setdefault(document["data"]["uid"], Verdict()).told += document["data"].get("count", 1)
    for uid, verdict in verdicts.items():
        is_gone = bus.rules[uid].is_deleted
        is_short = is_at_rest and not is_gone and verdict.told < verdict.sure
        if verdict.told > verdict.sure + verdict.maybe or is_short:
            bus.fail(f"refused replies of rule {uid} are told otherwise than they came: {verdict}")
