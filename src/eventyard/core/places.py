"""Places in the log: where a rule starts, seeks to, or replays from, as a position."""

from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRequest
from eventyard.core.rule import Place, StartPosition, parse_time_ms


def position(draft: Draft, place: Place, *, at: str) -> int:
    """The position that a place names: from the floor (for what lies below it) to one past the head.

    A position or a time that is yet to come is refused. `at` is where the place stands in what was sent.
    """
    match place:
        case "earliest":
            return draft.floor
        case StartPosition(position=int(number)):
            if number > draft.head + 1:
                raise InvalidRequest(f"found position {number}", wanted=f"at most {draft.head + 1}", at=f"{at}/position")
            return number
        case StartPosition(time=str(time)):
            return _position_at(draft, time, at=f"{at}/time")
        case _:
            return draft.head + 1


def retained(draft: Draft, place: Place, *, at: str) -> int:
    """As `position`, and refused with the gap where it lies below the log's beginning."""
    found = position(draft, place, at=at)
    if found < draft.floor:
        raise InvalidRequest(
            f"found position {found}, and the log begins at {draft.floor}: {found} to {draft.floor - 1} are gone",
            wanted=f'{draft.floor} to {draft.head + 1}, or "earliest"',
            at=at,
        )
    return found


def _position_at(draft: Draft, time: str, *, at: str) -> int:
    time_ms = parse_time_ms(time, at=at)
    if time_ms > draft.time.time_ms:
        raise InvalidRequest(f"found {time}, which is yet to come", wanted='a time that has passed, or "latest"', at=at)
    return max(draft.view.position_at(draft.bus, time_ms), draft.floor)
