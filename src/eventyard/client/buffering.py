"""Events on their way to the bus, as values without any I/O: what waits, the next batch of it, what an answer or a trouble means.

Theory of operation. One batch is under way at a time, and what is given meanwhile is the next one: batches grow as far as the bus is
slower than its producer, and nobody waits for a batch to fill. An event keeps its place and its id until the bus has answered for
it, so a batch that is sent again after a lost answer is accepted once, and order holds. A trouble that may pass is waited out for
ever, since giving up would lose events; the bound on what waits tells the producer instead.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from eventyard.client.answers import Verdict
from eventyard.client.call import Call
from eventyard.client.errors import ClientError, Problem, ProblemError
from eventyard.client.event import Event, encode
from eventyard.client.patience import OVERLOADED, Patience
from eventyard.client.protocol import BATCH_EVENTS, batches, publish_batch

EVENTS_MAX = 10_000
BYTES_MAX = 16 * 1024 * 1024
"""What may wait: some seconds of a busy producer, and no memory that anybody would miss."""

RETRY_AFTER_S_MAX = 600.0
"""A server that asks for a longer wait is asked again after so long: whoever set it up wrongly may have mended it."""

_NOT_FOR_US = "unreadable-answer"
_TIMED_OUT = 408
OF_AN_EVENT = (400, 413, 415, 422)
"""A whole request that is refused so is refused for something in it: which event that is, smaller batches tell."""


class Refusal(msgspec.Struct, frozen=True):
    """An event that the bus refused, as it was sent, and why."""

    json: bytes
    problem: Problem


class BufferFull(ClientError):
    """No room came free in time: the event was not taken. `trouble` is what keeps the bus from taking more, where there is any."""

    def __init__(self, waiting: int, trouble: ClientError | None) -> None:
        self.waiting = waiting
        self.trouble = trouble
        reason = f"; the last attempt ended in: {trouble}" if trouble else ""
        super().__init__(f"the event was not taken: {waiting} events wait to be published, and no more may{reason}")


class Unpublished(ClientError):
    """Not all that was given is on the bus.

    `waiting`: events without an answer, which may or may not have been accepted; publish them again as they are, and each is
    accepted once. `refused`: the last hundred `Refusal`s of `refusals`. `trouble`: what the last attempt ended in.
    """

    def __init__(
        self, waiting: Sequence[bytes], refused: Sequence[Refusal], refusals: int, trouble: ClientError | None
    ) -> None:
        self.waiting = tuple(waiting)
        self.refused = tuple(refused)
        self.refusals = refusals
        self.trouble = trouble
        found = f"{len(waiting)} events wait, and {refusals} were refused"
        why = trouble or (refused[-1].problem.detail if refused else None)
        super().__init__(f"{found}; the last reason: {why}" if why else found)


class Settlement(msgspec.Struct, frozen=True):
    """What an answer came to: events that are refused for good, and how long to wait before the next batch."""

    refused: list[Refusal]
    delay_s: float


class _Waiting(msgspec.Struct, frozen=True):
    number: int
    text: bytes


class Buffer:
    """Not safe among threads: the shells see to that."""

    def __init__(self, bus: str, *, events_max: int, bytes_max: int, patience: Patience) -> None:
        if min(events_max, bytes_max) < 1:
            raise ValueError(f"found events_max={events_max} and bytes_max={bytes_max}; wanted at least 1 of each")
        self.given = 0
        self.trouble: ClientError | None = None
        self._bus = bus
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._failures = 0
        self._batch_events = BATCH_EVENTS
        self._under_way = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def texts(self) -> list[bytes]:
        return [each.text for each in self._waiting]

    def is_settled(self, number: int) -> bool:
        """Whether the bus has answered for the first `number` events that were given."""
        return not self._waiting or self._waiting[0].number > number

    def takes(self, text: bytes) -> bool:
        """Whether there is room. An event larger than all the room is taken alone: the bus says what it makes of it."""
        is_room = len(self._waiting) < self._events_max and self._bytes + len(text) <= self._bytes_max
        return is_room or not self._waiting

    def add(self, text: bytes) -> None:
        self.given += 1
        self._waiting.append(_Waiting(self.given, text))
        self._bytes += len(text)

    def batch(self) -> Call[list[Verdict]]:
        """The events that have waited longest, in one request that is sent once: what comes of it is told here."""
        [*batch] = next(batches(each.text for each in self._waiting))[: self._batch_events]
        self._under_way = len(batch)
        return msgspec.structs.replace(publish_batch(batch, bus=self._bus), is_retried=False)

    def answered(self, verdicts: Sequence[Verdict], *, chance: float) -> Settlement:
        """The batch under way was answered event by event. What may fare better later keeps its place."""
        sent = [self._waiting.popleft() for _ in range(min(len(verdicts), self._under_way))]
        again = [each for each, verdict in zip(sent, verdicts, strict=False) if may_pass(verdict.error)]
        refused = [
            Refusal(each.text, verdict.error)
            for each, verdict in zip(sent, verdicts, strict=False)
            if verdict.error and not may_pass(verdict.error)
        ]
        self._waiting.extendleft(reversed(again))
        self._bytes -= sum(len(each.text) for each in sent) - sum(len(each.text) for each in again)
        self._batch_events = min(BATCH_EVENTS, self._batch_events * 2)
        if again:
            error = next(verdict.error for verdict in verdicts if verdict.error and may_pass(verdict.error))
            return Settlement(refused, self._wait_s(ProblemError(error), chance))
        self._failures, self.trouble = 0, None
        return Settlement(refused, 0.0)

    def failed(self, error: ClientError, *, chance: float) -> Settlement:
        """The batch under way had no answer event by event. Raises `error` where no other batch would fare better."""
        if not isinstance(error, ProblemError) or may_pass(error.problem):
            return Settlement([], self._wait_s(error, chance))
        if error.status not in OF_AN_EVENT:
            self.trouble = error
            raise error
        if self._under_way > 1:
            self._batch_events = self._under_way // 2
            return Settlement([], 0.0)
        only = self._waiting.popleft()
        self._bytes -= len(only.text)
        return Settlement([Refusal(only.text, error.problem)], 0.0)

    def _wait_s(self, error: ClientError, chance: float) -> float:
        self._failures += 1
        self.trouble = error
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        return max(self._patience.backoff_s(self._failures) * chance, min(asked_s, RETRY_AFTER_S_MAX))


def spelt(event: Event) -> tuple[str, bytes]:
    """The event's id and its JSON. ValueError where text is no JSON object, or more than one: it would harm the batch it is in."""
    text = encode(event)
    try:
        return msgspec.json.decode(text, type=_Named).id, text
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"found an event that is no JSON object with an id ({error}): {text[:100]!r}") from error


class _Named(msgspec.Struct, frozen=True):
    id: str


def may_pass(problem: Problem | None) -> bool:
    """Whether the same might be taken later."""
    if problem is None:
        return False
    return problem.status >= 500 or problem.status in (_TIMED_OUT, OVERLOADED) or problem.code == _NOT_FOR_US
