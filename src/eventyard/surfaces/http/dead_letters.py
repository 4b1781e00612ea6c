"""Dead letters of a rule: pages of them, narrowed by why, when and under which key they died."""

import re
from typing import Literal

import msgspec

from eventyard.core import limits, strict_json
from eventyard.core.changes import Filter
from eventyard.core.delivery import Note, decode_note
from eventyard.core.errors import InvalidJSON, InvalidRequest
from eventyard.core.order_key import lane_of_key
from eventyard.dead_letters import DeadLetter
from eventyard.surfaces.http.calls import Answer, Call, json_answer
from eventyard.surfaces.http.schemas import NULL, AnyKey, KeyText, Limit, MaybeCloudEvent, MaybeTime, Time
from eventyard.surfaces.http.times import read_time_ms, rfc3339

DeathReason = Literal["attempts", "age", "answer", "rejected", "evaluation", "forbidden-target", "transform", "damaged"]


class LastAnswer(msgspec.Struct, frozen=True):
    """What the target said last: an HTTP status (0: nothing, and `failure` says why) and the start of its body.

    Of a delivery that was pulled: what became of its last lease (`failure`), or why its consumer rejected it (`body`).
    """

    status: int
    failure: str
    body: str
    at: Time


class DeadLetterAnswer(msgspec.Struct, frozen=True):
    """A delivery that ended dead: why, after how many attempts, and its event.

    `run` as in its id; `key` of a rule that keeps order (null: none), behind which `parked` deliveries wait.
    """

    id: str
    position: int
    run: int
    reason: str
    attempts: int
    died: Time
    last_answer: LastAnswer | None
    key: AnyKey
    parked: int
    event: MaybeCloudEvent


class DeadLettersAnswer(msgspec.Struct, frozen=True):
    """By position. `next` given as `after` continues; null when the end is reached. A page may be short, even empty, before."""

    dead_letters: list[DeadLetterAnswer]
    next: str | None


class DeadLettersQuery(msgspec.Struct, frozen=True):
    """Dead letters after `after`, the `next` of a page, that died for `reason`, under `key`, in [`from`, `until`)."""

    after: str = ""
    reason: DeathReason | Literal[""] = ""
    key: str = ""
    from_: MaybeTime = msgspec.field(default="", name="from")
    until: MaybeTime = ""
    limit: Limit = 100


async def dead_letters(call: Call[DeadLettersQuery]) -> Answer:
    asked = call.query
    meant = Filter(
        reason=asked.reason,
        lanes=_lanes_of_text(asked.key),
        from_ms=read_time_ms(asked.from_, at="query from") or 0,
        until_ms=_or_ever(read_time_ms(asked.until, at="query until")),
    )
    bus, name = call.path["bus"], call.path["rule"]
    page = await call.yard.dead_letters(bus, name, after=_after(asked.after), limit=asked.limit, meant=meant)
    shown = _cut(page.dead_letters)
    following = page.next_after if len(shown) == len(page.dead_letters) else _place(shown[-1])
    return json_answer(DeadLettersAnswer([_shown(letter) for letter in shown], _token(following)))


class DeathFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those that died for `reason`, under the order key `key` (any JSON value), in [`from`, `until`), where these are given."""

    reason: DeathReason | None = None
    key: KeyText = msgspec.field(default_factory=msgspec.Raw)
    from_: MaybeTime = msgspec.field(default="", name="from")
    until: MaybeTime = ""

    def read(self, at: str) -> Filter:
        return Filter(
            reason=self.reason or "",
            lanes=(read_lane(self.key, at=f"{at}/key"),) if bytes(self.key) else (),
            from_ms=read_time_ms(self.from_, at=f"{at}/from") or 0,
            until_ms=_or_ever(read_time_ms(self.until, at=f"{at}/until")),
        )


def read_lane(text: msgspec.Raw, *, at: str) -> int:
    """The lane of a key in a document, read exactly: two numbers that are one double are two keys."""
    key = strict_json.decode(bytes(text))
    if key is None:
        raise InvalidRequest("found null, which is no key", wanted="a key: a string, or any other JSON value", at=at)
    return lane_of_key(key)


def _lanes_of_text(text: str) -> tuple[int, ...]:
    """A key in a query is the text itself, or the JSON that it spells: both are looked for."""
    if not text:
        return ()
    try:
        value = strict_json.decode(text.encode())
    except InvalidJSON:
        return (lane_of_key(text),)
    return tuple({lane_of_key(text), lane_of_key(text if value is None else value)})


def _or_ever(time_ms: int | None) -> int:
    return Filter().until_ms if time_ms is None else time_ms


def _after(token: str) -> tuple[int, int]:
    if not token:
        return (0, -1)
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise InvalidRequest(f'found "{token[:60]}"', wanted="the next of a page of dead letters", at="query after")
    return int(parts[1]), int(parts[2])


_TOKEN = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")


def _place(letter: DeadLetter) -> tuple[int, int]:
    return letter.delivery.position, letter.delivery.run


def _token(place: tuple[int, int] | None) -> str | None:
    return None if place is None else f"{place[0]}-{place[1]}"


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
        run=letter.delivery.run,
        reason=note.reason,
        attempts=letter.delivery.attempts,
        died=rfc3339(letter.delivery.at_ms),
        last_answer=_last_answer(note),
        key=letter.key,
        parked=letter.parked,
        event=msgspec.Raw(letter.event.json) if letter.event else NULL,
    )


def _last_answer(note: Note) -> LastAnswer | None:
    """None where the target was never asked: the rule could not be evaluated, say."""
    if not note.status and not note.failure and not note.answer:
        return None
    return LastAnswer(note.status, note.failure, note.answer, rfc3339(note.at_ms))
