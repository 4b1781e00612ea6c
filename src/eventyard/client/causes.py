"""Events that come of an event: what a handler returns, and what its failure is told by. Pure.

Their ids are made from what caused them, so a handler that runs twice, as it does after a crash, publishes once.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from eventyard.client.event import new_event
from eventyard.client.received import CloudEvent

Returned = Mapping[str, Any] | Iterable[Mapping[str, Any]] | None
"""What a handler may return: nothing, an event, or several, as `new_event` makes them or plain dictionaries; an id is given where there is none."""


def caused(returned: Returned, cause: CloudEvent[Any], *, source: str) -> list[dict[str, Any]]:
    """What is to be published of what a handler returned. TypeError where it is no event."""
    if returned is None:
        return []
    listed = (
        list(returned) if isinstance(returned, Iterable) and not isinstance(returned, Mapping | str | bytes) else [returned]
    )
    return [_completed(event, cause, source, number) for number, event in enumerate(listed)]


def error_event(kind: str, failure: Exception, cause: CloudEvent[Any], *, source: str) -> dict[str, Any]:
    """That a handler failed at an event. Each attempt that fails is one."""
    return new_event(
        type=kind,
        source=source,
        id=_id(cause, source, f"error {cause.attempt}"),
        subject=cause.id,
        data={
            "rule": cause.rule,
            "event": {"id": cause.id, "source": cause.source, "type": cause.type, "position": cause.position},
            "attempt": cause.attempt,
            "error": type(failure).__name__,
            "message": str(failure)[:1_000],
        },
        **_trace(cause),
    )


def _completed(event: Any, cause: CloudEvent[Any], source: str, number: int) -> dict[str, Any]:
    if not isinstance(event, Mapping):
        raise TypeError(f"found {type(event).__name__} returned by the handler of {cause.rule}; wanted events, or None")
    made = {"specversion": "1.0", "source": source, **_trace(cause), **event}
    return made | {"id": event.get("id") or _id(cause, source, str(number))}


def _trace(cause: CloudEvent[Any]) -> dict[str, str | int]:
    """Whose, and how many hops lie behind it: the bus counts them where it knows the cause, and another bus goes by what the event says."""
    hops = str(cause.extensions.get("eventyardhops", "0"))
    return {
        "causationid": cause.id,
        "causationsource": cause.source,
        "correlationid": str(cause.extensions.get("correlationid") or cause.id),
        "eventyardhops": int(hops) + 1 if hops.isascii() and hops.isdigit() else 1,
    }


def _id(cause: CloudEvent[Any], source: str, what: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{source}\n{cause.rule}\n{cause.source}\n{cause.id}\n{what}"))
