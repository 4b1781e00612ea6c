"""Moving a rule in the log: seek, and replays of a stretch. Pure functions, as in `protocol`."""

import datetime
from typing import Any, Literal

from eventyard.client.answers import Replay, ReplayPage, Rule
from eventyard.client.building import Document, Moment, text_of, time_text
from eventyard.client.call import JSON, Call, Request, Walk, address, answer
from eventyard.client.event import encode_json

Place = int | Moment
"""A position, a time, or (where that makes sense) `"earliest"` or `"latest"`."""


def seek(name: str, to: Place, *, bus: str = "default") -> Call[Rule]:
    """Have the rule `name` go on at another place of the log, back or forward. What it still owes is discarded.

    Asked once, for each one opens a new run: after Unreachable look at `rule(name).state.run`.
    """
    request = Request(
        "POST", address("buses", bus, "rules", name, "seek"), body=encode_json({"to": _place(to)}), content_type=JSON
    )
    return Call(request, answer(Rule), is_retried=False)


def start_replay(
    name: str,
    from_: Place,
    until: Place | None = None,
    *,
    bus: str = "default",
    pattern: Document | None = None,
    per_s: float | None = None,
    pace: Literal["original"] | None = None,
) -> Call[Replay]:
    """Deliver events from `from_` up to before `until` (None: up to now) to the rule `name` once more, in a run of their own.

    Of those that the rule matches only what `pattern` matches too; `per_s` a second, or as far apart as they were accepted. Asked once,
    for each one starts a replay: after Unreachable look at `replays(name)`.
    """
    asked: dict[str, Any] = {"from": _place(from_)}
    asked |= {"until": _place(until)} if until is not None else {}
    asked |= {field: value for field, value in (("per_s", per_s), ("pace", pace)) if value is not None}
    body = encode_json(asked).decode()
    if pattern is not None:  # Its text is kept as it is: the spelling of numbers counts.
        body = f'{body[:-1]},"pattern":{text_of(pattern)}}}'
    request = Request("POST", address("buses", bus, "rules", name, "replays"), body=body.encode(), content_type=JSON)
    return Call(request, answer(Replay), is_retried=False)


def replay(name: str, run: int, *, bus: str = "default") -> Call[Replay]:
    """How far the replay `run` of the rule has come."""
    return Call(Request("GET", address("buses", bus, "rules", name, "replays", str(run))), answer(Replay))


def replays(name: str, *, bus: str = "default") -> Walk[Replay]:
    """The replays of the rule that are under way and the last ones that ended, the newest first."""
    yield Call(Request("GET", address("buses", bus, "rules", name, "replays")), answer(ReplayPage))


def end_replay(name: str, run: int, *, bus: str = "default") -> Call[Replay]:
    """Cancel the replay, or forget one that has ended."""
    return Call(Request("DELETE", address("buses", bus, "rules", name, "replays", str(run))), answer(Replay))


def _place(place: Place) -> Any:
    if isinstance(place, int):
        return {"position": place}
    if isinstance(place, datetime.datetime) or place not in {"earliest", "latest"}:
        return {"time": time_text(place)}
    return place
