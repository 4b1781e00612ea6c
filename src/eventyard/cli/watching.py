"""`eventyard rules watch`: what is done to rules and what goes wrong with them, as it happens."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import completing
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.screen import Screen
from eventyard.cli.tailing import Lines, follow_on

if TYPE_CHECKING:
    from eventyard.client import StoredEvent

_PREFIX = "io.eventyard."
_KINDS = ("rule.", "delivery.", "replay.", "retention.")
_COLUMNS = ("position", "accepted", "what", "rule", "told")
_KNOWN = {"name", "uid", "rule"}
"""Fields that say nothing beside the columns, or too much."""


def watch(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RULE]", help="Only this rule.  [default: all]", autocompletion=completing.rules),
    ] = None,
    *,
    after: Annotated[
        int | None, typer.Option("--after", metavar="POSITION", min=0, help="From behind this position on, not only from now.")
    ] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Watch rules: who changes, pauses or deletes them, and what fails, recovers and dies. Until Ctrl-C.

    Example:
      eventyard rules watch
      eventyard rules watch rewards --after 0

    Next: eventyard rules status RULE

    """
    with connect(url) as client:
        if name is not None and after is None:
            client.rule(name, bus=bus)  # One that is not there would be waited for without end.
        head = client.bus(bus).head
    wanted: dict[str, Any] = {"type": [{"prefix": _PREFIX + kind} for kind in _KINDS]}
    if name is not None:
        wanted["subject"] = [name]
    lines = Lines(Screen(as_json=as_json), _COLUMNS, _row)
    follow_on(lines, url, bus, msgspec.json.encode(wanted), head if after is None else after)


def _row(stored: "StoredEvent") -> tuple[object, ...]:
    event = stored.event
    data = event.get("data") or {}
    told = " ".join(f"{name}={_text(value)}" for name, value in data.items() if name not in _KNOWN and value not in ("", None))
    return str(stored.position), stored.accepted, str(event["type"]).removeprefix(_PREFIX), event.get("subject"), told


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
