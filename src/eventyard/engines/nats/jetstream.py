"""Journals as streams of JetStream. This room and `connection` are the only ones that know its client.

What the server answers, and what it means, is told in docs/internals/cluster.md, with how it was found. Where its client gets in the way:
`publish_async` never finishes what a server refuses, so appends are requests; and a message above what the server takes, headers included,
ends the connection, so bodies stay well below.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import nats.errors
from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from eventyard.core.errors import InvalidSettings, JournalAway, Stopping
from eventyard.core.record import Diverged
from eventyard.core.system import SYSTEM_BUS
from eventyard.engines.nats.connection import CONNECT_S, Connection
from eventyard.engines.nats.stream import Outcome, Stream

ANSWER_S = 2.0
"""How long one question waits. A quorum answers in milliseconds; without a leader the servers mostly say at once that nobody responds."""

PAUSE_S = 0.1
"""Between two questions that had no answer."""

READ_AT_ONCE = 16
"""Messages asked for at once: up to 16 MiB of them."""

REPLICAS = 3

WRONG_LAST_SEQUENCE: Final = (10071, 10164)
NO_ROOM: Final = (10023, 10028, 10047, 10077)
"""Resources of the server, of the account's memory and storage, and the stream's own limits."""
NO_CLUSTER = 10074
NO_MESSAGE = 10037
NO_STREAM = 10059
TAKEN_NAME: Final = (10058, 10065)
NO_JETSTREAM: Final = (10039, 10076)
"""For this account, and at all."""

MARK = "eventyard"
"""The metadata by which a stream is known to be ours."""

_Answer = TypeVar("_Answer")


class JetStreams:
    """`stream.Streams` over one connection. `prefix` begins the names of all that is this installation's.

    `replicas`: of streams that are made; where the servers are no cluster it is one.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        prefix: str = "eventyard",
        replicas: int = REPLICAS,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._prefix = prefix
        self._replicas = replicas
        self._answer_s = answer_s
        self._given_up = threading.Event()
        self._connection = Connection(servers, connect_s=connect_s)
        self._manager = self._connection.client.jetstream(timeout=answer_s)
        try:
            self._check()
        except BaseException:
            self._connection.close()
            raise

    def open(self, bus: int) -> Stream | None:
        try:
            info = self.ask(self._manager.stream_info, self._name(bus))
        except NotFoundError:
            return None
        if (info.config.metadata or {}).get(MARK) != self._mark(bus):
            raise InvalidSettings(
                f'found a stream "{self._name(bus)}" that is not of eventyard', wanted="another prefix, or that stream gone"
            )
        return JetStream(self, self._name(bus), self._subject(bus))

    def create(self, bus: int) -> Stream:
        while (found := self.open(bus)) is None:
            try:
                self._create(bus, self._replicas)
            except APIError as error:
                self._understand(error, bus)
        return found

    def remove(self, bus: int) -> None:
        with contextlib.suppress(NotFoundError):
            self.ask(self._manager.delete_stream, self._name(bus))

    def pause(self) -> None:
        if self._given_up.wait(PAUSE_S):
            raise Stopping("found that the node stops while the journal does not answer", wanted="to ask again")

    def give_up(self) -> None:
        self._given_up.set()

    def close(self) -> None:
        self.give_up()
        self._connection.close()

    def meaning(self) -> str:
        """What an acknowledgement means there, as far as a client can know."""
        try:
            count = self.ask(self._manager.stream_info, self._name(SYSTEM_BUS)).config.num_replicas or 1
        except JournalAway:
            return "202 means that a majority of the journal's replicas has the event; how many there are could not be asked."
        kept = f"a majority of {count} replicas has" if count > 1 else "the one replica has"
        return (
            f"202 means that {kept} the event, and every rule that it matches has its delivery. When they write it to their disks is "
            "theirs to say: within 2 minutes, unless they are told otherwise (sync_interval)."
        )

    # For its streams

    @property
    def bytes_max(self) -> int:
        return int(self._connection.client.max_payload)

    def ask(self, method: Callable[..., Awaitable[_Answer]], *arguments: Any, **named: Any) -> _Answer:
        """Raises `JournalAway` where nobody answers, `APIError` for what the servers say no to."""
        try:
            answer = self._ask(method, *arguments, **named)
        except JournalAway as error:
            self._connection.tell_away(error.found)
            raise
        self._connection.tell_back()
        return answer

    def _ask(self, method: Callable[..., Awaitable[_Answer]], *arguments: Any, **named: Any) -> _Answer:
        async def asked() -> _Answer:
            return await method(*arguments, **named)

        try:
            return self._connection.ask(asked(), 2 * self._answer_s)
        except APIError as error:
            if isinstance(error, ServiceUnavailableError) and error.err_code not in NO_ROOM:
                raise _away(error) from error
            raise
        except (nats.errors.Error, OSError, asyncio.CancelledError) as error:
            raise _away(error) from error

    @property
    def manager(self) -> Any:
        return self._manager

    # Names and making

    def _name(self, bus: int) -> str:
        return f"{self._prefix}-journal-{bus}"

    def _subject(self, bus: int) -> str:
        return f"{self._prefix}.journal.{bus}"

    def _mark(self, bus: int) -> str:
        return f"journal {bus}"

    def _check(self) -> None:
        try:
            self.ask(self._manager.account_info)
        except JournalAway as error:
            if _has_no_jetstream(error):
                raise InvalidSettings("found servers of NATS without JetStream", wanted="servers started with it") from error
            raise
        except APIError as error:
            raise InvalidSettings(
                f"found that JetStream is not for us ({error.description})", wanted="an account that has it"
            ) from error

    def _create(self, bus: int, replicas: int) -> None:
        config = api.StreamConfig(
            name=self._name(bus),
            subjects=[self._subject(bus)],
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            num_replicas=replicas,
            deny_delete=True,
            metadata={MARK: self._mark(bus)},
        )
        self.ask(self._manager.add_stream, config)

    def _understand(self, error: APIError, bus: int) -> None:
        if error.err_code == NO_CLUSTER and self._replicas > 1:
            self._replicas = 1
        elif error.err_code in TAKEN_NAME:
            raise InvalidSettings(
                f'found that a stream has the name or the subject of "{self._name(bus)}"', wanted="another prefix"
            ) from error
        elif error.err_code in NO_ROOM:
            raise InvalidSettings(f"found no room for a journal ({error.description})", wanted="room in the account") from error
        else:
            raise _away(error) from error


class JetStream:
    """`stream.Stream` of one bus. Reads are answered by the stream's leader, as a replica may be behind."""

    def __init__(self, streams: JetStreams, name: str, subject: str) -> None:
        self._streams = streams
        self._name = name
        self._subject = subject

    @property
    def bytes_max(self) -> int:
        return self._streams.bytes_max

    def append(self, message: bytes, expected: int) -> Outcome:
        headers = {api.Header.EXPECTED_LAST_SEQUENCE.value: str(expected)}
        publish = self._streams.manager.publish
        try:
            stored = self._streams.ask(publish, self._subject, message, stream=self._name, headers=headers)
        except APIError as error:
            return _meaning(error)
        except JournalAway:
            return Outcome.UNKNOWN
        return Outcome.STORED if stored.seq == expected + 1 else Outcome.TAKEN

    def read(self, sequence: int) -> bytes | None:
        return self._streams.ask(self._read, sequence)

    def read_on(self, first: int, last: int) -> list[bytes]:
        found = self._streams.ask(self._read_on, first, min(last, first + READ_AT_ONCE - 1))
        messages = [message for message in found if message is not None]
        if len(messages) < len(found):
            self._check_kept(first)
            raise JournalAway("found a part of the journal that is not there yet", wanted="servers that agree")
        return messages

    def last(self) -> int:
        return int(self._state().last_seq)

    def _check_kept(self, first: int) -> None:
        kept = self._state().first_seq
        if first < kept:
            raise Diverged(f"found a journal that begins at message {kept}", wanted=f"message {first}, which comes next")

    def _state(self) -> api.StreamState:
        try:
            return self._streams.ask(self._streams.manager.stream_info, self._name).state
        except NotFoundError as error:
            raise Diverged(f'found no stream "{self._name}"', wanted="the journal in it; somebody deleted it") from error

    async def _read(self, sequence: int) -> bytes | None:
        try:
            found = await self._streams.manager.get_msg(self._name, sequence)
        except NotFoundError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise nats.errors.Error(f"found no stream {self._name}") from error
        return found.data or b""

    async def _read_on(self, first: int, last: int) -> list[bytes | None]:
        return list(await asyncio.gather(*(self._read(sequence) for sequence in range(first, last + 1))))


def _meaning(error: APIError) -> Outcome:
    if error.err_code in WRONG_LAST_SEQUENCE:
        return Outcome.TAKEN
    is_full = error.err_code in NO_ROOM and "exceeded" in (error.description or "")
    return Outcome.FULL if is_full or error.err_code == NO_ROOM[0] else Outcome.UNKNOWN


def _has_no_jetstream(error: JournalAway) -> bool:
    """Nobody listens for such questions at all; servers that elect who answers them do, and say so or say nothing."""
    cause = error.__cause__
    return isinstance(cause, ServiceUnavailableError) and cause.code is None


def _away(error: BaseException) -> JournalAway:
    return JournalAway(f"found nobody who answers ({error or type(error).__name__})", wanted="a majority of the servers")
