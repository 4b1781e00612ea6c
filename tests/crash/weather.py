"""What else may happen to a node of a cluster while it is killed: the server of its journal dies under it, and its store is lost."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.nats_servers import NatsServer, nats_server


class Weather(threading.Thread):
    """Kills the journal's server and starts it again, until it is told to stop; then the server is there."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__()
        self.url = server.url
        self._server = server
        self._over = threading.Event()
        self.deaths = 0

    def run(self) -> None:
        while not self._over.wait(1.0):
            self._server.kill()
            self.deaths += 1
            self._over.wait(0.3)
            self._server.start()

    def stop(self) -> None:
        """Twice is harmless."""
        self._over.set()
        self.join()


@contextlib.contextmanager
def bad_weather(folder: Path) -> Iterator[Weather]:
    with nats_server(folder) as server:
        weather = Weather(server)
        weather.start()
        try:
            yield weather
        finally:
            weather.stop()


def lose_store(data: Path) -> None:
    """All that a node has of its own but the key of its secrets, which no journal holds."""
    for file in data.glob("replica*"):
        file.unlink()
