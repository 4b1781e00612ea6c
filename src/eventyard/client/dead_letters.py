"""Dead letters: listed, counted, put back, tried, discarded, skipped. Pure functions, as in `protocol`.

Which ones: `ids`, or `"all"`, which `reason`, `key` (an order key: any JSON value), `from_` and `until` (when they died) narrow.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from eventyard.client.answers import Counted, DeadLetter, DeadLetterPage, Redriven, Trial, Trials
from eventyard.client.building import Moment, pages_of, time_text
from eventyard.client.call import JSON, Call, Request, Walk, address, answer
from eventyard.client.event import encode_json
from eventyard.client.patience import Response

T = TypeVar("T")

Ids = Iterable[str] | Literal["all"]

_ANY_KEY: Any = msgspec.UNSET


def dead_letters(
    name: str,
    *,
    bus: str = "default",
    reason: str | None = None,
    key: Any = _ANY_KEY,
    from_: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
) -> Walk[DeadLetter]:
    """The dead letters of the rule `name` by position, up to `limit` of them."""
    text = None if key is _ANY_KEY else encode_json(key).decode()
    query = {"reason": reason, "key": text, "from": time_text(from_), "until": time_text(until)}
    return pages_of(address("buses", bus, "rules", name, "dead-letters"), DeadLetterPage, query=query, limit=limit)


def redrive(
    name: str,
    ids: Ids,
    *,
    bus: str = "default",
    reason: str | None = None,
    key: Any = _ANY_KEY,
    from_: Moment | None = None,
    until: Moment | None = None,
    per_s: float | None = None,
    out_of_order: bool = False,
) -> Call[Redriven]:
    """Put dead letters of the rule back into its queue, `per_s` a second (None: at once).

    `out_of_order` puts back what was skipped too, of these `ids`.
    """
    body = _meant(ids, reason, key, from_, until)
    body |= ({} if per_s is None else {"per_s": per_s}) | ({"out_of_order": True} if out_of_order else {})
    return _act(bus, name, "redrive", body, answer(Redriven))


def try_dead_letters(
    name: str,
    ids: Ids,
    target: str | Mapping[str, Any],
    *,
    bus: str = "default",
    reason: str | None = None,
    key: Any = _ANY_KEY,
    from_: Moment | None = None,
    until: Moment | None = None,
) -> Call[list[Trial]]:
    """Push the first 20 of them to another target, a URL or as a rule has it, once each. They stay the dead letters that they are."""
    other = {"http": {"url": target}} if isinstance(target, str) else dict(target)
    body = _meant(ids, reason, key, from_, until) | {"target": other}
    return _act(bus, name, "redrive", body, _read_trials, is_retried=False)


def purge(
    name: str,
    ids: Ids,
    *,
    bus: str = "default",
    reason: str | None = None,
    key: Any = _ANY_KEY,
    from_: Moment | None = None,
    until: Moment | None = None,
    parked: bool = False,
) -> Call[Redriven]:
    """Discard dead letters of the rule for good; with `parked` (and `ids`) also what waits behind each."""
    body = _meant(ids, reason, key, from_, until) | ({"parked": True} if parked else {})
    return _act(bus, name, "purge", body, answer(Redriven))


def count_dead_letters(
    name: str,
    ids: Ids = "all",
    *,
    bus: str = "default",
    reason: str | None = None,
    key: Any = _ANY_KEY,
    from_: Moment | None = None,
    until: Moment | None = None,
    parked: bool = False,
) -> Call[int]:
    """How many a redrive or purge of them would take now; with `parked` (and `ids`), with what waits behind each."""
    body = _meant(ids, reason, key, from_, until) | {"dry_run": True}
    if parked:
        return _act(bus, name, "purge", body | {"parked": True}, _read_count)
    return _act(bus, name, "redrive", body, _read_count)


def skip(name: str, ids: Iterable[str] = (), *, keys: Iterable[Any] = (), bus: str = "default") -> Call[Redriven]:
    """Pass over dead letters of a rule that keeps order, by their ids or by their keys, so that what waits behind them goes on."""
    named, by_key = list(ids), list(keys)
    if bool(named) == bool(by_key):
        raise ValueError(f"found {len(named)} ids and {len(by_key)} keys; wanted one or the other")
    return _act(bus, name, "skip", {"ids": named} if named else {"keys": by_key}, answer(Redriven))


def _meant(ids: Ids, reason: str | None, key: Any, from_: Moment | None, until: Moment | None) -> dict[str, Any]:
    given = {"reason": reason, "from": time_text(from_), "until": time_text(until)}
    narrowed = {field: value for field, value in given.items() if value is not None}
    narrowed |= {} if key is _ANY_KEY else {"key": key}
    if ids != "all":
        if narrowed:
            raise ValueError(f'found ids and {", ".join(narrowed)}; wanted ids alone, or "all" narrowed')
        return {"ids": list(ids)}
    return {"filter": narrowed} if narrowed else {"all": True}


def _act(
    bus: str, name: str, verb: str, body: dict[str, Any], read: Callable[[Response], T], *, is_retried: bool = True
) -> Call[T]:
    path = address("buses", bus, "rules", name, "dead-letters", verb)
    return Call(Request("POST", path, body=encode_json(body), content_type=JSON), read, is_retried)


def _read_count(response: Response) -> int:
    return answer(Counted)(response).count


def _read_trials(response: Response) -> list[Trial]:
    return answer(Trials)(response).results
