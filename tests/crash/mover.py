"""An operator for the crash suite: seeks one rule and replays to it, again and again, whether the server lives to answer or not."""

import contextlib
import http.client
import random
import threading
import urllib.error

from tests.crash.books import call
from tests.crash.clients import REQUEST_S, Address

STRETCH = 300
"""Positions that a seek goes back, and that a replay repeats: enough to be under way at some kill, little enough to be done at the end."""

ASKED_MAX = 12
PAUSE_S = 0.15


class Mover:
    """What it was not answered may have happened or not: the log tells."""

    def __init__(self, rule: str, address: Address, seed: int) -> None:
        self._path = f"/v1/buses/default/rules/{rule}"
        self._address = address
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        for _ in range(ASKED_MAX):
            if self._stopping.wait(PAUSE_S):
                return
            if url := self._address.get(REQUEST_S):
                with contextlib.suppress(urllib.error.URLError, http.client.HTTPException, OSError):
                    self._move(url)

    def _move(self, url: str) -> None:
        head = call(f"{url}/v1/buses/default")["head"]
        place = {"position": max(1, head - self._rng.randrange(STRETCH))}
        if self._rng.random() < 0.4:
            call(f"{url}{self._path}/seek", method="POST", document={"to": place})
        else:
            pace = self._rng.choice(({}, {"per_s": 500}))
            call(f"{url}{self._path}/replays", method="POST", document={"from": place} | pace)
