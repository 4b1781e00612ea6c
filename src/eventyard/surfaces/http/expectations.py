"""Expectations: PUT, GET and DELETE of one, the list, and what one has open."""

from typing import Any

import msgspec

from eventyard.bus.expectations import ExpectationStatus, ExpectedKey
from eventyard.core.expectation_document import Emit, Expectation
from eventyard.surfaces.http import emitters
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.emitters import KeysQuery
from eventyard.surfaces.http.rules import RulesQuery, version_of
from eventyard.surfaces.http.schemas import PatternText, Time
from eventyard.surfaces.http.times import rfc3339

ExpectationDocument: Any = emitters.document("ExpectationDocument", Expectation, {"after": PatternText, "expect": PatternText})


class ExpectationState(msgspec.Struct, frozen=True):
    """`uid` is the position of the event that records its creation, `version` that of its last change. `judging`: after a change, keys are
    still being judged anew.

    `keys`: of how many something is kept, of which `open` wait; the others are missed and may be late yet. Counted since it was created: what was `opened`,
    `met`, `missed` and `late`; events that were `repeated` (an `after` of what is open), `unexpected` (an `expect` of what is not), `unkeyed`
    (without a key that can be one), past `max_keys` or `failed` (too costly to judge); what was `withdrawn` by a change, what was missed and is
    `forgotten`; tellings that were `put_off` for the sake of `max_missed_per_s`, and those that were `stopped`, not told, for too many hops lie
    behind what they come of.
    """

    uid: int
    version: int
    created: Time
    changed: Time
    judging: bool
    keys: int
    open: int
    opened: int
    met: int
    missed: int
    late: int
    repeated: int
    unexpected: int
    unkeyed: int
    over_max_keys: int
    failed: int
    withdrawn: int
    forgotten: int
    put_off: int
    stopped: int


class ExpectationAnswer(msgspec.Struct, frozen=True):
    """An expectation's document as it is in force, every default written out, its name and what was counted of it."""

    name: str
    after: PatternText
    expect: PatternText
    within_s: float
    emit: Emit
    key: str
    late_for_s: float | None
    max_keys: int
    max_missed_per_s: float
    description: str
    owner: str
    state: ExpectationState


class ExpectationsAnswer(msgspec.Struct, frozen=True):
    """By name. `next` given as `after` continues."""

    expectations: list[ExpectationAnswer]
    next: str | None


class OpenedBy(msgspec.Struct, frozen=True):
    """The event that opened it, and when that was accepted."""

    position: int
    source: str
    id: str
    type: str
    accepted: Time


class ExpectedKeyAnswer(msgspec.Struct, frozen=True):
    """What is kept of a key. `state`: open or missed. `after`: the event that opened it. `ends`: when it is missed; once it is, when it cannot be
    late any more.
    """

    key: str
    state: str
    after: OpenedBy
    ends: Time


class ExpectedKeysAnswer(msgspec.Struct, frozen=True):
    """By key. `next` given as `after` continues."""

    keys: list[ExpectedKeyAnswer]
    next: str | None


async def put_expectation(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["expectation"]
    put = await call.yard.put_expectation(bus, name, call.body, principal=call.principal, version=version_of(call.headers))
    return _tagged(call.yard.expectation(bus, name), 201 if put.is_created else 200)


async def expectation(call: Call[NoFields]) -> Answer:
    return _tagged(call.yard.expectation(call.path["bus"], call.path["expectation"]))


async def delete_expectation(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["expectation"]
    await call.yard.delete_expectation(bus, name, principal=call.principal, version=version_of(call.headers))
    return Answer(204)


def _tagged(status: ExpectationStatus, code: int = 200) -> Answer:
    return emitters.tagged(status.record, _shown(status), code)


async def expectations(call: Call[RulesQuery]) -> Answer:
    found = call.yard.expectations(call.path["bus"], after=call.query.after, limit=call.query.limit + 1)
    page = [_shown(status) for status in found[: call.query.limit]]
    return json_answer(ExpectationsAnswer(page, page[-1].name if len(found) > len(page) else None))


async def expectation_keys(call: Call[KeysQuery]) -> Answer:
    bus, name, query = call.path["bus"], call.path["expectation"], call.query
    found = await call.yard.expectation_keys(bus, name, after=query.after, limit=query.limit + 1)
    page = [_shown_key(key) for key in found[: query.limit]]
    return json_answer(ExpectedKeysAnswer(page, page[-1].key if len(found) > len(page) else None))


async def expectation_key(call: Call[NoFields]) -> Answer:
    found = await call.yard.expectation_key(call.path["bus"], call.path["expectation"], call.path["of"])
    return json_answer(_shown_key(found))


def _shown(status: ExpectationStatus) -> ExpectationAnswer:
    document = {name: getattr(status.expectation, name) for name in Expectation.__struct_fields__}
    state = emitters.state(ExpectationState, status.record, status.counts)
    return ExpectationAnswer(name=status.record.name, **document, state=state)


def _shown_key(found: ExpectedKey) -> ExpectedKeyAnswer:
    opened, accepted = found.state.opened, rfc3339(found.state.opened_ms)
    after = OpenedBy(opened.position, opened.source, opened.id, opened.type, accepted)
    return ExpectedKeyAnswer(found.key, found.state.phase.name.lower(), after, rfc3339(found.ends_ms))
