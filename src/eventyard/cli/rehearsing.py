"""`eventyard detectors backtest` and `expectations backtest`: what one would have published, before it is saved."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import completing
from eventyard.cli.backtested import DAY_S, in_thousands, lasting, remark_gaps, rounded
from eventyard.cli.exits import Exit
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.places import moment
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventyard.client import Rehearsal, Told

SAMPLES = 5
KEYS_SHOWN = 5

_WITHOUT_A_WORD = {"observations", "keys", "pending", "rises", "falls", "open", "opened", "met", "missed"}
"""Counts that are the usual course of things."""


Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Accepted since: RFC 3339, or 90s, 15m, 2h, 3d ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Accepted before: as --since.")]
Limit = Annotated[int, typer.Option("--limit", metavar="NUMBER", min=0, max=100, help="Show so many events of each kind.")]


def backtest_detector(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The detector's JSON document; - is standard input.")],
    *,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="DETECTOR",
            help="Hold it against this one as it is in force; else against the one that the document names.",
            autocompletion=completing.detectors,
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = SAMPLES,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Try a detector on the log before you put it: what it would have published.

    Nothing is changed. Where it is there already it says what the new one adds
    and loses. It begins with knowing no key. Ctrl-C shows what was found until
    then.

    Example:
      eventyard detectors backtest car-sold.json --since 3d
      eventyard detectors backtest car-sold.json --detector car-sold --json

    Next: eventyard detectors put DETECTOR car-sold.json

    """
    name, document = named(read_json(file if file == "-" else f"@{file.removeprefix('@')}", what="the detector"))
    times = moment(since), moment(until)
    with connect(url) as client:
        if detector is not None:
            client.detector(detector, bus=bus)  # A name that was mistyped would be compared with nothing.
        walk = client.backtest_detector(document, name=detector or name, bus=bus, from_=times[0], until=times[1], samples=limit)
        return _tell(Screen(as_json=as_json), bus, walk)


def backtest_expectation(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The expectation's JSON document; - is standard input.")],
    *,
    expectation: Annotated[
        str | None,
        typer.Option(
            "--expectation",
            metavar="EXPECTATION",
            help="Hold it against this one as it is in force; else against the one that the document names.",
            autocompletion=completing.expectations,
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = SAMPLES,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Try an expectation on the log before you put it: what it would have told.

    Nothing is changed. Where it is there already it says what the new one adds
    and loses. It begins with nothing open. Ctrl-C shows what was found until
    then.

    Example:
      eventyard expectations backtest shipped.json --since 3d
      eventyard expectations backtest shipped.json --expectation shipped --json

    Next: eventyard expectations put EXPECTATION shipped.json

    """
    name, document = named(read_json(file if file == "-" else f"@{file.removeprefix('@')}", what="the expectation"))
    times = moment(since), moment(until)
    with connect(url) as client:
        if expectation is not None:
            client.expectation(expectation, bus=bus)  # As above.
        walk = client.backtest_expectation(
            document, name=expectation or name, bus=bus, from_=times[0], until=times[1], samples=limit
        )
        return _tell(Screen(as_json=as_json), bus, walk)


def named(text: bytes) -> tuple[str, bytes]:
    """The name that a document has, and it without what is no part of it: `detectors show --json` adds a name and a state, `export` a bus."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        name = msgspec.json.decode(members.get("name", msgspec.Raw(b'""')), type=str)
    except msgspec.MsgspecError:
        return "", text  # The server says what is wrong with it.
    return name, msgspec.json.encode(
        {key: value for key, value in members.items() if key not in {"name", "bus", "state", "turns"}}
    )


def _tell(screen: Screen, bus: str, walk: "Iterator[Rehearsal]") -> int:
    found, ended = _last(screen, bus, walk)
    if found is not None:
        screen.document(found)
        _show(screen, found)
    if ended is not None:
        raise ended
    return Exit.OK if found is not None and found.told else Exit.NO


def _last(screen: Screen, bus: str, walk: "Iterator[Rehearsal]") -> "tuple[Rehearsal | None, BaseException | None]":
    """What was found, and what ended it before its time."""
    from eventyard.client import ClientError  # noqa: PLC0415 - heavy, see the package

    found: Rehearsal | None = None
    try:
        with progress(screen) as advance:
            for found in walk:
                advance(f"going over the events of bus {bus}", found.looked_at, found.positions)
    except (KeyboardInterrupt, ClientError) as error:
        return found, error
    return found, None


def _show(screen: Screen, found: "Rehearsal") -> None:
    if not found.events:
        screen.say("no events were accepted in that time")
        return
    about = f", about {rounded(found.told * DAY_S / found.span_s)} a day" if found.span_s >= DAY_S else ""
    screen.say(
        f"{in_thousands(found.told)} would have been published of {in_thousands(found.events)} events, {lasting(found)}{about}"
    )
    if found.types:
        screen.say(", ".join(f"{in_thousands(one.told)} {one.type}" for one in found.types))
    if found.version:
        moved = f", {in_thousands(found.moved)} at another time" if found.moved else ""
        changed = f"{in_thousands(found.added)} newly published, {in_thousands(found.removed)} no longer{moved}"
        screen.say(f"beside version {found.version} of {found.name}, which is in force: {changed}")
    if remarks := [
        f"{in_thousands(many)} {what.replace('_', ' ')}" for what, many in found.counts.items() if _is_odd(what, many)
    ]:
        screen.say(f"also: {', '.join(remarks)}")
    _show_tables(screen, found)
    for kind, words, many in (
        ("added", "newly published", found.added),
        ("removed", "no longer published", found.removed),
        ("told", "published", found.told),
    ):
        if samples := getattr(found.samples, kind):
            screen.say(f"\n{words}, {len(samples)} of {in_thousands(many)}:")
            screen.table(("at", "type", "key", "for", "why"), [_row(one) for one in samples], whole=("at", "for"))
    remark_gaps(screen, found.gaps)
    if not found.is_done:
        screen.note(f"it ended early: positions up to {found.next_after} of {found.last} were looked at")


def _is_odd(what: str, many: int) -> bool:
    return bool(many) and what not in _WITHOUT_A_WORD


def _show_tables(screen: Screen, found: "Rehearsal") -> None:
    """By day, and the keys of which most differs or was published. What changes has columns only where there is something to change."""
    columns = ("published", "new", "gone") if found.version else ("published",)
    days = [(day.day, day.events, *(day.told, day.added, day.removed)[: len(columns)]) for day in found.days]
    screen.table(("day", "events", *columns), days, whole=("day", "events", *columns))
    keys = [(key.key, *(key.told, key.added, key.removed)[: len(columns)]) for key in found.keys[:KEYS_SHOWN]]
    if keys:
        screen.say(f"\nkeys, {len(keys)} of {in_thousands(found.keys_told)}:")
        screen.table(("key", *columns), keys, whole=columns)


def _row(one: "Told") -> tuple[Any, ...]:
    event = msgspec.json.decode(one.event)
    return one.at, event["type"], event.get("subject"), one.position, event.get("data", {}).get("why")
