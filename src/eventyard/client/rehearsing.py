"""Detectors and expectations tried on the log before they are saved: what is asked, and what is answered. No I/O here."""

import msgspec

from eventyard.client.answers import Page
from eventyard.client.backtesting import BacktestGap, Range
from eventyard.client.building import Document, Moment, text_of, time_text
from eventyard.client.call import JSON, Call, Request, Walk, address, decode, nothing
from eventyard.client.event import encode_json
from eventyard.client.patience import Response


class Told(msgspec.Struct, frozen=True):
    """An event that would have been published, for the one at `position`, and when (RFC 3339)."""

    position: int
    at: str
    event: msgspec.Raw


class RehearsedDay(msgspec.Struct, frozen=True):
    """A day (UTC): `events` that were looked at, and how many would have been published."""

    day: str
    events: int
    told: int
    added: int
    removed: int


class RehearsedKey(msgspec.Struct, frozen=True):
    key: str
    told: int
    added: int
    removed: int


class RehearsedType(msgspec.Struct, frozen=True):
    type: str
    told: int


class RehearsedSamples(msgspec.Struct, frozen=True):
    """Spread over the time that was looked at."""

    told: list[Told] = []
    added: list[Told] = []
    removed: list[Told] = []


class Rehearsal(Range, frozen=True, kw_only=True):
    """What would have been published of the positions `first` to `last`, as far as was looked at (see `is_done`).

    `told` events; of these `added` are not by the `version` of `name` in force, and `removed` are by that alone (0: there is none). `moved`: by both, at
    another time. `counts` as the detector's state has them, `in_force` those of the one beside it. `keys`: those of which most differs or
    was told, of `keys_told`.
    """

    backtest: str
    done: bool
    name: str
    version: int
    events: int
    told: int
    added: int
    removed: int
    moved: int
    types: list[RehearsedType]
    counts: dict[str, int]
    in_force: dict[str, int] | None
    days: list[RehearsedDay]
    gaps: list[BacktestGap]
    keys: list[RehearsedKey]
    keys_told: int
    samples: RehearsedSamples

    @property
    def is_done(self) -> bool:
        return self.done


def backtest_detector(
    document: Document,
    *,
    name: str = "",
    bus: str = "default",
    from_: Moment | None = None,
    until: Moment | None = None,
    samples: int = 10,
) -> Walk[Rehearsal]:
    """What a detector would have published of the events accepted from `from_` to before `until`, beside the one `name` as it is in force.

    Gives what was found so far, stretch by stretch; the last one is all. ProblemError `not-found` where the server has forgotten it meanwhile.
    """
    return _rehearsed("detector", document, {"name": name, "from": time_text(from_), "until": time_text(until)}, bus, samples)


def backtest_expectation(
    document: Document,
    *,
    name: str = "",
    bus: str = "default",
    from_: Moment | None = None,
    until: Moment | None = None,
    samples: int = 10,
) -> Walk[Rehearsal]:
    """As `backtest_detector`, of an expectation."""
    return _rehearsed(
        "expectation", document, {"name": name, "from": time_text(from_), "until": time_text(until)}, bus, samples
    )


def _rehearsed(kind: str, document: Document, asked: dict[str, str | None], bus: str, samples: int) -> Walk[Rehearsal]:
    path = address("buses", bus, "backtest", f"{kind}s")
    more = {"samples": samples, **{name: text for name, text in asked.items() if text}}
    body = f'{encode_json(more).decode()[:-1]},"{kind}":{text_of(document)}}}'.encode()
    page = yield Call(Request("POST", path, body=body, content_type=JSON), _read)
    while not (found := page.items[0]).done:
        page = yield Call(Request("POST", f"{path}/{found.backtest}"), _read)


def _read(response: Response) -> Page[Rehearsal]:
    nothing(response)
    return Page([decode(response, Rehearsal)])
