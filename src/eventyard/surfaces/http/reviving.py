"""What is done about dead letters: redrive, a trial on another target, purge, and skip."""

from typing import Annotated

import msgspec

from eventyard.bus.dead_letters import Trial
from eventyard.core import document, limits
from eventyard.core.changes import ALL_DEAD, Filter
from eventyard.core.errors import InvalidRequest
from eventyard.core.target import HttpTarget
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.dead_letters import DeathFilter, read_lane
from eventyard.surfaces.http.schemas import KeyText

Ids = Annotated[list[str], msgspec.Meta(min_length=1, max_length=limits.REDRIVE_IDS_MAX)]
Keys = Annotated[list[KeyText], msgspec.Meta(min_length=1, max_length=limits.REDRIVE_IDS_MAX)]
PerSecond = Annotated[float, msgspec.Meta(ge=limits.REPLAY_PER_S_MIN, le=limits.REPLAY_PER_S_MAX)]


class TrialTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target that pushes, as a rule's."""

    http: HttpTarget


class Redrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of: some by their `ids`, `all` that are dead now, or those of them that `filter` means.

    `dry_run` counts them and does nothing. `target` tries the first 20 of them there instead and leaves them as they are.
    `out_of_order` puts what was skipped back too, by `ids`.
    """

    ids: Ids | None = None
    all: bool = False
    filter: DeathFilter | None = None
    dry_run: bool = False
    per_s: PerSecond | None = None
    out_of_order: bool = False
    target: TrialTarget | None = None


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As `Redrive` names them. `parked` takes what waits behind each too, by `ids`."""

    ids: Ids | None = None
    all: bool = False
    filter: DeathFilter | None = None
    dry_run: bool = False
    parked: bool = False


class Skip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either dead letters by their `ids`, or `keys` whose dead heads are meant."""

    ids: Ids | None = None
    keys: Keys | None = None


class MovedAnswer(msgspec.Struct, frozen=True):
    """`position` is that of the event that records the request. `moved` went at once; the rest follows while `running`."""

    position: int
    moved: int
    running: bool


class CountAnswer(msgspec.Struct, frozen=True):
    """A dry run: how many it would be now."""

    count: int


class TrialAnswer(msgspec.Struct, frozen=True):
    """What the other target said: an HTTP status (0: nothing, and `failure` says why) and the start of its body."""

    id: str
    status: int
    failure: str
    body: str
    elapsed_s: float


class TrialsAnswer(msgspec.Struct, frozen=True):
    """By position."""

    results: list[TrialAnswer]


async def redrive(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Redrive, InvalidRequest)
    meant = _meant(asked)
    if asked.out_of_order and asked.ids is None:
        raise _only_by_ids("out_of_order")
    if asked.dry_run:
        return await _count(call, asked, meant, is_skipped_too=asked.out_of_order)
    if asked.target is not None:
        return await _try(call, asked, meant, asked.target.http)
    done = await call.yard.redrive(
        *_rule(call),
        asked.ids,
        meant=meant,
        per_s=asked.per_s or 0.0,
        is_out_of_order=asked.out_of_order,
        principal=call.principal,
    )
    return json_answer(MovedAnswer(done.position, done.moved, done.is_running), 202)


async def purge(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Purge, InvalidRequest)
    meant = _meant(asked)
    if asked.parked and asked.ids is None:
        raise _only_by_ids("parked")
    if asked.dry_run:
        return await _count(call, asked, meant, is_parked_too=asked.parked)
    done = await call.yard.purge(*_rule(call), asked.ids, meant=meant, is_parked_too=asked.parked, principal=call.principal)
    return json_answer(MovedAnswer(done.position, done.moved, done.is_running), 202)


async def skip(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Skip, InvalidRequest)
    if (asked.ids is None) == (asked.keys is None):
        found = "found neither ids nor keys" if asked.ids is None else "found both ids and keys"
        raise InvalidRequest(found, wanted='{"ids": ["..."]} or {"keys": ["..."]}', at="/ids")
    lanes = [read_lane(key, at=f"/keys/{index}") for index, key in enumerate(asked.keys or [])]
    done = await call.yard.skip(*_rule(call), asked.ids or [], lanes, principal=call.principal)
    return json_answer(MovedAnswer(done.position, done.moved, done.is_running), 202)


async def _count(
    call: Call[NoFields], asked: Redrive | Purge, meant: Filter, *, is_skipped_too: bool = False, is_parked_too: bool = False
) -> Answer:
    count = await call.yard.count_dead_letters(
        *_rule(call), asked.ids, meant=meant, is_skipped_too=is_skipped_too, is_parked_too=is_parked_too
    )
    return json_answer(CountAnswer(count))


async def _try(call: Call[NoFields], asked: Redrive, meant: Filter, target: HttpTarget) -> Answer:
    if asked.per_s is not None or asked.out_of_order:
        raise InvalidRequest("found a trial with a rate or out of order", wanted='"target" without them', at="/target")
    if asked.ids is not None and len(asked.ids) > limits.TRIAL_LETTERS_MAX:
        raise InvalidRequest(f"found {len(asked.ids)} ids", wanted=f"at most {limits.TRIAL_LETTERS_MAX} to try", at="/ids")
    trials = await call.yard.try_on(*_rule(call), target, asked.ids, meant=meant)
    return json_answer(TrialsAnswer([_tried(trial) for trial in trials]))


def _tried(trial: Trial) -> TrialAnswer:
    said = trial.answer
    body = said.body[: limits.ANSWER_KEPT_BYTES].decode("utf-8", "replace")
    return TrialAnswer(trial.letter.id, said.status, said.failure, body, round(said.elapsed_s, 3))


def _rule(call: Call[NoFields]) -> tuple[str, str]:
    return call.path["bus"], call.path["rule"]


def _meant(asked: Redrive | Purge) -> Filter:
    """Which ones, where they are not named. Exactly one way of saying so is taken."""
    given = [asked.ids is not None, asked.all, asked.filter is not None]
    if sum(given) != 1:
        found = "found " + (
            " and ".join(name for name, is_given in zip(_WAYS, given, strict=True) if is_given) or "no dead letters"
        )
        raise InvalidRequest(found, wanted='{"ids": ["..."]}, {"all": true} or {"filter": {"reason": "..."}}', at="/ids")
    return ALL_DEAD if asked.filter is None else asked.filter.read("/filter")


_WAYS = ("ids", "all", "filter")


def _only_by_ids(field: str) -> InvalidRequest:
    return InvalidRequest(f"found {field} without ids", wanted="the ids of those that are meant", at=f"/{field}")
