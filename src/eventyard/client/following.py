"""Following a bus over one connection after another, as a conversation without I/O.

Theory of operation. The server numbers every message with the position up to which its reader need not ask again. Whatever ends a
connection, the next one begins behind the last whole message, so nothing is missed and nothing comes twice. Patience counts
attempts that came to nothing: as soon as a connection says more than where it begins, the count starts again.
"""

import random
from collections.abc import Callable, Iterator

import msgspec

from eventyard.client.answers import StoredEvent
from eventyard.client.call import Attempt, Request, problem_error, unreadable
from eventyard.client.errors import ClientError, Gap, ProblemError, Unreachable
from eventyard.client.messages import Message, Messages, TooLong
from eventyard.client.patience import Outcome, Patience, Response

SILENCE_S = 45.0
"""A connection that says nothing for so long is dead: the server speaks at least every 15 s."""

EVENT_STREAM = "text/event-stream"

OnContact = Callable[[ClientError | None], None]


class Follow(msgspec.Struct, frozen=True):
    """What is to be followed. `request` is without the position where it begins: `after` (None: from now on)."""

    request: Request
    after: int | None = None
    on_contact: OnContact | None = None


class Following:
    """One reader, from its first connection to its last. A shell asks `attempt`, sends it, and reports what came of it."""

    def __init__(self, follow: Follow, patience: Patience, rng: random.Random) -> None:
        self._follow = follow
        self._patience = patience
        self._rng = rng
        self._last_id = "" if follow.after is None else str(follow.after)
        self._failures = 0
        self._delay_s = 0.0
        self._messages = Messages()
        self._is_told_where = False
        self._said_last = ""

    def attempt(self) -> Attempt:
        """The next connection, and how long to wait before it."""
        headers = {"accept": EVENT_STREAM} | ({"last-event-id": self._last_id} if self._last_id else {})
        return Attempt(msgspec.structs.replace(self._follow.request, headers=headers), self._delay_s)

    def meet(self, response: Response) -> bool:
        """The head of an answer is here: whether a stream follows. Else `lose` wants all of it."""
        if response.status != 200:
            return False
        if not response.content_type.startswith(EVENT_STREAM):
            raise ProblemError(unreadable(response, f"found the content type {response.content_type!r}"))
        self._messages = Messages()
        self._is_told_where = False
        self._said_last = ""
        self._tell(None)
        return True

    def read(self, received: bytes) -> Iterator[StoredEvent]:
        """The events that these bytes complete. Raises Gap where the bus cannot give some."""
        try:
            for message in self._messages.read(received):
                yield from self._take(message)
        except (TooLong, ValueError, msgspec.MsgspecError) as error:
            raise ProblemError(unreadable(Response(200, received), f"{error!r}")) from error

    def _take(self, message: Message) -> Iterator[StoredEvent]:
        self._last_id = message.id
        if self._is_told_where:
            self._failures = 0
        self._is_told_where = True
        if message.name == "":
            self._failures = 0
            yield msgspec.json.decode(message.data, type=StoredEvent)
        elif message.name == "gap":
            gap = msgspec.json.decode(message.data, type=_Gap)
            raise Gap(gap.first, gap.last, gap.reason)
        elif message.name == "cut":
            self._said_last = msgspec.json.decode(message.data, type=_Cut).reason

    def end(self, url: str) -> None:
        """The stream has ended as it should. Raises as `lose` does."""
        self.lose(Unreachable(url, f"the server ended the stream: {self._said_last or 'it did not say why'}"))

    def lose(self, outcome: Outcome) -> None:
        """A connection ended in this, or there was none. Raises it where patience ends."""
        self._failures += 1
        error = outcome if isinstance(outcome, Unreachable) else problem_error(outcome)
        delay_s = self._patience.wait_s(outcome, self._failures, chance=self._rng.random())
        if delay_s is None:
            raise error
        self._delay_s = delay_s
        self._tell(error)

    def _tell(self, trouble: ClientError | None) -> None:
        if self._follow.on_contact is not None:
            self._follow.on_contact(trouble)


class _Gap(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    first: int
    last: int
    reason: str


class _Cut(msgspec.Struct, frozen=True):
    reason: str
