"""What every process of ours sets up, and how it speaks to whoever started it."""

import contextlib
import gc
import logging
import os
import resource
import socket
import sys

from eventyard import logbook
from eventyard.core.errors import InvalidSettings
from eventyard.ports import Tracing

SWITCH_INTERVAL_S = 0.0005
"""How long one Python thread may keep the others waiting. The door's thread and the writer's hand work to and fro for every
event; at Python's default of 5 ms each hand-over under load costs that."""

GC_THRESHOLDS = (50_000, 20, 100)
"""Python looks for cycles after every 700 new objects, which each decoded event is a fair part of, and no event is a cycle. On
the way to 202 that was 6 % of the time."""


def prepare(log_level: str, log_format: str = "auto") -> None:
    """`log_format`: json, text, or auto: text for a person at a terminal and JSON for all others."""
    _log_to(
        logging.StreamHandler(), log_level, is_json=log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    _allow_descriptors()


def _log_to(handler: logging.Handler, log_level: str, *, is_json: bool) -> None:
    handler.setFormatter(logbook.JsonLines() if is_json else logbook.TextLines())
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)


def _allow_descriptors() -> None:
    """As many sockets as the system lets us have: each connection and each push is one."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def tracing(endpoint: str, ratio: float) -> Tracing | None:
    """What makes spans; None where nobody wants them, and then nothing of it is loaded."""
    if not endpoint:
        return None
    if not endpoint.startswith(("http://", "https://")):
        wanted = "the address of a collector, as http://127.0.0.1:4318/v1/traces"
        raise InvalidSettings(f'found "{endpoint[:100]}"', wanted=wanted, at="trace-endpoint")
    try:
        from eventyard import tracing as room  # noqa: PLC0415 - not everybody has what it needs
    except ModuleNotFoundError as error:
        wanted = "what tracing needs: pip install 'eventyard[otel]'"
        raise InvalidSettings(f"found that {error.name} is not installed", wanted=wanted, at="trace-endpoint") from error
    return room.Tracing.to(endpoint, ratio)


def notify(state: str) -> None:
    """Tell systemd, where it started this process and asked to be told (sd_notify(3), one datagram)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.send(state.encode())


def say(*lines: str) -> None:
    """A reader that has gone, as of a pipe, is no reason to stop."""
    with contextlib.suppress(OSError):
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
