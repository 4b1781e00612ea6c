"""One bus's journal: appended to by its leader alone, read by everybody, in the order in which it was written.

Theory of operation. Every append names the sequence that it expects to be the last: the fence. So of two who would write at the same place one
is refused, and whoever was deposed is refused wherever it tries. What an append came to may stay unknown, when an answer is lost. Then the
place itself is asked: what stands there decides, compared byte for byte (no two records are the same bytes). Ours is success, another's
means deposed, and nothing means to send the same bytes again. Nothing else is admitted meanwhile.

A crash anywhere leaves a record whole in the journal, or void; who reads on from its stand finds out which.

Docs: docs/internals/cluster.md.
"""

from collections.abc import Callable, Iterator

from eventyard.core import record
from eventyard.core.errors import JournalAway, NotLeading, StorageFull
from eventyard.core.record import Diverged, Kind, Reading, Record, Stand
from eventyard.engines.nats.stream import Outcome, Stream

ENVELOPE_BYTES = 1024
"""What a message has above its body: ours (under 200 bytes, with a leader's name of 63), and the headers of the protocol, which a
server counts towards what a message may have."""

SHORT_ASKED = 30
"""How often a journal has to say that it ends below what was read of it, before that is believed: a leader of the stream that was cut off
from the others does not know of what they stored, and takes some ten seconds to step down."""


class Journal:
    """`ids` makes a record's id. `pause` waits a moment before something is asked again, and raises when it is time to give up."""

    def __init__(self, stream: Stream, stand: Stand, *, ids: Callable[[], bytes], pause: Callable[[], None]) -> None:
        self._stream = stream
        self._reading = Reading(stand)
        self._ids = ids
        self._pause = pause
        self._is_led = False

    @property
    def stand(self) -> Stand:
        """Behind the last message that was read or written."""
        return self._reading.stand

    @property
    def is_led(self) -> bool:
        """Whether it was led here, as far as is known."""
        return self._is_led

    # Reading

    def follow(self) -> Iterator[Record]:
        """The whole records behind the stand, up to the end as it is now. Raises `Diverged`, `TooNew`, `Damaged`, `JournalAway`."""
        last = self._end()
        while self.stand.sequence < last:
            for message in self._stream.read_on(self.stand.sequence + 1, last):
                found = self._reading.take(self.stand.sequence + 1, message)
                if found is not None:
                    yield found

    def _end(self) -> int:
        for _ in range(SHORT_ASKED):
            if (last := self._stream.last()) >= self.stand.sequence:
                return last
            self._pause()
        raise Diverged(
            f"found a journal that ends at message {last}", wanted=f"message {self.stand.sequence}, which the store has applied"
        )

    # Leading

    def lead(self, leader: str) -> Iterator[Record]:
        """Take over: what still had to be read, and last the term record that stands behind it. From there on nobody before can append.

        Raises as `follow` does, and `StorageFull` where there is no room for the term record.
        """
        while not self._is_led:
            yield from self.follow()
            led = Stand(self.stand.sequence, self.stand.digest, self.stand.term + 1, leader)
            (message,) = self._messages(Kind.TERM, b"", led)
            if self._is_placed(message):
                self._is_led = True
                yield self._taken(message)

    def append(self, body: bytes) -> Stand:
        """Append one record of changes; it is kept when this returns. Raises `NotLeading`, and `StorageFull` where it was not kept."""
        if not self._is_led:
            raise NotLeading(f"found that {self.stand.leader or 'nobody'} leads", wanted="to ask the leader")
        for message in self._messages(Kind.CHANGES, body, self.stand):
            if not self._is_placed(message):
                self._is_led = False
                raise NotLeading("found that another node leads this bus now", wanted="to ask it")
            self._reading.take(self.stand.sequence + 1, message)
        return self.stand

    def _messages(self, kind: Kind, body: bytes, behind: Stand) -> Iterator[bytes]:
        return record.messages(kind, body, behind, id=self._ids(), bytes_max=self._stream.bytes_max - ENVELOPE_BYTES)

    def _taken(self, message: bytes) -> Record:
        found = self._reading.take(self.stand.sequence + 1, message)
        assert found is not None  # noqa: S101 - a term record is one message
        return found

    def _is_placed(self, message: bytes) -> bool:
        """Whether `message` stands behind the stand; False: something else does. Not before one of the two is certain."""
        while True:
            outcome = self._stream.append(message, self.stand.sequence)
            if outcome is Outcome.STORED:
                return True
            if outcome is Outcome.FULL:
                raise StorageFull("found no room in the journal", wanted="a higher limit of its stream, or of the account")
            there = self._there()
            if there is not None:
                return there == message
            self._pause()

    def _there(self) -> bytes | None:
        """What stands behind the stand, asked until there is an answer."""
        while True:
            try:
                return self._stream.read(self.stand.sequence + 1)
            except JournalAway:
                self._pause()
