"""`eventyard tail`: the end of the log, and what comes."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from eventyard.cli.events import COLUMNS, row
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.patterns import compose
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import ClientError, StoredEvent

LIMIT = 10
WAIT_S_MAX = 5.0
"""Between two attempts to reach a server that was there: who looks at a screen wants it back soon."""


def tail(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with events as they come, until Ctrl-C.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="NUMBER", min=0, help="The last so many.  [default: 10]")
    ] = None,
    after: Annotated[
        int | None, typer.Option("--after", metavar="POSITION", min=0, help="All after it, instead of the last few.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Events of this type. May be repeated.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="URI", help="Events of this source. May be repeated.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--pattern", metavar="JSON", help="Events that match: JSON, @FILE, or -.")
    ] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show the last events of the log, oldest first; with --follow also those that come.

    Example:
      eventyard tail --follow
      eventyard tail --follow --after 0 --type order.paid --json

    Next: eventyard events show POSITION

    """
    if limit is not None and after is not None:
        raise Failure("found --limit and --after", advice="say which events: the last few, or all after a position")
    lines = Lines(Screen(as_json=as_json))
    wanted = compose(pattern, type_ or [], source or [])
    with connect(url) as client:
        head = client.bus(bus).head
        if after is None:
            last = client.events(bus=bus, after=head + 1, pattern=wanted, order="desc", limit=LIMIT if limit is None else limit)
            lines.write(list(last)[::-1])
        elif not follow:
            for event in client.events(bus=bus, after=after, pattern=wanted):
                lines.write([event])
    if follow:
        follow_on(lines, url, bus, wanted, head if after is None else after)
    return Exit.OK


def follow_on(lines: "Lines", url: str, bus: str, pattern: bytes | None, after: int) -> NoReturn:
    """Until Ctrl-C, or a refusal. The server was there a moment ago, so it is waited for however long it is away."""
    from eventyard.client import Gap  # noqa: PLC0415 - heavy, see the package

    with connect(url, attempts_max=sys.maxsize, wait_s_max=WAIT_S_MAX) as client:
        while True:
            try:
                for event in client.follow(bus=bus, after=after, pattern=pattern, on_contact=lines.tell):
                    lines.write([event])
            except Gap as gap:
                lines.tell_gap(gap)
                after = gap.last


class Lines:
    """Events as lines, of the columns that `row` gives, and remarks beside them."""

    def __init__(
        self, screen: Screen, columns: Sequence[str] = COLUMNS, row: "Callable[[StoredEvent], Sequence[object]]" = row
    ) -> None:
        self._screen = screen
        self._rows = screen.rows(columns)
        self._row = row
        self._is_lost = False

    def write(self, events: "list[StoredEvent]") -> None:
        for event in events:
            self._screen.document(event)
        self._rows.write([self._row(event) for event in events])

    def tell(self, trouble: "ClientError | None") -> None:
        """The first trouble after a contact, and the next contact."""
        if trouble is not None and not self._is_lost:
            self._screen.remark(f"{trouble}; trying again until Ctrl-C", {"lost": str(trouble)})
        elif trouble is None and self._is_lost:
            self._screen.remark("connected again", {"lost": None})
        self._is_lost = trouble is not None

    def tell_gap(self, gap: "ClientError") -> None:
        self._screen.remark(str(gap), {"gap": {name: getattr(gap, name) for name in ("first", "last", "reason")}})
