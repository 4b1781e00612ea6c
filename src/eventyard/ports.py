"""What the stages need from outside: an engine to commit to, a transport to push over, a clock.

These are the only places where the world comes in, so a simulation replaces these and nothing else.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from eventyard.core import limits
from eventyard.core.auth import Grant
from eventyard.core.bus_state import Loaded
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.commands import Lease, Published
from eventyard.core.errors import Refused
from eventyard.core.event import Event
from eventyard.core.loss import Losses, Verified
from eventyard.core.record import Stand
from eventyard.core.view import View


class Clock(Protocol):
    """Time as the operating system tells it. The bus turns it into bus time, which never runs backwards."""

    def now_ms(self) -> int:
        """Unix time in milliseconds: the wall clock, which may jump."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds that only ever go forward, from any start."""
        ...


class PushRequest(msgspec.Struct, frozen=True):
    """One HTTP request of a push."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float
    answer_bytes_max: int = limits.PUSH_ANSWER_BYTES
    method: str = "POST"
    grant: Grant | None = None
    """What it wants an access token of, which a transport of its own puts in (`tokens`)."""


class PushAnswer(msgspec.Struct, frozen=True):
    """What came of a push: an HTTP answer (`status` 100-599), or none (`status` 0 and `failure` says why).

    `failure` is one short phrase for a person, without secrets and without the URL's query: "timed out after 10 s",
    "connection refused", "address 10.0.0.1 is forbidden", "answer headers larger than 64 KiB". `is_refused` is true when
    the network policy refused the address, so nothing was sent at all.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    failure: str = ""
    is_refused: bool = False
    elapsed_s: float = 0.0


class Transport(Protocol):
    """Sends pushes. Any number may be under way; the caller bounds them."""

    @property
    def is_running(self) -> bool:
        """Whether pushes can be sent: it has not ended, by a defect or a `close`."""
        ...

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        """Start one push from any thread. `done` is called exactly once, on the transport's own thread, and must be quick."""
        ...

    def close(self) -> None:
        """End every push under way (each gets a `failure`) and stop."""
        ...


class Values(msgspec.Struct, frozen=True, array_like=True, tag="values"):
    """What came of each expression, as JSON; None for nothing."""

    values: tuple[bytes | None, ...]


class ExpressionFailed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Why the expression `number` failed, and at which character; -1: all of them together. `is_last`: its evaluator ends itself."""

    reason: str
    number: int = -1
    character: int = 0
    is_last: bool = False


class PutOff(msgspec.Struct, frozen=True, array_like=True, tag="put-off"):
    """They were not evaluated, and nothing is known of them: too many waited, the machine was too busy, or the bus stops."""


Outcome = Values | ExpressionFailed | PutOff


class Expressions(Protocol):
    """Evaluates what a transform says, bounded in time and memory, and away from whoever asks."""

    def evaluate(
        self,
        who: Hashable,
        expressions: tuple[str, ...],
        event: bytes,
        facts: Mapping[str, bytes],
        done: Callable[[Outcome], None],
    ) -> None:
        """From any thread; without an event they are only read. `who` (a rule) shares fairly with others. `done` is called exactly once, on
        any thread, and must be quick.
        """
        ...

    def close(self) -> None:
        """What is under way is put off."""
        ...


class Tracing(Protocol):
    """Told of what happens to events, from any thread, for spans. Every method is quick and none fails."""

    @property
    def dropped(self) -> int:
        """Publishes and pushes that left no span, because too many waited."""
        ...

    def published(
        self, bus: BusRecord, events: Sequence[Event], answers: Sequence[Published | Refused], traceparent: str, began_ns: int
    ) -> None:
        """What publishers were told of these events. `traceparent`: the request's own, `began_ns`: when it came, Unix time."""
        ...

    def headers(self, bus: BusRecord, lease: Lease) -> list[tuple[str, str]]:
        """What the push of a leased delivery tells its target."""
        ...

    def pushed(self, bus: BusRecord, lease: Lease, answer: PushAnswer) -> None:
        """What came of that push."""
        ...

    def close(self) -> None:
        """Send what is left, as far as that takes a moment."""
        ...


class Footprint(msgspec.Struct, frozen=True):
    """What a store takes of its disk: the bytes of each of its files, and how many more there are (None: it has no disk)."""

    files: dict[str, int] = {}
    free_bytes: int | None = None


class Vault(Protocol):
    """Seals what is secret in a rule, so that it can be kept where others read. From any thread."""

    def seal(self, text: str, context: str) -> str:
        """`text` as it is kept. `context` is what it belongs to, and has to be said to open it."""
        ...

    def open(self, sealed: str, context: str) -> str:
        """What was sealed. `SecretLost` where the key is not there, or it was changed or moved elsewhere."""
        ...

    def is_current(self, sealed: str) -> bool:
        """Whether it is sealed with the key in use."""
        ...

    def rotate(self) -> str:
        """Seal with a new key from now on; what was sealed before can still be opened. The new key's name."""
        ...

    def forget(self) -> int:
        """Throw all keys away but the one in use. How many."""
        ...


class Engine(Protocol):
    """Keeps what is committed. One process owns an engine; one thread, the writer's, calls `commit` and uses `view`."""

    @property
    def view(self) -> View:
        """What the writer's thread reads by."""
        ...

    def load(self) -> list[Loaded]:
        """Every bus that is not deleted, the system bus (number 0) first, as of the last commit."""
        ...

    @property
    def losses(self) -> Losses | None:
        """What the store had kept and does not hold any more. Then it may be read, and `commit` raises `StoreBehind`."""
        ...

    def verify(self, bus: int, first: int, last: int) -> Verified:
        """Look at a bounded part of the log of a bus for damage, from `first` on. From any thread.

        What is found is counted, told in the server's log and left out of every answer. Raises `StorageFailed`.
        """
        ...

    def verified(self, bus: int) -> int:
        """Everything up to this position was looked at since it was written."""
        ...

    def damaged(self, bus: int) -> int:
        """How many events of a bus were found damaged or gone since the start, by whoever came upon them."""
        ...

    def is_damaged(self, bus: int, position: int) -> bool:
        """Whether the event at `position` is one of them."""
        ...

    def footprint(self) -> Footprint:
        """From any thread. A file that cannot be looked at is left out."""
        ...

    def commit(self, batch: Sequence[Changes]) -> None:
        """Keep the changes of several buses, all or nothing, durable when this returns.

        Raises `StorageFull`, `StorageFailed`, `StoreBehind` or `Damaged` where nothing was kept.
        """
        ...

    @property
    def is_joint(self) -> bool:
        """Whether one commit may hold the changes of several buses and is still all or nothing."""
        ...

    def stands(self) -> dict[int, Stand]:
        """By bus, where the changes stand that were committed last of those that said it."""
        ...

    def reader(self) -> AbstractContextManager[View]:
        """A view for another thread: committed state, possibly a moment old. Use it from one thread and give it back."""
        ...

    def give_up(self) -> None:
        """A commit that waits for others than this machine ends with `Stopping`, for the bus stops. From any thread."""
        ...

    def close(self) -> None: ...
