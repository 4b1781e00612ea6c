"""Records of a journal: how what one step changed stands in the replicated log, and how it is read back.

Theory of operation. A journal is a sequence of messages, numbered from 1 by the servers that keep it. Each holds the digest of the one
before, so whoever has read up to one of them knows at the next whether it reads the same journal: the chain. A record is one message,
or several (parts) where it is larger than a message may be; it counts once its last part stands. Parts that anything but the next of
them follows are void: whoever wrote them never answered anybody for them.

A leadership is a term. Its first record is a term record, which says so; from there on every record is of that term and that leader, until
the next term record. That nobody else writes in between is the work of the expected sequence of each append (`engines/nats/journal`), and
what is checked here would notice if it were not so.

Docs: docs/internals/cluster.md.
"""

import enum
import hashlib
from collections.abc import Iterator

import msgspec

from eventyard.core.errors import Corrupt, Damaged

SPELLING = 1
"""How messages and changes are spelled. A reader of an older spelling must stop at a newer one."""

DIGEST_BYTES = 16

ID_BYTES = 16


class Kind(enum.IntEnum):
    """TERM begins a leadership and has no body. CHANGES: of one step."""

    TERM = 1
    CHANGES = 2


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One message. `id` is the record's, random, so that no two records are ever the same bytes. Parts count from 1."""

    kind: Kind
    term: int
    leader: str
    id: bytes
    before: bytes
    part: int
    parts: int
    body: bytes


class Stand(msgspec.Struct, frozen=True):
    """How far a journal was read: the last message, its digest, and the term and the leader in force behind it."""

    sequence: int = 0
    digest: bytes = bytes(DIGEST_BYTES)
    term: int = 0
    leader: str = ""


BEGINNING = Stand()


class Record(msgspec.Struct, frozen=True):
    """A whole record, read; `stand` is that behind its last part."""

    kind: Kind
    body: bytes
    stand: Stand


class Diverged(Corrupt):
    """What was read does not follow from what was read before it: this is another journal, or the store is not what it says."""


class TooNew(Corrupt):
    """The message is of a newer eventyard."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def spell(message: Message) -> bytes:
    """The spelling's number, the message, the digest of both."""
    said = bytes([SPELLING]) + _encoder.encode(message)
    return said + _digest(said)


def digest_of(spelled: bytes) -> bytes:
    return spelled[-DIGEST_BYTES:]


def read(spelled: bytes) -> Message:
    """Raises `Damaged` for bytes that nobody wrote like this, `TooNew`."""
    said, digest = spelled[:-DIGEST_BYTES], spelled[-DIGEST_BYTES:]
    if said[:1] > bytes([SPELLING]):
        raise TooNew(f"found a record of spelling {said[0]}", wanted=f"at most {SPELLING}, which this eventyard reads")
    if _digest(said) != digest:
        raise Damaged("found a message of the journal whose digest is not that of its bytes", wanted="it as it was written")
    try:
        return _decoder.decode(said[1:])
    except msgspec.MsgspecError as error:
        raise Damaged(f"found a message of the journal that cannot be read ({error})", wanted="a record") from error


def _digest(said: bytes) -> bytes:
    return hashlib.blake2b(said, digest_size=DIGEST_BYTES).digest()


# Writing


def messages(kind: Kind, body: bytes, behind: Stand, *, id: bytes, bytes_max: int) -> Iterator[bytes]:  # noqa: A002 - it is the record's id
    """The messages of one record behind `behind`, whose term and leader write it. Each body is `bytes_max` at the most."""
    parts = max(1, -(-len(body) // bytes_max))
    before = behind.digest
    for part in range(1, parts + 1):
        piece = body[(part - 1) * bytes_max : part * bytes_max]
        said = spell(Message(kind, behind.term, behind.leader, id, before, part, parts, piece))
        before = digest_of(said)
        yield said


# Reading


class Reading:
    """Reads a journal on from a stand, message by message."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        """Behind the last message, whole records or not."""
        self._open: list[Message] = []

    def take(self, sequence: int, spelled: bytes) -> Record | None:
        """The record that this message ends; None where it ends none. Raises `Damaged`, `TooNew`, `Diverged`."""
        message = read(spelled)
        self._check_chain(sequence, message)
        self._check_term(sequence, message)
        self.stand = Stand(sequence, digest_of(spelled), message.term, message.leader)
        self._join(message)
        if not self._open or message.part < message.parts:
            return None
        body = b"".join(part.body for part in self._open)
        self._open = []
        return Record(message.kind, body, self.stand)

    def _check_chain(self, sequence: int, message: Message) -> None:
        if sequence != self.stand.sequence + 1:
            raise Diverged(f"found message {sequence} of the journal", wanted=f"message {self.stand.sequence + 1}")
        if message.before != self.stand.digest:
            raise Diverged(
                f"found that message {sequence} of the journal does not follow from message {self.stand.sequence} as it was read",
                wanted="the journal that the store was made of",
            )

    def _check_term(self, sequence: int, message: Message) -> None:
        if message.kind is Kind.TERM:
            if message.term <= self.stand.term:
                raise Diverged(f"found term {message.term} begun at message {sequence}", wanted=f"one above {self.stand.term}")
        elif (message.term, message.leader) != (self.stand.term, self.stand.leader):
            raise Diverged(
                f"found message {sequence} of the journal to be of {message.leader}, in its term {message.term}",
                wanted=f"one of {self.stand.leader}, in its term {self.stand.term}",
            )

    def _join(self, message: Message) -> None:
        """A first part begins a record, and what was open is void; so is a part that is not the next one."""
        if message.part == 1:
            self._open = [message]
        elif self._open and (self._open[-1].id, self._open[-1].part + 1) == (message.id, message.part):
            self._open.append(message)
        else:
            self._open = []
