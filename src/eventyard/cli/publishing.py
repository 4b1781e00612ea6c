"""`eventyard publish`: one event from flags, or as many as a file or a pipe holds."""

import contextlib
import json
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.cli.lines import Line
    from eventyard.client import Client, Published, Verdict

ATTEMPTS_OF_MANY = 8
"""Once a publish of many is under way it rides out a restart of the server: about half a minute."""

REFUSALS_TOLD = 20
"""Refused lines that are named one by one; the rest is counted."""


def publish(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|-]", help="JSON lines, a JSON event or an array of them; - is standard input."),
    ] = None,
    *,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="What happened, as order.paid.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="URI", help="Where it happened, as /shop.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its identity at the source. Left out: a new one.")
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="TEXT", help="What of the source it is about.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="JSON", help="JSON, @FILE, or - for standard input.")] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Publish one event from flags, or many from a file or a pipe. What is accepted is durable.

    Events without an id get a new one. The same source and id again is a
    duplicate: accepted once, so sending a file twice is safe if its events have
    ids. Exit code 1: some were refused; they are named.

    Example:
      eventyard publish --type order.paid --source /shop --data '{"total": 25}'
      eventyard publish orders.jsonl

    Next: eventyard events list

    """
    screen = Screen(as_json=as_json)
    flags = {"type": type_, "source": source, "id": id_, "subject": subject}
    given = {name: value for name, value in flags.items() if value is not None}
    if file is None and (given or data is not None):
        return _publish_one(_event(given, data), bus, url, screen)
    if given or data is not None:
        raise Failure("found a file and flags of one event", advice="give one or the other")
    return _publish_many(file, bus, url, screen)


def _event(given: dict[str, str], data: str | None) -> bytes:
    """The event as JSON, its data spelt as it was given."""
    for name in ("type", "source"):
        if not given.get(name):
            raise Failure(
                f"found no --{name}", advice="an event needs --type and --source; eventyard publish --help has an example"
            )
    from eventyard.client import new_event  # noqa: PLC0415 - heavy, see the package

    text = json.dumps(new_event(**given), ensure_ascii=False).encode()
    return text if data is None else text[:-1] + b', "data": ' + read_json(data, what="the data") + b"}"


def _publish_one(event: bytes, bus: str, url: str, screen: Screen) -> int:
    with connect(url) as client:
        published = client.publish(event, bus=bus)
    screen.document(published)
    screen.say(_told(published))
    screen.advise(f"eventyard events show {published.position}{'' if bus == 'default' else f' --bus {bus}'}")
    return Exit.OK


def _told(published: "Published") -> str:
    if published.duplicate:
        return f"duplicate: position {published.position} already holds id {published.id}"
    return f"accepted: position {published.position}, id {published.id}"


def _publish_many(file: str | None, bus: str, url: str, screen: Screen) -> int:
    if file is None and sys.stdin.isatty():
        raise Failure("found nothing to publish", advice="eventyard publish --type TYPE --source URI, or name a file")
    with _opened(file) as (stream, size), connect(url) as impatient, connect(url, attempts_max=ATTEMPTS_OF_MANY) as client:
        impatient.bus(bus)  # A wrong address or bus is said at once, before anything is read.
        tally = Tally(screen)
        with _progress(size, screen) as advance:
            _publish_groups(stream, client, bus, tally, advance)
    return tally.end()


class Tally:
    """What became of the events so far."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.accepted = 0
        self.duplicate = 0
        self.refused = 0

    def add(self, line: "Line", verdict: "Verdict") -> None:
        self._screen.document({"number": line.number} | _members(verdict))
        if verdict.error:
            self.refused += 1
            self._tell_refusal(line, verdict.error.detail)
        elif verdict.duplicate:
            self.duplicate += 1
        else:
            self.accepted += 1

    def _tell_refusal(self, line: "Line", why: str) -> None:
        if self.refused <= REFUSALS_TOLD:
            self._screen.note(f"{line.noun} {line.number} refused: {why}")

    def tell_stop(self, group: "list[Line]") -> None:
        """The request that carried `group` failed. Whether the server took it is not known."""
        first = f"{group[0].noun} {group[0].number}"
        self._screen.note(
            f"stopped at {first} ({self.counts} before it); it and the next {len(group) - 1} may have been accepted"
        )

    @property
    def counts(self) -> str:
        return f"{self.accepted} accepted, {self.duplicate} duplicate, {self.refused} refused"

    def end(self) -> int:
        if self.refused > REFUSALS_TOLD:
            self._screen.note(f"... and {self.refused - REFUSALS_TOLD} more refused; --json names each")
        self._screen.say(self.counts)
        return Exit.NO if self.refused else Exit.OK


def _members(verdict: "Verdict") -> dict[str, Any]:
    return dict(msgspec.to_builtins(verdict))


def _publish_groups(stream: BufferedReader, client: "Client", bus: str, tally: Tally, advance: Any) -> None:
    from eventyard.cli.lines import groups  # noqa: PLC0415 - heavy, see the package
    from eventyard.client import ClientError  # noqa: PLC0415 - as above

    for group in groups(stream):
        try:
            _publish_group(group, client, bus, tally)
        except ClientError:
            tally.tell_stop(group)
            raise
        advance(stream, tally)


def _publish_group(group: "list[Line]", client: "Client", bus: str, tally: Tally) -> None:
    """One request for what of the group can be sent; verdicts in the order of the lines."""
    from eventyard.client import Problem, Verdict  # noqa: PLC0415 - heavy, see the package

    verdicts = iter(client.publish_many([line.text for line in group if not line.fault], bus=bus))
    for line in group:
        fault = Problem(type="urn:eventyard:problem:invalid-json", title="The line is no event", detail=line.fault)
        tally.add(line, Verdict(error=fault) if line.fault else next(verdicts))


@contextlib.contextmanager
def _opened(file: str | None) -> Iterator[tuple[BufferedReader, int | None]]:
    """The stream to read and its size where it has one."""
    if file is None or file == "-":
        yield cast("BufferedReader", sys.stdin.buffer), None
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - closed below; only opening it may fail with this message
    except OSError as error:
        raise Failure(
            f"cannot read {file}: {error.strerror}", advice="name a file that exists, or - for standard input"
        ) from error
    with stream:
        yield stream, Path(file).stat().st_size


@contextlib.contextmanager
def _progress(size: int | None, screen: Screen) -> Iterator[Any]:
    """A bar with the counts on a terminal; elsewhere nothing. Gives what to call after each group."""
    if screen.as_json or not sys.stderr.isatty():
        yield lambda _stream, _tally: None
        return
    from rich.console import Console  # noqa: PLC0415 - heavy, see the package
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - as above

    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size)
        yield lambda stream, tally: progress.update(
            task, description=tally.counts, completed=stream.tell() if size else tally.accepted
        )
