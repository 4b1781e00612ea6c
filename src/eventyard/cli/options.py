"""Options that several commands have, said once."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventyard.cli.failures import Failure

if TYPE_CHECKING:
    from eventyard.client import Client

DEFAULT_URL = "http://127.0.0.1:8410"

Url = Annotated[str, typer.Option("--url", envvar="EVENTYARD_URL", metavar="URL", help="The server's address.")]
Bus = Annotated[str, typer.Option("--bus", metavar="NAME", help="The bus to speak to.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")]
RuleName = Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.")]

ATTEMPTS = 3
"""A person is waiting: a server that is not there is said within half a second."""


def connect(url: str, *, attempts_max: int = ATTEMPTS, wait_s_max: float = 30.0) -> "Client":
    """The server at `url`. Nothing is sent yet."""
    from eventyard.client import Client, Patience  # noqa: PLC0415 - heavy, see the package

    try:
        return Client(url, patience=Patience(attempts_max=attempts_max, wait_max_s=wait_s_max))
    except ValueError as error:
        raise Failure(str(error), advice="--url http://HOST:PORT, or set EVENTYARD_URL") from error
