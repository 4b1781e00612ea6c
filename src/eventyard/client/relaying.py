"""The relay of an outbox: takes what waits, publishes it, deletes what was accepted, keeps what was refused.

Theory of operation. One batch at a time, each sent once while its rows are held; waiting for a bus that is away is done with
nothing held. A crash leaves rows as they were: published or not, they are published again, with the ids they had.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.client.answers import Verdict
from eventyard.client.buffering import OF_AN_EVENT, RETRY_AFTER_S_MAX, may_pass
from eventyard.client.errors import ClientError, Problem, ProblemError
from eventyard.client.patience import Patience
from eventyard.client.protocol import BATCH_EVENTS, publish_batch
from eventyard.client.waiting_rows import Row, Rows, rows_of

if TYPE_CHECKING:
    from eventyard.client.shells import Client

log = logging.getLogger("eventyard.client")

_PATIENCE = Patience()
"""How attempts are spaced while the bus is away; they do not end."""

REASON_CHARACTERS_MAX = 2_000
"""A reason is read by people, and may quote what it found."""

_NOT_ACCEPTED = Problem(detail="the answer says nothing of this event")


class Relayed(msgspec.Struct):
    """What a relay has done: events `accepted`, of these `duplicates` that the bus had already, and events `refused`."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0


class RefusedRow(msgspec.Struct, frozen=True):
    """A row of the outbox whose event the bus refused. `reason`: the problem's code and what it says."""

    number: int
    json: str
    reason: str


class Relay:
    def __init__(
        self,
        client: "Client",
        connect: Callable[[], Any],
        table: str,
        *,
        bus: str,
        batch: int,
        in_order: bool,
        on_refused: Callable[[RefusedRow], None] | None,
    ) -> None:
        if not 1 <= batch <= BATCH_EVENTS:
            raise ValueError(f"found batches of {batch} events; wanted 1 to {BATCH_EVENTS}")
        self._client = client
        self._connect = connect
        self._table = table
        self._bus = bus
        self._batch = self._batch_now = batch
        self._in_order = in_order
        self._on_refused = on_refused
        self._failures = 0
        self._relayed = Relayed()

    def run(self, stop: threading.Event, *, wait_s: float, until_empty: bool) -> Relayed:
        connection = self._connect()
        try:
            rows = rows_of(connection, self._table, in_order=self._in_order)
            try:
                self._work(rows, stop, wait_s=wait_s, until_empty=until_empty)
            finally:
                rows.close()
        finally:
            connection.close()
        return self._relayed

    def _work(self, rows: Rows, stop: threading.Event, *, wait_s: float, until_empty: bool) -> None:
        while not stop.is_set():
            taken = rows.take(self._batch_now)
            if taken:
                stop.wait(self._send(rows, taken))
            elif taken is not None and until_empty:
                return
            else:
                stop.wait(wait_s)

    def _send(self, rows: Rows, taken: list[Row]) -> float:
        """One batch; how long to wait before the next one."""
        try:
            verdicts = self._published(taken)
        except ClientError as error:
            return self._failed(rows, taken, error)
        except BaseException:
            rows.leave()
            raise
        return self._answered(rows, taken, verdicts)

    def _published(self, taken: list[Row]) -> list[Verdict]:
        call = publish_batch([row.event for row in taken], bus=self._bus)
        return self._client.send(msgspec.structs.replace(call, is_retried=False))

    def _answered(self, rows: Rows, taken: list[Row], verdicts: list[Verdict]) -> float:
        """Each event has its verdict. What may fare better later stays."""
        judged = list(zip(taken, verdicts, strict=False))
        accepted = [row.number for row, verdict in judged if verdict.is_accepted]
        refused = [_refused(row, verdict.error) for row, verdict in judged if verdict.error and not may_pass(verdict.error)]
        self._settle(rows, accepted, refused)
        self._relayed.duplicates += sum(verdict.duplicate for _, verdict in judged)
        self._batch_now = min(self._batch, self._batch_now * 2)
        if len(accepted) + len(refused) == len(taken):
            self._failures = 0
            return 0.0
        stays = next((verdict.error for _, verdict in judged if verdict.error and may_pass(verdict.error)), _NOT_ACCEPTED)
        return self._wait_s(ProblemError(stays))

    def _failed(self, rows: Rows, taken: list[Row], error: ClientError) -> float:
        """The request as a whole had no good answer. Raises `error` where no other event would fare better."""
        if not isinstance(error, ProblemError) or may_pass(error.problem):
            rows.leave()
            return self._wait_s(error)
        if error.status not in OF_AN_EVENT:
            rows.leave()
            raise error
        if len(taken) > 1:
            rows.leave()
            self._batch_now = len(taken) // 2
        else:
            self._settle(rows, [], [_refused(taken[0], error.problem)])
        return 0.0

    def _settle(self, rows: Rows, accepted: list[int], refused: list[RefusedRow]) -> None:
        rows.settle(accepted, ((each.number, each.reason) for each in refused))
        self._relayed.accepted += len(accepted)
        self._relayed.refused += len(refused)
        self._tell(refused)

    def _tell(self, refused: Iterable[RefusedRow]) -> None:
        for each in refused:
            log.error("event %d of the outbox %s was refused: %s", each.number, self._table, each.reason)
            if self._on_refused is not None:
                self._on_refused(each)

    def _wait_s(self, error: ClientError) -> float:
        if not self._failures:
            log.warning("events wait in the outbox %s: %s", self._table, error)
        self._failures += 1
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        backoff_s = _PATIENCE.backoff_s(self._failures) * random.random()  # noqa: S311 - spreads retries, guards nothing
        return max(backoff_s, min(asked_s, RETRY_AFTER_S_MAX))


def _refused(row: Row, problem: Problem) -> RefusedRow:
    """PostgreSQL's text takes no NUL, which a problem may quote from the event."""
    reason = f"{problem.code}: {problem.detail or problem.title}".replace("\0", "\\0")
    return RefusedRow(row.number, row.event, reason[:REASON_CHARACTERS_MAX])
