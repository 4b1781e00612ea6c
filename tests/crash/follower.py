"""A follower for the crash suite: reads the stream from the beginning, over all lives, and keeps what it saw."""

import threading

from eventyard.client import Client, ClientError, Patience, ProblemError, StoredEvent
from tests.crash.clients import REQUEST_S, Address
from tests.crash.receiver import Identity

UNAVAILABLE = 503


class Follower:
    """What it was given once must be there for ever, so `seen` is the log as far as it goes: every event, once, in order."""

    def __init__(self, address: Address) -> None:
        self.seen: list[tuple[int, Identity]] = []
        self.errors: list[str] = []
        self._address = address
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """When the server has ended."""
        self._is_over = True
        self._thread.join(REQUEST_S)

    def _run(self) -> None:
        """A connection for each life, which ends it."""
        while not self._is_over:
            if url := self._address.get(REQUEST_S):
                with Client(url, patience=Patience(attempts_max=1)) as client:
                    self._follow(client)

    def _follow(self, client: Client) -> None:
        try:
            for stored in client.follow(after=len(self.seen)):
                self.seen.append((stored.position, _identity(stored)))
        except ProblemError as error:
            if error.status != UNAVAILABLE:
                self.errors.append(str(error))
        except ClientError:
            return


def _identity(stored: StoredEvent) -> Identity:
    return stored.event["source"], stored.event["id"]
