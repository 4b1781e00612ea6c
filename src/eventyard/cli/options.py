"""Options that several commands have, said once."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventyard.cli import completing, reaching
from eventyard.cli.failures import Failure
from eventyard.cli.places import key, moment

if TYPE_CHECKING:
    from eventyard.client import Client

DEFAULT_URL = "http://127.0.0.1:8410"

Url = Annotated[str, typer.Option("--url", envvar="EVENTYARD_URL", metavar="URL", help="The server's address.")]
Bus = Annotated[str, typer.Option("--bus", metavar="NAME", help="The bus to speak to.", autocompletion=completing.buses)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")]
RuleName = Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.", autocompletion=completing.rules)]
DetectorName = Annotated[
    str, typer.Argument(metavar="DETECTOR", help="The detector's name.", autocompletion=completing.detectors)
]
ExpectationName = Annotated[
    str, typer.Argument(metavar="EXPECTATION", help="The expectation's name.", autocompletion=completing.expectations)
]
ScheduleName = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="The schedule's name.", autocompletion=completing.schedules)
]
BusName = Annotated[str, typer.Argument(metavar="NAME", help="The bus's name.", autocompletion=completing.buses)]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

DeathReason = Annotated[
    str | None, typer.Option("--reason", metavar="REASON", help="Those that died for it, as the list shows it.")
]
DeathKey = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="Those of this order key: text, or JSON ('\"7\"', 7).")
]
DiedFrom = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Died since: RFC 3339, or 90s, 15m, 2h, 3d ago.")]
DiedUntil = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Died before: as --from.")]

ATTEMPTS = 3
"""A person is waiting: a server that is not there is said within half a second."""


def death_filter(reason: str | None, key_text: str | None, from_: str | None, until: str | None) -> dict[str, Any]:
    """What narrows dead letters, as the client takes it."""
    given = {
        "reason": reason,
        "key": None if key_text is None else key(key_text),
        "from_": moment(from_),
        "until": moment(until),
    }
    return {name: value for name, value in given.items() if value is not None}


def connect(url: str, *, attempts_max: int = ATTEMPTS, wait_s_max: float = 30.0) -> "Client":
    """The server at `url`. Nothing is sent yet."""
    from eventyard.client import Client, Patience  # noqa: PLC0415 - heavy, see the package

    try:
        patience = Patience(attempts_max=attempts_max, wait_max_s=wait_s_max)
        return Client(url, patience=patience, key=reaching.key(), ca_file=reaching.ca_file())
    except ValueError as error:
        raise Failure(str(error), advice="--url http://HOST:PORT, or set EVENTYARD_URL") from error
