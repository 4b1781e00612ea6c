"""`eventyard worker`: push dispatch as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from eventyard.cli import reaching
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL


def worker(
    *,
    server: Annotated[
        str, typer.Option("--server", envvar="EVENTYARD_URL", metavar="URL", help="The server to push for.")
    ] = DEFAULT_URL,
    allow_network: Annotated[
        list[str] | None,
        typer.Option("--allow-network", metavar="CIDR", help="A private network that targets may stand in. May be repeated."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A TOML file of settings; variables and flags win over it.")
    ] = None,
    drain_s: Annotated[
        float | None,
        typer.Option("--drain-s", metavar="SECONDS", help="How long a stop waits for pushes under way. [default: 10]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error. [default: info]")
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            "--log-format", metavar="FORMAT", help="auto, json or text. [default: auto: text on a terminal, else JSON]"
        ),
    ] = None,
) -> int:
    """Push for a server, in a process of its own. Ctrl-C stops it once pushes under way are done.

    A server that is started with --no-dispatch leaves all pushing to workers, so
    that it uses more than one core; any number of them share the rules of all
    buses. Beside a server that pushes itself a worker helps it. Where keys are in
    use it needs one with the scope consume for all buses.

    Example:
      eventyard worker --server http://127.0.0.1:8410

    Next, for each further core: eventyard worker --server http://127.0.0.1:8410

    """
    from eventyard import settings  # noqa: PLC0415 - heavy, see the package
    from eventyard.worker import WrongServer, work  # noqa: PLC0415 - as above

    flags = {"allow_network": allow_network or None, "drain_s": drain_s, "log_level": log_level, "log_format": log_format}
    try:
        all_told = work(settings.load(flags, file=config), server, key=reaching.key(), ca_file=reaching.ca_file())
    except WrongServer as error:
        advice = (
            "check --server, where something else than Eventyard or another version may answer, and the key"
            " (EVENTYARD_KEY or --key-file), which needs the scope consume for all buses"
        )
        raise Failure(f"{error.title}: {error}", advice=advice, code=Exit.REFUSED) from error
    return Exit.OK if all_told else Exit.UNAVAILABLE
