"""What publishes events on a bus by itself: a named document with a history of edits, which keeps something of each of its keys.

An emitter is one of a kind (a detector, say). What kinds have in common stands here and in `emitter_edits`, `emitter_state` and
`emitter_draft`: the document under its name, its uid and version (positions of the events that record its edits), rows of what it
keeps of a key with a time at which somebody has to look at it, and counts. What a document means is for its kind to say (`emitter_plan`).
"""

import enum

import msgspec

from eventyard.core.errors import InvalidDetector, InvalidExpectation, Refused


class Kind(enum.StrEnum):
    DETECTOR = "detector"
    EXPECTATION = "expectation"

    @property
    def refusal(self) -> type[Refused]:
        """What says no to a document of this kind."""
        match self:
            case Kind.DETECTOR:
                return InvalidDetector
            case Kind.EXPECTATION:
                return InvalidExpectation


class EmitterRecord(msgspec.Struct, frozen=True):
    """`uid`: the position of the event that recorded its creation, `version` that of its last edit; it governs the events after that.

    `document` is JSON. `swept`: after an edit, the key up to which what is kept was looked through, from "" on; None: all of it was. One
    that is deleted keeps its record until nothing of it is left; `is_removed` then takes the record away.
    """

    uid: int
    kind: Kind
    name: str
    version: int
    document: msgspec.Raw
    created_ms: int
    changed_ms: int
    swept: str | None = None
    is_deleted: bool = False
    is_removed: bool = False

    @property
    def is_sweeping(self) -> bool:
        return self.swept is not None and not self.is_removed


class Kept(msgspec.Struct, frozen=True):
    """What an emitter keeps of one key, as its kind spells it; nothing: the row goes. `due_ms`: a work time, None for never. Somebody looks at
    the key then, and may find that it was too early.
    """

    owner: int
    key: str
    due_ms: int | None
    record: bytes


class EmitterTally(msgspec.Struct, frozen=True):
    """What was counted of one emitter, by name: kept with every commit, so that nobody ever counts rows."""

    owner: int
    counts: dict[str, int]


class Looked(msgspec.Struct, frozen=True):
    """That a step has looked at every key that was due, and when the next one is (None: none)."""

    due_ms: int | None
