"""Names that a shell completes, as the server has them. Where it cannot be asked at once, there are none: nobody waits for a completion."""

import contextlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventyard.client import Client

_ANSWER_S = 0.5
_NAMES_MAX = 500
"""One page of a list."""


def rules(context: typer.Context, incomplete: str) -> list[str]:
    """Of the bus that the command line names."""
    bus = context.params.get("bus")
    return _names(
        context,
        incomplete,
        lambda client: client.rules(bus=bus if isinstance(bus, str) else "default", after=_before(incomplete)),
    )


def detectors(context: typer.Context, incomplete: str) -> list[str]:
    """Of the bus that the command line names."""
    bus = context.params.get("bus")
    return _names(
        context,
        incomplete,
        lambda client: client.detectors(bus=bus if isinstance(bus, str) else "default", after=_before(incomplete)),
    )


def expectations(context: typer.Context, incomplete: str) -> list[str]:
    """As `rules`."""
    bus = context.params.get("bus")
    return _names(
        context,
        incomplete,
        lambda client: client.expectations(bus=bus if isinstance(bus, str) else "default", after=_before(incomplete)),
    )


def _before(prefix: str) -> str | None:
    """Behind every name that comes before those with this beginning, so that the first page of thousands is the right one."""
    return prefix[:-1] + chr(ord(prefix[-1]) - 1) + "\x7f" if prefix else None


def schedules(context: typer.Context, incomplete: str) -> list[str]:
    """As `rules`."""
    bus = context.params.get("bus")
    return _names(
        context,
        incomplete,
        lambda client: client.schedules(bus=bus if isinstance(bus, str) else "default", after=_before(incomplete)),
    )


def buses(context: typer.Context, incomplete: str) -> list[str]:
    return _names(context, incomplete, lambda client: client.buses())


def _names(context: typer.Context, incomplete: str, ask: "Callable[[Client], Iterator[Any]]") -> list[str]:
    # Whatever goes wrong, a shell has no place to say it.
    with contextlib.suppress(Exception), _connected(context) as client:
        return [found.name for found in itertools.islice(ask(client), _NAMES_MAX) if found.name.startswith(incomplete)]
    return []


def _connected(context: typer.Context) -> "Client":
    """As the command would be, were it carried out: the options that stand on the line so far, and the variables."""
    from eventyard.cli import options, reaching  # noqa: PLC0415 - they need this module
    from eventyard.client import Client, Patience  # noqa: PLC0415 - heavy, see the package

    params = context.params
    key_file, ca_file = params.get("key_file"), params.get("ca_file")
    return Client(
        params.get("url") or params.get("server") or options.DEFAULT_URL,
        timeout_s=_ANSWER_S,
        patience=Patience(attempts_max=1),
        key=reaching.key_in(Path(key_file)) if key_file else os.environ.get(reaching.KEY_VARIABLE, "").strip(),
        ca_file=str(ca_file or ""),
    )
