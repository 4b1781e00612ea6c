"""What a journal asks of the servers that keep it: few questions, each of which may go unanswered.

Whoever keeps this contract can carry a journal: JetStream (`jetstream`), and in tests a stream that loses answers on purpose.
"""

import enum
from typing import Protocol


class Outcome(enum.Enum):
    """What came of an append.

    STORED: at the sequence after the expected one, by a quorum. TAKEN: refused, since the journal ends elsewhere, or is about to; what was
    appended may itself be what stands there, from a try before. FULL: refused for want of room. UNKNOWN: it may have been stored, or may be yet.
    """

    STORED = enum.auto()
    TAKEN = enum.auto()
    FULL = enum.auto()
    UNKNOWN = enum.auto()


class Stream(Protocol):
    """One stream. The methods wait for an answer, for a bounded time, and raise `JournalAway` where none came."""

    @property
    def bytes_max(self) -> int:
        """How many bytes a message may have."""
        ...

    def append(self, message: bytes, expected: int) -> Outcome:
        """Store one message if the last one is `expected`. Never raises: no answer is `UNKNOWN`."""
        ...

    def read(self, sequence: int) -> bytes | None:
        """The message at `sequence`, as a quorum stored it; None where there is none, to the best knowledge of who leads the stream."""
        ...

    def read_on(self, first: int, last: int) -> list[bytes]:
        """Messages from `first` on, in order and without a gap, some or all of those up to `last`; both are there. Raises `Diverged` where
        one is not.
        """
        ...

    def last(self) -> int:
        """The last sequence, to the best knowledge of who leads the stream. Raises `Diverged` where the stream is gone."""
        ...


class Streams(Protocol):
    """The streams of one installation, by bus."""

    def open(self, bus: int) -> Stream | None:
        """The stream of a bus; None: there is none."""
        ...

    def create(self, bus: int) -> Stream:
        """As `open`, made where it is not there. Twice is harmless."""
        ...

    def remove(self, bus: int) -> None:
        """With all that is in it. Twice is harmless."""
        ...

    def pause(self) -> None:
        """Wait a moment before something is asked again. Raises `Stopping` after `give_up`."""
        ...

    def give_up(self) -> None:
        """From now on `pause` raises, so that nobody waits for ever for servers that are away. From any thread."""
        ...

    def close(self) -> None: ...
