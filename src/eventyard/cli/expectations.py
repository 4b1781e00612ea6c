"""`eventyard expectations`: what does not come in time becomes an event."""

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventyard.cli import asking
from eventyard.cli.emitters import done, emits, of_bus, read_document, text
from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Bus, ExpectationName, Json, Sure, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Expectation, ExpectedKey

app = typer.Typer(help="Expectations: publish an event when something does not come in time, key by key, exactly once.")


@app.command("list")
def list_(*, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the expectations of a bus by name.

    Example:
      eventyard expectations list

    Next: eventyard expectations show EXPECTATION

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        found = list(client.expectations(bus=bus))
    for expectation in found:
        screen.document(expectation)
    if not found:
        screen.say(f'no expectations on bus "{bus}" yet')
        screen.advise("eventyard expectations put NAME FILE")
        return Exit.OK
    rows = [
        (one.name, one.state.open, one.state.met, one.state.missed, one.state.late, text(one.expect), f"{one.within_s:g} s")
        for one in found
    ]
    columns = ("expectation", "open", "met", "missed", "late", "expects", "within")
    screen.table(columns, rows, whole=("expectation", "open", "met", "missed", "late", "within"))
    return Exit.OK


@app.command("show")
def show(name: ExpectationName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Show one expectation's document, and what was counted of it.

    Example:
      eventyard expectations show shipped

    Next: eventyard expectations keys EXPECTATION

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        expectation = client.expectation(name, bus=bus)
    screen.document(expectation)
    screen.pairs(_rows(expectation))
    return Exit.OK


def _rows(expectation: "Expectation") -> list[tuple[str, Any]]:
    state = expectation.state
    late_for_s = expectation.within_s if expectation.late_for_s is None else expectation.late_for_s
    return [
        ("expectation", expectation.name),
        ("description", expectation.description or None),
        ("owner", expectation.owner or None),
        ("after", text(expectation.after)),
        ("expect", text(expectation.expect)),
        ("within", f"{expectation.within_s:g} s"),
        ("late for", f"{late_for_s:g} s"),
        ("key", expectation.key),
        ("emits", emits(expectation)),
        ("changed", f"{state.changed} (version {state.version})"),
        ("keys", f"{state.keys}, {state.open} of them open{', being judged anew' if state.judging else ''}"),
        ("opened", state.opened),
        ("outcomes", f"{state.met} met, {state.missed} missed, {state.late} late"),
        ("not taken", _counted(expectation, "repeated", "unexpected", "unkeyed", "over_max_keys", "failed") or "none"),
        ("also", _counted(expectation, "withdrawn", "forgotten", "put_off", "stopped") or None),
    ]


def _counted(expectation: "Expectation", *names: str) -> str:
    counts = ((name, getattr(expectation.state, name)) for name in names)
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts if count)


@app.command("put")
def put(
    name: ExpectationName,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The expectation's JSON document; - is standard input.")],
    *,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Create or change an expectation. It governs the events that come after.

    Example:
      eventyard expectations put shipped shipped.json

    Next: eventyard expectations show EXPECTATION

    """
    screen = Screen(as_json=as_json)
    document = read_document(file, what="the expectation")
    with connect(url) as client:
        expectation = client.put_expectation(name, document, bus=bus)
    screen.document(expectation)
    waits = f"{text(expectation.expect)} within {expectation.within_s:g} s after {text(expectation.after)}"
    screen.say(f"expectation {name} {done(expectation)}: {waits}, else {_else(expectation)}")
    screen.advise(f"eventyard expectations show {name}{of_bus(bus)}")
    return Exit.OK


def _else(expectation: "Expectation") -> str:
    missed = expectation.emit.get("missed")
    return missed["type"] if missed else "nothing is told"


@app.command("keys")
def keys(
    name: ExpectationName,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One key.")] = None,
    *,
    after: Annotated[str | None, typer.Option("--after", metavar="KEY", help="Those that come after this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many at the most.")] = 100,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show what an expectation has open, or missed, of its keys, or of one.

    Example:
      eventyard expectations keys shipped
      eventyard expectations keys shipped o-7

    Next: eventyard story POSITION

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if key is not None:
            found = client.expectation_key(name, key, bus=bus)
            screen.document(found)
            screen.pairs(_key_rows(found))
            return Exit.OK
        some = list(itertools.islice(client.expectation_keys(name, bus=bus, after=after), limit))
    for one in some:
        screen.document(one)
    if not some:
        screen.say(f"the expectation {name} has nothing open")
        return Exit.OK
    rows = [(one.key, one.state, one.after.position, one.after.accepted, one.ends) for one in some]
    screen.table(("key", "state", "position", "since", "ends"), rows, whole=("key", "state", "position"))
    if len(some) == limit:
        screen.advise(f"eventyard expectations keys {name} --after {some[-1].key}{of_bus(bus)}")
    return Exit.OK


def _key_rows(found: "ExpectedKey") -> list[tuple[str, Any]]:
    return [
        ("key", found.key),
        ("state", found.state),
        ("opened by", f"{found.after.type}, position {found.after.position}, id {found.after.id} of {found.after.source}"),
        ("since", found.after.accepted),
        ("missed at" if found.state == "open" else "late until", found.ends),
    ]


@app.command("delete")
def delete(
    name: ExpectationName, *, is_sure: Sure = False, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False
) -> int:
    """Delete an expectation. What it has open is never told.

    On a terminal it asks first.

    Example:
      eventyard expectations delete shipped

    Next: eventyard expectations list

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if not (is_sure or asking.perhaps(lambda: _loss(client.expectation(name, bus=bus)))):
            screen.note("nothing was deleted")
            return Exit.NO
        client.delete_expectation(name, bus=bus)
    screen.document({"deleted": name})
    screen.say(f"expectation {name} is deleted")
    return Exit.OK


def _loss(expectation: "Expectation") -> str:
    return f"delete the expectation {expectation.name}, with {expectation.state.open} open?"
