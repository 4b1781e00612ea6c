"""`eventyard top`: rates and lag of rules, as they are now and again."""

import contextlib
import datetime
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eventyard.cli import completing
from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Json, Url, connect
from eventyard.cli.rates import BusLine, Look, RuleLine, bus_lines, rule_lines
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from eventyard.client import Client

_ROWS_AROUND = 5
"""Lines of a terminal that are not rules, beside one for each bus."""

_SORTS: dict[str, Callable[[RuleLine], object]] = {
    "lag": lambda line: (-line.lag, line.bus, line.rule),
    "rate": lambda line: (-(line.delivered_s or 0), line.bus, line.rule),
    "dead": lambda line: (-line.dead, line.bus, line.rule),
    "name": lambda line: (line.bus, line.rule),
}

_STATE_STYLES = {
    "failing": "red",
    "open": "red",
    "half-open": "red",
    "recovering": "yellow",
    "paused": "yellow",
    "backfilling": "cyan",
}


def top(
    *,
    buses: Annotated[
        list[str] | None,
        typer.Option(
            "--bus", metavar="NAME", help="A bus. May be repeated.  [default: default]", autocompletion=completing.buses
        ),
    ] = None,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.2, max=3600, help="Look again after so long.")
    ] = 2.0,
    sort: Annotated[Literal["lag", "rate", "dead", "name"], typer.Option("--sort", help="What comes first.")] = "lag",
    is_once: Annotated[bool, typer.Option("--once", help="Look twice, an interval apart, and end.")] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show rates and lag of every rule, as they are now and again, until Ctrl-C.

    Example:
      eventyard top
      eventyard top --once --json

    Next: eventyard rules status RULE

    """
    with connect(url) as client:
        looks = _Looks(client, buses or ["default"], interval_s)
        with _shown(Screen(as_json=as_json), url, sort, is_live=not (is_once or as_json)) as show:
            looks.first()
            while True:
                before, now, trouble = looks.following()
                show(before, now, trouble)
                if is_once:
                    return Exit.OK


class _Looks:
    """One look after another. A server that was there is waited for."""

    def __init__(self, client: "Client", buses: list[str], interval_s: float) -> None:
        self._client = client
        self._buses = sorted(set(buses))
        self._interval_s = interval_s
        self._last: Look | None = None

    def first(self) -> None:
        self._last = self._look()

    def following(self) -> tuple[Look, Look, str]:
        """The look before, the one now, and why there is no new one where the server is away."""
        from eventyard.client import ProblemError, Unreachable  # noqa: PLC0415 - heavy, see the package

        assert self._last is not None  # noqa: S101 - `first` comes first
        time.sleep(max(0.0, self._last.at_s + self._interval_s - time.monotonic()) or self._interval_s)
        before = self._last
        try:
            self._last = self._look()
        except (Unreachable, ProblemError) as error:
            if isinstance(error, ProblemError) and error.status < 500:
                raise
            return before, before, str(error)
        return before, self._last, ""

    def _look(self) -> Look:
        """A request for each bus, and one for the positions of all."""
        at_s = time.monotonic()
        statuses = {(bus, status.name): status for bus in self._buses for status in self._client.statuses(bus=bus)}
        heads = {bus.name: bus.head for bus in self._client.buses() if bus.name in self._buses}
        return Look(at_s, heads, statuses)


Show = Callable[[Look, Look, str], None]


@contextlib.contextmanager
def _shown(screen: Screen, url: str, sort: str, *, is_live: bool) -> Iterator[Show]:
    """Live on a terminal that can; else one table after another, or documents."""
    from rich.console import Console  # noqa: PLC0415 - heavy, see the package
    from rich.live import Live  # noqa: PLC0415 - as above

    console = Console()
    if not (is_live and console.is_terminal and not console.is_dumb_terminal):
        yield lambda before, now, trouble: _print(screen, sort, before, now, trouble)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda before, now, trouble: live.update(_page(url, sort, before, now, trouble), refresh=True)


def _print(screen: Screen, sort: str, before: Look, now: Look, trouble: str) -> None:
    if trouble:
        screen.remark(f"{trouble}; trying again until Ctrl-C", {"lost": trouble})
        return
    moment = _now().isoformat(timespec="milliseconds")
    lines = _sorted(before, now, sort)
    for line in lines:
        screen.document({"at": moment} | {name: getattr(line, name) for name in line.__struct_fields__})
    screen.say("\n".join(_told(bus) for bus in bus_lines(before, now)))
    screen.table(_columns(now), [_cells(line, now) for line in lines], whole=("state", *_NUMBERS))


def _now() -> datetime.datetime:
    return datetime.datetime.now().astimezone()


def _sorted(before: Look, now: Look, sort: str) -> list[RuleLine]:
    return sorted(rule_lines(before, now), key=_SORTS[sort])  # type: ignore[arg-type]  # Tuples of one shape.


def _told(bus: BusLine) -> str:
    return f"bus {bus.bus}: position {_count(bus.head)}, {_rate(bus.events_s)} events/s, {_count(bus.rules)} rules, lag {_count(bus.lag)}"


# The live page


def _page(url: str, sort: str, before: Look, now: Look, trouble: str) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - heavy, see the package
    from rich.text import Text  # noqa: PLC0415 - as above

    lines = _sorted(before, now, sort)
    buses = [Text(_told(bus), no_wrap=True, overflow="ellipsis") for bus in bus_lines(before, now)]
    room = max(1, shutil.get_terminal_size().lines - _ROWS_AROUND - len(buses))
    left = len(lines) - room
    foot = f"and {left} more rules; sorted by {sort}, Ctrl-C ends" if left > 0 else f"sorted by {sort}, Ctrl-C ends"
    head = Text(f"eventyard top   {url}   {_now():%H:%M:%S}", style="bold", no_wrap=True, overflow="ellipsis")
    if trouble:
        head = Text(f"{trouble}; trying again", style="bold red", no_wrap=True, overflow="ellipsis")
    return Group(head, *buses, Text(), _table(lines[:room], now), Text(foot, style="dim", no_wrap=True, overflow="ellipsis"))


def _table(lines: list[RuleLine], now: Look) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - heavy, see the package
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    for name in _columns(now):
        # Names give way where the terminal is narrow, nothing else does.
        table.add_column(name.upper(), no_wrap=name not in _NAMES, justify="right" if name in _NUMBERS else "left")
    for line in lines:
        styles = _styles(line)
        cells = zip(_columns(now), _cells(line, now), strict=True)
        table.add_row(*(Text(text, styles.get(name, ""), no_wrap=True, overflow="ellipsis") for name, text in cells))
    return table


_NAMES = ("bus", "rule")
_NUMBERS = ("out/s", "lag", "lag/s", "oldest", "retrying", "dead")


def _columns(now: Look) -> list[str]:
    return [*(["bus"] if len(now.heads) > 1 else []), "rule", "state", *_NUMBERS]


def _cells(line: RuleLine, now: Look) -> list[str]:
    return [
        *([line.bus] if len(now.heads) > 1 else []),
        line.rule,
        line.state,
        _rate(line.delivered_s),
        _count(line.lag),
        _rate(line.lag_s, sign="+"),
        _age(line.oldest_age_s),
        _count(line.retrying),
        _count(line.dead),
    ]


def _styles(line: RuleLine) -> dict[str, str]:
    """Colour only where something wants to be looked at."""
    return {
        "state": _STATE_STYLES.get(line.state, ""),
        "lag/s": "yellow" if (line.lag_s or 0) > 0 else "",
        "dead": "red" if line.dead else "",
    }


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _rate(per_s: float | None, *, sign: str = "") -> str:
    if per_s is None:
        return "-"
    if not per_s:
        return "0"
    return f"{per_s:{sign},.0f}".replace(",", " ") if abs(per_s) >= 10 else f"{per_s:{sign}.1f}"


def _age(age_s: float | None) -> str:
    if age_s is None:
        return "-"
    for unit, of_unit in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if age_s >= 2 * of_unit:
            return f"{age_s / of_unit:.0f}{unit}"
    return f"{age_s:.0f}s"
