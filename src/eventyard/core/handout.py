"""What a server and a worker tell each other: deliveries to push one way (a hand-out), verdicts on them the other (a report).

MessagePack, because it carries the bytes of an event as they are stored, with nothing to escape, and is read in one go. A rule's
record and a bus's name stand once in a hand-out, however many of its deliveries belong to them; a record goes without its pattern and
what people say of it, which no push needs.

Both sides are of one version: this is no interface for others, and it may change with any version.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, NamedTuple

import msgspec

from eventyard.core import limits, reply
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.commands import Lease, Settlement
from eventyard.core.delivery import Delivery, Note, State
from eventyard.core.errors import InvalidRequest, SecretLost
from eventyard.core.reply import RefusedReply, Reply, StoppedLoop
from eventyard.core.rule import RuleRecord
from eventyard.core.rule_secrets import Place as SecretPlace
from eventyard.core.rule_secrets import with_secrets
from eventyard.core.secret import Secret, context
from eventyard.core.verdict import Delivered, PushVerdict

CONTENT_TYPE = "application/msgpack"

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


Place = Annotated[int, msgspec.Meta(ge=0)]


class Given(msgspec.Struct, frozen=True, array_like=True):
    """One leased delivery. `rule` is the place of its record in the hand-out, `ends_ms` the work time at which the lease ends."""

    rule: Place
    run: int
    position: int
    ends_ms: int
    attempts: int
    leases: int
    first_ms: int
    is_replayed: bool
    event: bytes


class OfRule(msgspec.Struct, frozen=True, array_like=True):
    """The record of a rule, as JSON, and the place of its bus in the hand-out."""

    bus: Place
    record: bytes


class OfBus(msgspec.Struct, frozen=True, array_like=True):
    number: int
    name: str
    incarnation: str


class Handout(msgspec.Struct, frozen=True, array_like=True):
    """Deliveries of any rules, and bus time when it was written."""

    time_ms: int
    work_ms: int
    buses: list[OfBus]
    rules: list[OfRule]
    given: list[Given]


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """A verdict on one lease of a delivery."""

    rule: Number
    run: Number
    position: Number
    lease: Number
    verdict: PushVerdict


class Verdicts(msgspec.Struct, frozen=True, array_like=True):
    """Verdicts on deliveries of one bus, in the incarnation that leased them."""

    bus: str
    incarnation: str
    settled: list[Settled]


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What came of pushes, and how many deliveries more are taken at once, if there are any."""

    room: Annotated[int, msgspec.Meta(ge=0, le=limits.WORKER_RECEIVE_MAX)]
    by_bus: list[Verdicts]


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a report: for each bus and verdict, in its order, None where it counts and else why not in a word; and a hand-out."""

    results: list[list[str | None]]
    handout: Handout


class Taken(NamedTuple):
    """A hand-out, read: what is to push, by bus."""

    time: BusTime
    leases: list[tuple[BusRecord, list[Lease]]]


# Deliveries


class Records:
    """Records of rules as they are handed out, each encoded once. A worker has no key file: what is secret goes to it in clear."""

    def __init__(self, open_secret: Callable[[str, str], str] | None = None) -> None:
        self._open_secret = open_secret
        self._known: dict[tuple[int, int], tuple[RuleRecord, bytes]] = {}

    def encode(self, bus: BusRecord, record: RuleRecord) -> bytes:
        known = self._known.get((bus.number, record.uid))
        if known is None or known[0] is not record:
            if len(self._known) >= limits.HANDOUT_RECORDS_MAX:
                self._known.clear()
            known = self._known[bus.number, record.uid] = (record, _encode_record(self._opened(bus, record)))
        return known[1]

    def _opened(self, bus: BusRecord, record: RuleRecord) -> RuleRecord:
        open_secret = self._open_secret
        if open_secret is None:
            return record

        def opened(place: SecretPlace, sealed: Secret) -> Secret:
            try:
                return Secret(open_secret(sealed.secret or "", context(bus.name, record.name, place.name)))
            except SecretLost:
                return sealed  # The worker says of each push that it cannot be sent.

        return msgspec.structs.replace(record, rule=with_secrets(record.rule, opened))


def _encode_record(record: RuleRecord) -> bytes:
    rule = msgspec.structs.replace(record.rule, pattern=_NO_PATTERN, description="", owner="")
    return msgspec.json.encode(msgspec.structs.replace(record, rule=rule))


_NO_PATTERN = msgspec.Raw(b"{}")


def encode(time: BusTime, granted: Iterable[tuple[BusRecord, Lease]], records: Records) -> bytes:
    return _ENCODER.encode(_handout(time, granted, records))


def encode_receipt(
    results: list[list[str | None]], time: BusTime, granted: Iterable[tuple[BusRecord, Lease]], records: Records
) -> bytes:
    return _ENCODER.encode(Receipt(results, _handout(time, granted, records)))


def _handout(time: BusTime, granted: Iterable[tuple[BusRecord, Lease]], records: Records) -> Handout:
    buses: dict[int, tuple[int, OfBus]] = {}
    rules: dict[tuple[int, int], tuple[int, OfRule]] = {}
    given: list[Given] = []
    for bus, lease in granted:
        delivery = lease.delivery
        key = (bus.number, delivery.rule)
        rule = rules.get(key)
        if rule is None:
            place, _ = buses.setdefault(bus.number, (len(buses), OfBus(bus.number, bus.name, bus.incarnation)))
            rule = rules[key] = (len(rules), OfRule(place, records.encode(bus, lease.record)))
        given.append(
            Given(
                rule[0],
                delivery.run,
                delivery.position,
                delivery.at_ms,
                delivery.attempts,
                delivery.leases,
                delivery.first_ms,
                lease.is_replayed,
                lease.event,
            )
        )
    return Handout(time.time_ms, time.work_ms, [bus for _, bus in buses.values()], [rule for _, rule in rules.values()], given)


_ENCODER = msgspec.msgpack.Encoder()


class Reader:
    """Reads hand-outs. A record that it has read before is not read again."""

    def __init__(self) -> None:
        self._records: dict[bytes, RuleRecord] = {}

    def read(self, body: bytes) -> Taken:
        """ValueError where it is no hand-out of this version."""
        try:
            return self._taken(_HANDOUT.decode(body))
        except (msgspec.MsgspecError, LookupError) as error:
            raise ValueError(f"it cannot be read: {error}") from error

    def read_receipt(self, body: bytes) -> tuple[list[list[str | None]], Taken]:
        """As `read`."""
        try:
            receipt = _RECEIPT.decode(body)
            return receipt.results, self._taken(receipt.handout)
        except (msgspec.MsgspecError, LookupError) as error:
            raise ValueError(f"it cannot be read: {error}") from error

    def _taken(self, handout: Handout) -> Taken:
        buses = [BusRecord(bus.number, bus.name, bus.incarnation, 0) for bus in handout.buses]
        records = [self._record(rule.record) for rule in handout.rules]
        by_rule: list[list[Lease]] = [[] for _ in records]
        for given in handout.given:
            by_rule[given.rule].append(_lease(given, records[given.rule]))
        leases = [(buses[rule.bus], of_rule) for rule, of_rule in zip(handout.rules, by_rule, strict=True)]
        return Taken(BusTime(handout.time_ms, handout.work_ms), leases)

    def _record(self, text: bytes) -> RuleRecord:
        record = self._records.get(text)
        if record is None:
            if len(self._records) >= limits.HANDOUT_RECORDS_MAX:
                self._records.clear()
            record = self._records[text] = msgspec.json.decode(text, type=RuleRecord)
        return record


def _lease(given: Given, record: RuleRecord) -> Lease:
    delivery = Delivery(
        record.uid, given.run, given.position, State.LEASED, given.ends_ms, given.attempts, given.leases, given.first_ms
    )
    return Lease(delivery, given.event, record, is_replayed=given.is_replayed)


_HANDOUT = msgspec.msgpack.Decoder(Handout)
_RECEIPT = msgspec.msgpack.Decoder(Receipt)


# Verdicts


def encode_report(room: int, by_bus: Sequence[tuple[BusRecord, Sequence[Settlement]]]) -> bytes:
    verdicts = [Verdicts(bus.name, bus.incarnation, [_settled(each) for each in settlements]) for bus, settlements in by_bus]
    return _ENCODER.encode(Report(room, verdicts))


def _settled(settlement: Settlement) -> Settled:
    rule, run, position = settlement.key
    return Settled(rule, run, position, settlement.lease, settlement.verdict)  # type: ignore[arg-type]  # of a push


def read_report(body: bytes) -> Report:
    """`InvalidRequest` where it is none of this version, or has too many verdicts or too long ones."""
    try:
        report = _REPORT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{error}", wanted="a report as a worker of this server's version sends it") from None
    count = sum(len(of_bus.settled) for of_bus in report.by_bus)
    if count > limits.PUSHES_UNDER_WAY_MAX:
        raise InvalidRequest(f"found {count} verdicts", wanted=f"at most {limits.PUSHES_UNDER_WAY_MAX}")
    for number, of_bus in enumerate(report.by_bus):
        for index, settled in enumerate(of_bus.settled):
            verdict = settled.verdict
            if verdict.note.line or not isinstance(verdict, Delivered):  # Else nothing is kept but that it was delivered.
                _check_note(verdict.note, f"/1/{number}/2/{index}/4")
    return msgspec.structs.replace(report, by_bus=[_with_replies_read(of_bus) for of_bus in report.by_bus])


def _with_replies_read(of_bus: Verdicts) -> Verdicts:
    """What a worker says is an event is read here once more."""
    if not any(isinstance(settled.verdict, Delivered) and settled.verdict.reply for settled in of_bus.settled):
        return of_bus
    return msgspec.structs.replace(of_bus, settled=[_with_reply_read(settled) for settled in of_bus.settled])


def _with_reply_read(settled: Settled) -> Settled:
    match settled.verdict:
        case Delivered(note, Reply() as given):
            return msgspec.structs.replace(settled, verdict=Delivered(note, reply.check(given)))
        case Delivered(note, RefusedReply(code, detail)):
            cut = RefusedReply(code[: limits.NAME_LENGTH_MAX], detail[: limits.FAILURE_TOLD_CHARACTERS])
            return msgspec.structs.replace(settled, verdict=Delivered(note, cut))
        case Delivered(note, StoppedLoop()):  # No worker brings anything to another bus.
            return msgspec.structs.replace(settled, verdict=Delivered(note))
    return settled


_REPORT = msgspec.msgpack.Decoder(Report)


def _check_note(note: Note, at: str) -> None:
    """It is kept with the delivery and shown again."""
    size = len(note.reason) + len(note.failure) + len(note.answer) + len(note.by) + len(note.line)
    if size > limits.NOTE_CHARACTERS_MAX:
        raise InvalidRequest(f"found a note of {size} characters", wanted=f"at most {limits.NOTE_CHARACTERS_MAX}", at=at)
    if not 0 <= note.at_ms <= limits.NOTE_AT_MS_MAX or not 0 <= note.status <= 599:
        raise InvalidRequest(f"found a note of {note.at_ms} ms with status {note.status}", wanted="a time and a status", at=at)


def settlements(settled: Sequence[Settled]) -> list[Settlement]:
    return [Settlement((each.rule, each.run, each.position), each.lease, each.verdict) for each in settled]
