"""Keys for tests: what a key opens is named, never its text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from eventyard.core.access import EVERYTHING, Grant, Scope
from eventyard.serve import SystemClock
from eventyard.surfaces.http.access import TokenReader
from tests.support.buses import ServedBus, served_bus

HOUR_MS = 3_600_000


class MovedClock(SystemClock):
    """The system's clock, with a wall clock that can be set ahead."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class LockedBus:
    """A served bus whose keys are in use. `admin` is a key that may do everything."""

    def __init__(self, door: ServedBus, clock: MovedClock) -> None:
        self.door = door
        self.clock = clock
        self.admin, _ = self.make("admin", EVERYTHING)

    def make(self, name: str, grant: Grant, *, lives_ms: int = 0) -> tuple[str, str]:
        """A key and its id. `lives_ms`: how long from now on; 0 for ever."""
        expires_ms = self.clock.now_ms() + lives_ms if lives_ms else 0
        text, record = self.door.call(self.door.yard.create_key(name, grant, expires_ms=expires_ms))
        return text, record.id

    def key(self, *scopes: Scope, buses: tuple[str, ...] | None = None, **bounds: Any) -> str:
        return self.make("some", Grant(scopes, buses, **bounds))[0]

    def revoke(self, key: str) -> None:
        self.door.call(self.door.yard.revoke_key(key[3:11]))

    def ask(self, method: str, path: str, key: str = "", **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({"authorization": f"Bearer {key}"} if key else {})}
        return self.door.request(method, path, headers=headers, **more)


@contextmanager
def locked_bus(issuer: TokenReader | None = None) -> Iterator[LockedBus]:
    clock = MovedClock()
    with served_bus(clock=clock, issuer=issuer) as door:
        yield LockedBus(door, clock)
