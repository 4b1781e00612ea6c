"""The composition root: the only place that picks an engine, a transport and a clock, and puts a bus together.

`serve` runs a bus as a process of its own; `open_bus` inside another program. Both keep everything in one SQLite file, unless `serve` is told
to keep a journal on NATS JetStream.
"""

import asyncio
import contextlib
import errno
import functools
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import uvloop

import eventyard
from eventyard import entrance, logbook, process
from eventyard import settings as settings_module
from eventyard.bus import Eventyard
from eventyard.bus.figures import Holdings
from eventyard.core import handshake, limits
from eventyard.core.errors import InvalidSettings, JournalAway, StorageFailed, StorageFull
from eventyard.core.hosts import Hosts
from eventyard.core.network import Policy
from eventyard.core.record import ID_BYTES
from eventyard.engines.sqlite import DATABASE, REMADE, SqliteEngine, hold, open_remade
from eventyard.expressions import Evaluators
from eventyard.ports import Engine
from eventyard.settings import Settings
from eventyard.stopping import Stop
from eventyard.surfaces.http import Certificates, Server, app
from eventyard.transports.http import HttpTransport
from eventyard.vault import SECRETS_KEY_FILE, KeyFile

START_AGAIN_S = 5
"""Between two tries to start on a disk that refuses: soon enough for who has just made room, seldom enough for a log."""


class SystemClock:
    """`ports.Clock` as the operating system tells it."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


def serve(settings: Settings) -> int:
    """Run a bus until SIGTERM or Ctrl-C; a second Ctrl-C ends it at once, which loses nothing either. The exit code.

    Raises InvalidSettings, before it listens, where it cannot run like this.
    """
    certificates = entrance.certificates(settings)
    process.prepare(settings.log_level, settings.log_format)
    with bind(settings) as listener, hold(settings.data):
        uvloop.run(_serve(settings, listener, certificates))
    return 0


def bind(settings: Settings) -> socket.socket:
    """The socket that the bus will listen on; not listening yet, so that nobody waits while the store is taken up."""
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, settings.port))
    except OSError as error:
        listener.close()
        raise _cannot_bind(settings, error) from error
    return listener


def _cannot_bind(settings: Settings, error: OSError) -> InvalidSettings:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        found = f'cannot listen on "{settings.host}": {(error.strerror or "no such address").lower()}'
        return InvalidSettings(found, wanted="an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them", at="host")
    return InvalidSettings(
        f"cannot listen on {settings.host} port {settings.port}: {os.strerror(error.errno or 0).lower()}",
        wanted="a free port: stop what listens there (perhaps another bus), or choose with --port; 0 takes any",
        at="port",
    )


ON_DISK = "202 means durable: the event is on disk, and every rule that it matches has its delivery."


class Kept(msgspec.Struct, frozen=True):
    """An engine, where it keeps the bus, in words for a person, and what being accepted means there, asked once it is open."""

    engine: Engine
    where: str
    meaning: Callable[[], str]


def kept(settings: Settings) -> Kept:
    """By the engine that the settings choose. Raises `JournalAway`, `InvalidSettings`, `Corrupt`."""
    folder, servers = Path(settings.data), settings_module.journal_servers(settings)
    _check_folder(folder, DATABASE if servers else REMADE)
    if servers:
        return _journalled(folder, servers, settings.journal_prefix)
    return Kept(SqliteEngine(str(folder / DATABASE)), f"Data is kept in {folder.resolve()}", lambda: ON_DISK)


def _check_folder(folder: Path, unwanted: str) -> None:
    """What is in the folder is not forgotten because another engine was named."""
    if (folder / unwanted).exists():
        whose = "of one machine" if unwanted == DATABASE else "of a journal on NATS"
        raise InvalidSettings(f"found {folder / unwanted}, the store of a bus {whose}", wanted="another folder", at="data")


def _journalled(folder: Path, servers: list[str], prefix: str) -> Kept:
    from eventyard.engines.nats.engine import NatsEngine  # noqa: PLC0415 - a client that one machine does not need
    from eventyard.engines.nats.jetstream import JetStreams  # noqa: PLC0415 - as above

    with contextlib.ExitStack() as undo:
        streams = JetStreams(servers, prefix=prefix)
        undo.callback(streams.close)
        store = open_remade(str(folder / REMADE))
        undo.callback(store.close)
        leader = f"{socket.gethostname()[:40]}/{os.getpid()}"
        engine = NatsEngine(streams, store, leader=leader, ids=functools.partial(os.urandom, ID_BYTES))
        undo.pop_all()
    where = logbook.without_secrets(", ".join(servers))
    return Kept(engine, f"The journal is kept by {where}, and what it comes to in {folder.resolve()}", streams.meaning)


def compose(
    engine: Engine,
    policy: Policy,
    secrets_key_file: Path,
    *,
    is_pushing: bool = True,
    trace_endpoint: str = "",
    trace_ratio: float = 0.0,
    hops_max: int = limits.HOPS_MAX_DEFAULT,
    hosts: Hosts | None = None,
    origin: str = handshake.ORIGIN_DEFAULT,
) -> Eventyard:
    """A bus on the engine, not started."""
    clock = SystemClock()
    tracing = process.tracing(trace_endpoint, trace_ratio)
    return Eventyard(
        engine,
        HttpTransport(policy),
        clock,
        policy,
        is_pushing=is_pushing,
        tracing=tracing,
        vault=KeyFile(secrets_key_file),
        expressions=Evaluators(),
        hops_max=hops_max,
        hosts=hosts,
        origin=origin,
    )


async def _serve(settings: Settings, listener: socket.socket, certificates: Certificates | None) -> None:
    yard, found = await _taken_up(settings)
    trusted = entrance.issuer(yard, settings)
    stop = Stop(settings.stop_delay_s, settings.drain_s)
    server = Server(
        app(yard, hosts=settings.host_name, is_public=not settings.is_loopback, unready=yard.unready, issuer=trusted),
        drain_s=settings.drain_s,
        started=lambda: _greet(settings, listener, yard, found),
        stopping=yard.drain,
        tls=certificates.context if certificates else None,
    )
    try:
        gc.freeze()
        stop.follow_signals(leave=yard.leave, listen_no_more=server.leave)
        entrance.follow_hangup(certificates, trusted)
        await server.serve([listener])
    except OSError as error:
        raise _cannot_bind(settings, error) from error
    finally:
        unanswered = await yard.stop(stop.left_s)
    stop.tell_end(unanswered)


async def _taken_up(settings: Settings) -> tuple[Eventyard, Kept]:
    """The bus, started, and where it is kept. A disk that has no room for that, or fails, and servers that are away are waited for: a server
    that ended could only be started again.
    """
    while True:
        try:
            return await _started(settings)
        except (StorageFull, StorageFailed, JournalAway) as error:
            logbook.START_WAITS(every_s=START_AGAIN_S, error=error.detail)
        await asyncio.sleep(START_AGAIN_S)


async def _started(settings: Settings) -> tuple[Eventyard, Kept]:
    found = await asyncio.to_thread(kept, settings)
    yard = await asyncio.to_thread(
        compose,
        found.engine,
        settings_module.policy(settings),
        Path(settings.secrets_key_file or Path(settings.data) / SECRETS_KEY_FILE),
        is_pushing=settings.dispatch,
        trace_endpoint=settings.trace_endpoint,
        trace_ratio=settings.trace_ratio,
        hops_max=settings.hops_max,
        hosts=settings_module.hosts(settings),
        origin=settings.webhook_origin,
    )
    try:
        await asyncio.to_thread(_open, yard, settings)
    except BaseException:
        await yard.stop(0)
        raise
    return yard, found


def _open(yard: Eventyard, settings: Settings) -> None:
    """Nothing goes out, and nobody comes in, before it is known who may."""
    yard.open()
    entrance.check(yard, settings)
    yard.begin()


def _greet(settings: Settings, listener: socket.socket, yard: Eventyard, found: Kept) -> None:
    host, port = listener.getsockname()[:2]
    url = f"{'https' if settings.tls_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    held = yard.holdings()
    process.say(
        f"Eventyard {eventyard.__version__} listens on {url}",
        f"{found.where}: {_told(held)}",
        found.meaning(),
        *(() if settings.dispatch else (f"Push is left to workers: eventyard worker --server {url}",)),
        *entrance.warnings(yard, settings, url),
        "Stop with Ctrl-C.",
    )
    logbook.SERVER_STARTED(
        version=eventyard.__version__,
        url=url,
        buses=held.buses,
        events=held.events,
        rules=held.rules,
        bytes=held.bytes,
        pending=held.pending,
    )
    process.notify("READY=1")


def _told(held: Holdings) -> str:
    counts = ((held.buses, "bus", "buses"), (held.events, "event", "events"), (held.rules, "rule", "rules"))
    shown = ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in counts)
    waiting = f"; {held.pending:,} {'delivery waits' if held.pending == 1 else 'deliveries wait'}" if held.pending else ""
    return f"{shown}, {held.bytes / 1e6:,.1f} MB{waiting}"


@contextlib.asynccontextmanager
async def open_bus(path: str | Path, *, allow_loopback: bool = True) -> AsyncIterator[Eventyard]:
    """A bus inside this program: `async with eventyard.open("shop.db") as bus`.

    The file is held by this process alone. On the way out pushes under way may end (10 s), and all that was accepted is kept.
    """
    target = Path(path)
    with hold(target.parent):
        policy = Policy(is_loopback_allowed=allow_loopback)
        yard = compose(SqliteEngine(str(target)), policy, target.with_name(SECRETS_KEY_FILE))
        try:
            await asyncio.to_thread(yard.start)
            yield yard
        finally:
            await yard.stop()
