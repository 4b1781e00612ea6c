"""`eventyard detectors`: state that becomes events."""

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import asking
from eventyard.cli.backtested import in_thousands
from eventyard.cli.emitters import done, emits, of_bus, read_document, text
from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Bus, DetectorName, Json, Sure, Url, connect
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventyard.client import Detector, DetectorKey, Turns

app = typer.Typer(help="Detectors: publish an event when a condition turns, key by key, exactly once.")


@app.command("list")
def list_(*, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the detectors of a bus by name.

    Example:
      eventyard detectors list

    Next: eventyard detectors show DETECTOR

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        found = list(client.detectors(bus=bus))
    for detector in found:
        screen.document(detector)
    if not found:
        screen.say(f'no detectors on bus "{bus}" yet')
        screen.advise("eventyard detectors put NAME FILE")
        return Exit.OK
    rows = [
        (one.name, one.state.keys, one.state.pending, one.state.rises, one.state.falls, text(one.when), emits(one))
        for one in found
    ]
    columns = ("detector", "keys", "pending", "rises", "falls", "when", "emits")
    screen.table(columns, rows, whole=("detector", "keys", "pending", "rises", "falls"))
    return Exit.OK


@app.command("show")
def show(name: DetectorName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Show one detector's document, and what was counted of it.

    Example:
      eventyard detectors show car-sold

    Next: eventyard detectors keys DETECTOR

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        detector = client.detector(name, bus=bus)
    screen.document(detector)
    screen.pairs(_rows(detector))
    return Exit.OK


def _rows(detector: "Detector") -> list[tuple[str, Any]]:
    state = detector.state
    counted = msgspec.structs.asdict(state)
    unapplied = [(name, counted[name]) for name in ("late", "unkeyed", "unordered", "over_max_keys", "failed")]
    more = [(name, counted[name]) for name in ("cancelled", "put_off", "forgotten", "turned", "stopped")]
    until = text(detector.until)
    return [
        ("detector", detector.name),
        ("description", detector.description or None),
        ("owner", detector.owner or None),
        ("on", text(detector.on)),
        ("key", detector.key),
        ("when", text(detector.when)),
        ("until", None if until == "null" else until),
        ("holds for", f"{detector.for_s:g} s"),
        ("is gone for", f"{detector.keep_for_s:g} s"),
        ("first", detector.first),
        ("order", f"by {detector.order_by}, up to {detector.late_by_s:g} s late"),
        ("forgets after", None if detector.forget_after_s is None else f"{detector.forget_after_s:g} s"),
        ("emits", emits(detector)),
        ("changed", f"{state.changed} (version {state.version})"),
        ("keys", f"{state.keys}, {state.pending} in a hold{', being judged anew' if state.judging else ''}"),
        ("edges", f"{state.rises} rises, {state.falls} falls"),
        ("observations", state.observations),
        ("not applied", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in unapplied if count) or "none"),
        ("also", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in more if count) or None),
    ]


@app.command("put")
def put(
    name: DetectorName,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The detector's JSON document; - is standard input.")],
    *,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say how many keys it would turn.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Create or change a detector. It governs the events that come after.

    Example:
      eventyard detectors put car-sold car-sold.json --dry-run
      eventyard detectors put car-sold car-sold.json

    Next: eventyard detectors show DETECTOR

    """
    screen = Screen(as_json=as_json)
    document = read_document(file, what="the detector")
    with connect(url) as client:
        if is_dry:
            return _dry_run(screen, client.detector_turns(name, document, bus=bus))
        detector = client.put_detector(name, document, bus=bus)
    screen.document(detector)
    screen.say(f"detector {name} {done(detector)}: {emits(detector)} when {text(detector.when)} turns")
    if detector.turns is not None and detector.turns.keys:
        screen.say(_turned(detector.turns))
    screen.advise(f"eventyard detectors show {name}{of_bus(bus)}")
    return Exit.OK


def _dry_run(screen: Screen, walk: "Iterator[Turns]") -> int:
    """Nothing is saved. Of very many keys that takes half a minute a million."""
    found: Turns | None = None
    with progress(screen) as advance:
        for found in walk:
            advance("judging keys anew", found.judged, found.keys)
    if found is not None:
        screen.document(found)
        screen.say(_turned(found) if found.keys else "it knows no keys yet")
    return Exit.OK


def _turned(turns: "Turns") -> str:
    of = (
        in_thousands(turns.judged)
        if turns.next is None
        else f"the first {in_thousands(turns.judged)} of {in_thousands(turns.keys)}"
    )
    named = f": {', '.join(turns.names)}{', ...' if turns.turned > len(turns.names) else ''}" if turns.names else ""
    unsaid = f"; {in_thousands(turns.unsaid)} cannot be judged anew and stay" if turns.unsaid else ""
    return f"of {of} keys {in_thousands(turns.turned)} turn, which is no edge{named}{unsaid}"


@app.command("keys")
def keys(
    name: DetectorName,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One key: all that is known of it, and why.")] = None,
    *,
    after: Annotated[str | None, typer.Option("--after", metavar="KEY", help="Those that come after this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many at the most.")] = 100,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show what a detector knows of its keys, or of one.

    Example:
      eventyard detectors keys car-sold
      eventyard detectors keys car-sold car-7

    Next: eventyard explain POSITION

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if key is not None:
            found = client.detector_key(name, key, bus=bus)
            screen.document(found)
            screen.pairs(_key_rows(found))
            return Exit.OK
        some = list(itertools.islice(client.detector_keys(name, bus=bus, after=after), limit))
    for one in some:
        screen.document(one)
    if not some:
        screen.say(f"the detector {name} knows no keys yet")
        return Exit.OK
    rows = [(one.key, one.state, one.since, one.ends, one.why) for one in some]
    screen.table(("key", "state", "since", "hold ends", "why"), rows, whole=("key", "state"))
    if len(some) == limit:
        screen.advise(f"eventyard detectors keys {name} --after {some[-1].key}{of_bus(bus)}")
    return Exit.OK


def _key_rows(found: "DetectorKey") -> list[tuple[str, Any]]:
    changes = [
        ("" if number else "changes", f"{change.since} {change.state}, position {change.position}{_untold(change.told)}")
        for number, change in enumerate(reversed(found.changes))
    ]
    return [
        ("key", found.key),
        ("state", found.state),
        ("since", found.since),
        ("why", found.why or None),
        ("said", None if found.said is None else msgspec.json.encode(found.said).decode()),
        ("position", str(found.position)),
        ("in a hold since", found.hold_since),
        ("hold ends", found.ends),
        *changes,
    ]


def _untold(is_told: bool) -> str:
    return "" if is_told else " (no edge)"


@app.command("delete")
def delete(
    name: DetectorName, *, is_sure: Sure = False, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False
) -> int:
    """Delete a detector and what it knows of its keys, holds under way included.

    On a terminal it asks first.

    Example:
      eventyard detectors delete car-sold

    Next: eventyard detectors list

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if not (is_sure or asking.perhaps(lambda: _loss(client.detector(name, bus=bus)))):
            screen.note("nothing was deleted")
            return Exit.NO
        client.delete_detector(name, bus=bus)
    screen.document({"deleted": name})
    screen.say(f"detector {name} is deleted")
    return Exit.OK


def _loss(detector: "Detector") -> str:
    return f"delete the detector {detector.name}, with {detector.state.keys} keys, {detector.state.pending} of them in a hold?"
