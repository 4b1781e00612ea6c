"""`eventyard serve`: the server itself, in this process."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    *,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="The address to listen on. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", metavar="PORT", help="0: any free one. [default: 8410]")] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="FOLDER", help="Where the store is kept. [default: ./eventyard-data]")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="sqlite, or the NATS servers that keep the journal: nats://a:4222,b:4222 [default: sqlite]",
        ),
    ] = None,
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
    stop_delay_s: Annotated[
        float | None,
        typer.Option(
            "--stop-delay-s",
            metavar="SECONDS",
            help="How long a stop goes on serving, not ready, before it begins. [default: 0]",
        ),
    ] = None,
    host_concurrency: Annotated[
        int | None,
        typer.Option(
            "--host-concurrency",
            metavar="COUNT",
            help="Pushes under way to any one host, over all rules. [default: 0, no bound]",
        ),
    ] = None,
    host_rate: Annotated[
        float | None,
        typer.Option("--host-rate", metavar="NUMBER", help="Pushes in a second to any one host, likewise. [default: 0]"),
    ] = None,
    dispatch: Annotated[
        bool | None,
        typer.Option(
            "--dispatch/--no-dispatch", help="Push itself, or leave it to workers (eventyard worker). [default: --dispatch]"
        ),
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option("--host-name", metavar="NAME", help="A name that the bus is reached by. May be repeated."),
    ] = None,
    first_key: Annotated[
        Path | None,
        typer.Option(
            "--first-key", metavar="FILE", help="The first access key: taken from this file, or made and written there."
        ),
    ] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Listen where others reach it and ask nobody for a key.")
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option("--tls-certificate", metavar="FILE", help="Speak TLS with this certificate (PEM); read again on SIGHUP."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key (PEM).")] = None,
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
    """Run a server in the foreground. Ctrl-C stops it once pushes under way are done.

    On another address than a loopback one it starts only with an access key.

    Every setting can also stand in EVENTYARD_HOST, EVENTYARD_PORT, ... or in a
    TOML file: docs/reference/settings.md.

    Example:
      eventyard serve --port 8410 --data ./eventyard-data

    Next, in another terminal: eventyard publish --type order.paid --source /shop

    """
    from eventyard import serve as server  # noqa: PLC0415 - heavy, see the package
    from eventyard import settings  # noqa: PLC0415 - as above

    flags = {
        "host": host,
        "port": port,
        "data": data,
        "engine": engine,
        "allow_network": allow_network or None,
        "drain_s": drain_s,
        "stop_delay_s": stop_delay_s,
        "host_concurrency": host_concurrency,
        "host_rate": host_rate,
        "dispatch": dispatch,
        "host_name": host_name or None,
        "first_key": first_key and str(first_key),
        "insecure": insecure,
        "tls_certificate": tls_certificate and str(tls_certificate),
        "tls_key": tls_key and str(tls_key),
        "log_level": log_level,
        "log_format": log_format,
    }
    return server.serve(settings.load(flags, file=config))
