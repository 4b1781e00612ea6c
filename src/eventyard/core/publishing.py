"""Publishing: what becomes of one event that somebody brings."""

from collections.abc import Sequence

from eventyard.core import emitting, limits
from eventyard.core.attributes import HOPS
from eventyard.core.commands import Publish, Published
from eventyard.core.draft import Draft
from eventyard.core.errors import EventConflict, Refused, TooManyHops, TooManyMatches
from eventyard.core.event import Event, with_hops
from eventyard.core.view import Known


def publish(draft: Draft, command: Publish, number: int) -> Published | Refused:
    """Append one event of the command unless its source and id are known.

    An expected refusal is a value: a batch goes on past it.
    """
    event = command.events[number]
    found, cause = known(draft, event), draft.cited(event)
    if found is not None:
        return found
    matched = command.matched(number, draft.live)
    if cause is not None and event.hops <= cause.hops:
        event, matched = with_hops(event, cause.hops + 1), None
    return place(draft, event, matched, cause=0 if cause is None else cause.position)


def known(draft: Draft, event: Event) -> Published | EventConflict | None:
    """What is answered of an event whose source and id are in the dedup window; None of any other. Asked for ahead (`Draft.find_ids`)."""
    found = draft.known.get((event.source, event.id))
    return _answer_known(event, found) if found is not None and _is_in_window(draft, found) else None


def place(draft: Draft, event: Event, matched: Sequence[int] | None = None, *, cause: int = 0) -> Published | Refused:
    """Append a new event. `matched`: as somebody asked ahead; `cause`: the position of the event that it came of."""
    if event.hops > draft.hops_max:
        return TooManyHops(f"found {event.hops} hops behind the event", wanted=f"at most {draft.hops_max}", at=HOPS_PLACE)
    matches = draft.match(event) if matched is None else (matched, ())
    if len(matches[0]) + len(matches[1]) > limits.MATCHES_PER_EVENT_MAX:
        return TooManyMatches(f"found {len(matches[0])} matching rules", wanted=f"at most {limits.MATCHES_PER_EVENT_MAX}")
    position = draft.append(event, matches, cause=cause)
    emitting.attend(draft)
    return Published(position, event.source, event.id, is_duplicate=False)


def _is_in_window(draft: Draft, known: Known) -> bool:
    return (
        known.position > draft.head - limits.DEDUP_WINDOW_IDS
        and known.accepted_ms > draft.time.time_ms - limits.DEDUP_WINDOW_MS
    )


def _answer_known(event: Event, known: Known) -> Published | EventConflict:
    if known.digest != event.digest:
        return EventConflict(
            f'found other content under source "{event.source}" and id "{event.id}" than at position {known.position}',
            wanted="the same attributes and data, or a new id",
        )
    return Published(known.position, event.source, event.id, is_duplicate=True)


HOPS_PLACE = f"/{HOPS}"
