"""Servers of NATS for tests: processes of their own on free ports of this machine, with JetStream in a folder that goes with them."""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SERVER = str(Path(sys.executable).with_name("nats-server"))
STARTED_WITHIN_S = 20


class NatsServer:
    """One server. `options` are lines of its file of settings."""

    def __init__(self, folder: Path, *options: str, has_jetstream: bool = True) -> None:
        self.folder = folder
        (self.port,) = _free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        stored = f'jetstream {{ store_dir: "{folder}", max_file_store: 1GB, max_memory_store: 64MB }}'
        self._settings = folder / "nats.conf"
        folder.mkdir(parents=True, exist_ok=True)
        lines = (f'listen: "127.0.0.1:{self.port}"', *([stored] if has_jetstream else []), *options)
        self._settings.write_text("\n".join(lines), encoding="utf-8")
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [SERVER, "-c", str(self._settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_until_it_listens(self.port)

    def pause(self) -> None:
        """It answers nothing more when this returns: the kernel says when all its threads have stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared_server() -> NatsServer:
    """One for all tests of this process that only want JetStream, each under names of its own."""
    server = NatsServer(Path(tempfile.mkdtemp(prefix="nats-")))
    atexit.register(server.close)
    return server


@contextlib.contextmanager
def nats_server(folder: Path, *options: str, has_jetstream: bool = True) -> Iterator[NatsServer]:
    server = NatsServer(folder, *options, has_jetstream=has_jetstream)
    try:
        yield server
    finally:
        server.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait_until_it_listens(port: int) -> None:
    """A server listens once it has taken up what it holds."""
    for _ in range(STARTED_WITHIN_S * 50):
        with socket.socket() as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"no server listens on {port}")
