"""Dead letters of a rule: pages of them, and redrive."""

import re
from typing import Annotated

import msgspec

from eventyard.core import document, limits
from eventyard.core.delivery import Note, decode_note
from eventyard.core.errors import InvalidRequest
from eventyard.history import DeadLetter
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import NULL, Limit, MaybeCloudEvent, Time
from eventyard.surfaces.http.times import rfc3339


class LastAnswer(msgspec.Struct, frozen=True):
    """What the target said last: an HTTP status (0: nothing, and `failure` says why) and the start of its body.

    Of a delivery that was pulled: what became of its last lease (`failure`), or why its consumer rejected it (`body`).
    """

    status: int
    failure: str
    body: str
    at: Time


class DeadLetterAnswer(msgspec.Struct, frozen=True):
    """A delivery that ended dead: why, after how many attempts, and its event."""

    id: str
    position: int
    reason: str
    attempts: int
    died: Time
    last_answer: LastAnswer | None
    event: MaybeCloudEvent


class DeadLettersAnswer(msgspec.Struct, frozen=True):
    """By position. `next` given as `after` continues."""

    dead_letters: list[DeadLetterAnswer]
    next: str | None


class DeadLettersQuery(msgspec.Struct, frozen=True):
    """Dead letters after `after`, the `next` of a page."""

    after: str = ""
    limit: Limit = 100


class Redrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either some, by their ids, or `all` that are dead now."""

    ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=limits.REDRIVE_IDS_MAX)] | None = None
    all: bool = False


class RedriveAnswer(msgspec.Struct, frozen=True):
    """`position` is that of the event that records the request. `moved` went at once; the rest follows while `running`."""

    position: int
    moved: int
    running: bool


async def dead_letters(call: Call[DeadLettersQuery]) -> Answer:
    after = _after(call.query.after)
    page = await call.yard.dead_letters(call.path["bus"], call.path["rule"], after=after, limit=call.query.limit)
    shown = _cut(page.dead_letters)
    goes_on = page.next_after is not None or len(shown) < len(page.dead_letters)
    return json_answer(DeadLettersAnswer([_shown(letter) for letter in shown], _token(shown[-1]) if goes_on else None))


async def redrive(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Redrive, InvalidRequest)
    if (asked.ids is None) != asked.all:
        found = "found both ids and all" if asked.all else "found neither ids nor all"
        raise InvalidRequest(found, wanted='{"ids": ["..."]} or {"all": true}', at="/ids")
    done = await call.yard.redrive(call.path["bus"], call.path["rule"], asked.ids)
    return json_answer(RedriveAnswer(done.position, done.moved, done.is_running), 202)


def _after(token: str) -> tuple[int, int]:
    if not token:
        return (0, -1)
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise InvalidRequest(f'found "{token[:60]}"', wanted="the next of a page of dead letters", at="query after")
    return int(parts[1]), int(parts[2])


_TOKEN = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


def _token(letter: DeadLetter) -> str:
    return f"{letter.delivery.position}-{letter.delivery.run}"


def _cut(letters: list[DeadLetter]) -> list[DeadLetter]:
    """As many as one answer may hold, at least one."""
    held = 0
    for index, letter in enumerate(letters):
        held += len(letter.event.json) if letter.event else 0
        if held > limits.ANSWER_BYTES_MAX and index:
            return letters[:index]
    return letters


def _shown(letter: DeadLetter) -> DeadLetterAnswer:
    note = decode_note(letter.delivery.note)
    return DeadLetterAnswer(
        id=letter.id,
        position=letter.delivery.position,
        reason=note.reason,
        attempts=letter.delivery.attempts,
        died=rfc3339(letter.delivery.at_ms),
        last_answer=_last_answer(note),
        event=msgspec.Raw(letter.event.json) if letter.event else NULL,
    )


def _last_answer(note: Note) -> LastAnswer | None:
    """None where the target was never asked: the rule could not be evaluated, say."""
    if not note.status and not note.failure and not note.answer:
        return None
    return LastAnswer(note.status, note.failure, note.answer, rfc3339(note.at_ms))
