"""Rules: PUT, GET and DELETE of one, the list, where its queue stands, pause and resume."""

import re
from typing import Annotated, Any

import msgspec

from eventyard.core.errors import InvalidRequest
from eventyard.core.handshake import Heard
from eventyard.core.rule import DeliveryPolicy, RuleRecord, StartPosition
from eventyard.core.rule_secrets import shown
from eventyard.core.target import Target
from eventyard.history import ProtectionStatus, RuleStatus
from eventyard.surfaces.http.buses import read_nothing
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import PatternText, Time
from eventyard.surfaces.http.times import rfc3339


class RuleState(msgspec.Struct, frozen=True):
    """`uid` is the position of the event that records the rule's creation, `version` that of its last change, `run` that of its last seek (0: none)."""

    status: str
    paused: bool
    uid: int
    version: int
    run: int
    created: Time
    changed: Time


IfMatch = Annotated[
    str, msgspec.Meta(pattern=r'^"[1-9][0-9]{0,15}"$', description="The version that the caller saw, as its ETag")
]
IfNoneMatch = Annotated[str, msgspec.Meta(pattern=r"^\*$", description="Only where there is none")]
CONDITIONS = {"if-match": IfMatch, "if-none-match": IfNoneMatch}


class RuleAnswer(msgspec.Struct, frozen=True):
    """A rule's document as it is in force, every default written out, its name and where it stands."""

    name: str
    pattern: PatternText
    target: Target
    start: Annotated[Any, msgspec.Meta(description='"latest", "earliest", "resume", {"position": n} or {"time": "..."}')]
    delivery: DeliveryPolicy
    replay: str
    description: str
    owner: str
    state: RuleState


class RulePutAnswer(RuleAnswer, frozen=True):
    """As `RuleAnswer`; `warnings`, where there are any, say how the rule may feed itself, in sentences."""

    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class RulesAnswer(msgspec.Struct, frozen=True):
    """By name. `next` given as `after` continues."""

    rules: list[RuleAnswer]
    next: str | None


class HandshakeAnswer(msgspec.Struct, frozen=True):
    """`state`: `given`, `refused` (and `why`), or `asking`, not answered yet. `asked`: when last. `rate_per_minute`: requests that the target allows, null for any."""

    state: str
    asked: str | None
    rate_per_minute: int | None
    why: str


class ProtectionAnswer(msgspec.Struct, frozen=True):
    """`breaker`: closed, open, half-open or recovering, null where the rule has none; open until `until` at least. `waits_for`: what keeps what is
    due from going, until `waits_until`: handshake, breaker, slow-start, retry-after, rate or host. `concurrency`, `rate_per_s`: what is allowed now. `handshake`: null
    where the target is not asked.
    """

    breaker: str | None
    until: str | None
    waits_for: str | None
    waits_until: str | None
    concurrency: int
    rate_per_s: float | None
    handshake: HandshakeAnswer | None


class StatusAnswer(msgspec.Struct, frozen=True):
    """How many of the rule's deliveries are in each state. `backfill_position` is what a late rule reads next, null when live.

    `pending`: waiting, retrying, leased and blocked; `lag`: these and what was not even put for it yet. `blocked` wait behind another of their key, of these `parked` behind a dead one; so many keys
    are parked. `failing`: the last attempt to deliver anything failed. `redriving`, `purging`: a redrive or purge of
    many dead letters is still being carried out.
    """

    name: str
    status: str
    paused: bool
    failing: bool
    failing_since: str | None
    run: int
    lag: int
    pending: int
    oldest_position: int | None
    oldest_age_s: float | None
    waiting: int
    retrying: int
    leased: int
    blocked: int
    parked: int
    parked_keys: int
    delivered: int
    dead: int
    discarded: int
    backfill_position: int | None
    redriving: bool
    purging: bool
    protection: ProtectionAnswer


class StatusesAnswer(msgspec.Struct, frozen=True):
    """By name. `next` given as `after` continues."""

    statuses: list[StatusAnswer]
    next: str | None


class RulesQuery(msgspec.Struct, frozen=True):
    """Rules whose names come after `after`."""

    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


async def put_rule(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["rule"]
    put = await call.yard.put_rule(
        bus,
        name,
        call.body,
        principal=call.principal,
        version=version_of(call.headers),
        check_forward=call.caller.check_forward,
    )
    told = call.yard.rule_warnings(bus, put.record)
    answer = RulePutAnswer(**msgspec.structs.asdict(shown_rule(put.record)), warnings=told or msgspec.UNSET)
    return tagged(json_answer(answer, 201 if put.is_created else 200), put.record.version)


async def rule(call: Call[NoFields]) -> Answer:
    return _tagged(call.yard.rule(call.path["bus"], call.path["rule"]))


async def delete_rule(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["rule"]
    await call.yard.delete_rule(bus, name, principal=call.principal, version=version_of(call.headers))
    return Answer(204)


def _tagged(record: RuleRecord, status: int = 200) -> Answer:
    """With the version as an entity tag, which `If-Match` takes."""
    return tagged(json_answer(shown_rule(record), status), record.version)


def tagged(told: Answer, version: int) -> Answer:
    return msgspec.structs.replace(told, headers=((b"etag", f'"{version}"'.encode()),))


def version_of(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Which version the caller saw: 0 for none at all, None where it does not say. A condition that is not understood is never passed over."""
    said: int | None = None
    for name, value in headers:
        text = value.strip()
        if name == b"if-match" and said is None and (match := _TAG.match(text)):
            said = int(match[1])
        elif name == b"if-none-match" and said is None and text == b"*":
            said = 0
        elif name in {b"if-match", b"if-none-match"}:
            wanted = '"*", alone' if name == b"if-none-match" else "one version in double quotes, as an ETag has it, alone"
            raise InvalidRequest(f'found "{text[:60].decode("latin-1")}"', wanted=wanted, at=f"header {name.decode()}")
    return said


_TAG = re.compile(rb'"([1-9][0-9]{0,15})"\Z')


async def rules(call: Call[RulesQuery]) -> Answer:
    records = call.yard.rules(call.path["bus"], after=call.query.after, limit=call.query.limit + 1)
    page = records[: call.query.limit]
    is_end = len(page) == len(records)
    return json_answer(RulesAnswer([shown_rule(record) for record in page], None if is_end else page[-1].name))


async def status(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["rule"]
    return json_answer(_shown_status(call.yard.rule(bus, name), await call.yard.status(bus, name)))


async def statuses(call: Call[RulesQuery]) -> Answer:
    query = call.query
    found = await call.yard.statuses(call.path["bus"], after=query.after, limit=query.limit + 1)
    page = [_shown_status(record, queue) for record, queue in found[: query.limit]]
    return json_answer(StatusesAnswer(page, page[-1].name if len(found) > len(page) else None))


def _shown_status(record: RuleRecord, queue: RuleStatus) -> StatusAnswer:
    return StatusAnswer(
        name=record.name,
        status=record.status,
        paused=record.is_paused,
        failing=queue.failing_since_ms is not None,
        failing_since=None if queue.failing_since_ms is None else rfc3339(queue.failing_since_ms),
        run=record.run,
        lag=queue.lag,
        pending=queue.waiting + queue.retrying + queue.leased + queue.blocked,
        oldest_position=queue.oldest_position,
        oldest_age_s=None if queue.oldest_age_ms is None else queue.oldest_age_ms / 1000,
        waiting=queue.waiting,
        retrying=queue.retrying,
        leased=queue.leased,
        blocked=queue.blocked,
        parked=queue.parked,
        parked_keys=queue.parked_keys,
        delivered=queue.delivered,
        dead=queue.dead,
        discarded=queue.discarded,
        backfill_position=queue.backfill_position,
        redriving=queue.is_redriving,
        purging=queue.is_purging,
        protection=_shown_protection(record, queue.protection),
    )


def _shown_protection(record: RuleRecord, found: ProtectionStatus) -> ProtectionAnswer:
    return ProtectionAnswer(
        breaker=found.breaker,
        until=None if found.until_ms is None else rfc3339(found.until_ms),
        waits_for=found.waits_for,
        waits_until=None if found.waits_until_ms is None else rfc3339(found.waits_until_ms),
        concurrency=found.concurrency,
        rate_per_s=found.rate_per_s,
        handshake=_shown_handshake(found.heard) if record.is_asked else None,
    )


def _shown_handshake(heard: Heard | None) -> HandshakeAnswer:
    if heard is None:
        return HandshakeAnswer("asking", None, None, "")
    state = "given" if heard.is_given else "refused"
    return HandshakeAnswer(state, rfc3339(heard.asked_ms), heard.rate_per_minute, heard.why)


async def pause(call: Call[NoFields]) -> Answer:
    return await _set_paused(call, is_paused=True)


async def resume(call: Call[NoFields]) -> Answer:
    return await _set_paused(call, is_paused=False)


async def _set_paused(call: Call[NoFields], *, is_paused: bool) -> Answer:
    read_nothing(call.body)
    bus, name = call.path["bus"], call.path["rule"]
    return json_answer(shown_rule(await call.yard.set_paused(bus, name, is_paused=is_paused, principal=call.principal)))


def shown_rule(record: RuleRecord) -> RuleAnswer:
    document = shown(record.rule)
    return RuleAnswer(
        name=record.name,
        pattern=document.pattern,
        target=document.target,
        start=_start(document.start),
        delivery=document.delivery,
        replay=document.replay,
        description=document.description,
        owner=document.owner,
        state=RuleState(
            status=record.status,
            paused=record.is_paused,
            uid=record.uid,
            version=record.version,
            run=record.run,
            created=rfc3339(record.created_ms),
            changed=rfc3339(record.changed_ms),
        ),
    )


def _start(start: str | StartPosition | None) -> Any:
    if isinstance(start, StartPosition):
        return {name: value for name, value in msgspec.structs.asdict(start).items() if value is not None}
    return start
