"""Replying: what a step makes of the reply to a push, beside the verdict that it came with.

The reply is appended in the very step that ends its delivery as delivered, so it is there once or not at all, whatever crashes when. One that
is refused leaves the delivery delivered, for the target has done its work, and is told in the log, a few by themselves and then in sums; unless its delivery is of an event of the
bus's own, of which nothing is told.
"""

from collections.abc import Sequence

import msgspec

from eventyard.core import bus_events, limits, publishing
from eventyard.core.bus_events import LoopStopped, Named, ReplyRefused
from eventyard.core.commands import Settlement
from eventyard.core.delivery import Delivery, delivery_id
from eventyard.core.draft import Draft
from eventyard.core.errors import Refused, TooManyHops
from eventyard.core.event import RESERVED_TYPES
from eventyard.core.health import Health
from eventyard.core.reply import RefusedReply, Reply, ReplyOutcome, StoppedLoop, refusal
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Delivered


def prefetch(draft: Draft, settlements: Sequence[Settlement]) -> bool:
    """Ask the engine once which ids of the replies it knows. Whether there are any."""
    replies = [settlement.verdict.reply for settlement in settlements if isinstance(settlement.verdict, Delivered)]
    ids = [(reply.event.source, reply.event.id) for reply in replies if isinstance(reply, Reply)]
    if ids:
        draft.find_ids(ids)
    return bool(ids)


def take(draft: Draft, delivery: Delivery, record: RuleRecord, reply: Reply | RefusedReply | StoppedLoop) -> None:
    """Append the reply to a delivery that this step ends, or tell why not."""
    draft.replies.append((record.uid, _take(draft, delivery, record, reply)))


def _take(draft: Draft, delivery: Delivery, record: RuleRecord, reply: Reply | RefusedReply | StoppedLoop) -> ReplyOutcome:
    if isinstance(reply, StoppedLoop):
        _tell_stopped(draft, delivery, record, reply.made)
        return ReplyOutcome.STOPPED
    if isinstance(reply, RefusedReply):
        _tell_refused(draft, delivery, record, reply)
        return ReplyOutcome.REFUSED
    answer = publishing.known(draft, reply.event) or publishing.place(draft, reply.event, cause=delivery.position)
    match answer:
        case TooManyHops():
            _tell_stopped(draft, delivery, record, "reply")
            return ReplyOutcome.STOPPED
        case Refused():
            _tell_refused(draft, delivery, record, refusal(answer))
            return ReplyOutcome.REFUSED
    return ReplyOutcome.DUPLICATE if answer.is_duplicate else ReplyOutcome.ACCEPTED


def _tell_refused(draft: Draft, delivery: Delivery, record: RuleRecord, refused: RefusedReply) -> None:
    event = named(draft, delivery.position)
    if not event.type.startswith(RESERVED_TYPES):
        health = _with_one_more(draft, draft.health.get(record.uid) or Health(record.uid), delivery.position)
        draft.health.set(health)
        if not health.refused:
            told = ReplyRefused(record.name, record.uid, 1, _id(draft, delivery), event, refused.code, refused.detail)
            _tell(draft, bus_events.REPLY_REFUSED, delivery, told)


def _with_one_more(draft: Draft, health: Health, position: int) -> Health:
    """A refused reply more: told by itself while that may be, else counted until the interval is over (`trouble`)."""
    work_ms = draft.time.work_ms
    if not health.refused and work_ms >= health.refused_ends_ms:
        health = msgspec.structs.replace(health, refused_ms=work_ms, refused_singles=0)
    if not health.refused and health.refused_singles < limits.REPLIES_REFUSED_TOLD_EACH:
        return msgspec.structs.replace(health, refused_singles=health.refused_singles + 1)
    return msgspec.structs.replace(
        health,
        refused=health.refused + 1,
        refused_first=min(health.refused_first or position, position),
        refused_last=max(health.refused_last, position),
        refused_since_ms=health.refused_since_ms or draft.time.time_ms,
    )


def _tell_stopped(draft: Draft, delivery: Delivery, record: RuleRecord, made: str) -> None:
    event = named(draft, delivery.position)
    if not event.type.startswith(RESERVED_TYPES):
        cause = draft.cause(delivery.position)
        hops = 0 if cause is None else cause.hops + 1
        told = LoopStopped(record.name, record.uid, _id(draft, delivery), event, made, hops, draft.hops_max)
        _tell(draft, bus_events.LOOP_STOPPED, delivery, told)


def _tell(draft: Draft, kind: str, delivery: Delivery, told: ReplyRefused | LoopStopped) -> None:
    draft.append_bus_event(kind, told.name, msgspec.to_builtins(told), cause=delivery.position)


def _id(draft: Draft, delivery: Delivery) -> str:
    return delivery_id(draft.state.record.incarnation, delivery.rule, delivery.position, delivery.run)


def named(draft: Draft, position: int) -> Named:
    """The event at `position` by its names; without them where it cannot be read."""
    body = draft.bodies_at([position]).get(position)
    if body is None:
        return Named(position, "", "", "")
    names = _names(body)
    return Named(position, names.source, names.id, names.type)


class _Names(msgspec.Struct):
    source: str
    id: str
    type: str


_names = msgspec.json.Decoder(_Names).decode
