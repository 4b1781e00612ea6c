"""What an answer means for a delivery, and where retrying ends.

| answer                                 | meaning                                                               |
| -------------------------------------- | --------------------------------------------------------------------- |
| a status                               | as the rule's answers say, else as usual (`answer_table`)             |
| none                                   | retried, as what means `retry`; `Retry-After` honoured where there is |
| an address that the operator forbids   | dead letter at once, nothing was sent                                 |
| 429 or 503 with `Retry-After`          | and the whole rule waits for that long, up to a cap                   |
"""

from typing import Annotated

import msgspec

from eventyard.core import answer_table, limits
from eventyard.core.delivery import Delivery, Note, Reason
from eventyard.core.reply import RefusedReply, Reply, StoppedLoop
from eventyard.core.retry import backoff_ms, retry_after_ms, slow_ms
from eventyard.core.rule import DeliveryPolicy

ASKS_FOR_QUIET = frozenset({429, 503})
"""Answers whose `Retry-After` is about the caller, not about the one request (RFC 6585 section 4, RFC 9110 section 15.6.4)."""


class Delivered(msgspec.Struct, frozen=True, array_like=True, tag="delivered"):
    """`reply`: what the target answered with, where its rule takes that; or that another bus found a loop."""

    note: Note
    reply: Reply | RefusedReply | StoppedLoop | None = None


class Retry(msgspec.Struct, frozen=True, array_like=True, tag="retry"):
    """Try again `delay_ms` from now. `is_counted` is false where the policy does not count the attempt.

    `hold_ms`: for so long the target asked for quiet, so no other delivery of the rule goes there either.
    """

    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=limits.RETRY_DELAY_MS_MAX)]
    note: Note
    is_counted: bool = True
    hold_ms: Annotated[int, msgspec.Meta(ge=0, le=limits.HOLD_MS_MAX)] = 0


class Dead(msgspec.Struct, frozen=True, array_like=True, tag="dead"):
    note: Note


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """The receiver wants no more: pause the rule and put this delivery back, uncounted."""

    note: Note


class GivenBack(msgspec.Struct, frozen=True):
    """A consumer cannot do it now: again `delay_ms` from now, or dead where the policy's attempts or age are used up."""

    delay_ms: int
    note: Note


class Renewed(msgspec.Struct, frozen=True):
    """A consumer is still at it: the lease ends `lease_ms` from now."""

    lease_ms: int


PushVerdict = Delivered | Retry | Dead | Gone
"""What comes of a push. Tagged and in order, since a worker sends them (`handout`)."""
Verdict = PushVerdict | GivenBack | Renewed


class Answer(msgspec.Struct, frozen=True):
    """What a target said: an HTTP status (0: nothing, see `failure`), `Retry-After`, and the start of its body."""

    status: int
    failure: str = ""
    retry_after: str = ""
    body: bytes = b""
    is_refused: bool = False


def decide(
    policy: DeliveryPolicy, delivery: Delivery, answer: Answer, *, work_ms: int, time_ms: int, chance: float
) -> PushVerdict:
    """What becomes of `delivery` (as leased, its attempt counted) after `answer`."""
    if not policy.answers and 200 <= answer.status < 300:
        return Delivered(Note(status=answer.status, at_ms=time_ms))
    if answer.is_refused:
        return Dead(_note(Reason.FORBIDDEN_TARGET, answer, time_ms))
    meaning, line = answer_table.meaning(policy.answers, answer.status) if answer.status else ("retry", "")
    match meaning:
        case "delivered":
            return Delivered(Note(status=answer.status, at_ms=time_ms, line=line))
        case "dead":
            return Dead(_note(Reason.ANSWER, answer, time_ms, line))
        case "pause":
            return Gone(_note("", answer, time_ms, line))
        case "slow":
            delay_ms = slow_ms(policy.backoff, delivery.attempts, chance)
        case "retry":
            delay_ms = backoff_ms(policy.backoff, delivery.attempts, chance)
    return _retry_or_end(policy, delivery, answer, line, delay_ms, work_ms=work_ms, time_ms=time_ms)


def used_up(policy: DeliveryPolicy, delivery: Delivery, work_ms: int) -> Reason | None:
    """Which bound of the policy a delivery has reached that its consumer did not settle."""
    if delivery.attempts >= policy.max_attempts:
        return Reason.ATTEMPTS
    if work_ms >= delivery.first_ms + int(policy.max_age_s * 1000):
        return Reason.AGE
    return None


def _retry_or_end(
    policy: DeliveryPolicy, delivery: Delivery, answer: Answer, line: str, delay_ms: int, *, work_ms: int, time_ms: int
) -> PushVerdict:
    if delivery.attempts >= policy.max_attempts:
        return Dead(_note(Reason.ATTEMPTS, answer, time_ms, line))
    asked_ms = retry_after_ms(answer.retry_after, time_ms) or 0 if answer.retry_after else 0
    delay_ms = max(asked_ms, delay_ms)
    ends_ms = delivery.first_ms + int(policy.max_age_s * 1000)
    if work_ms >= ends_ms:
        return Dead(_note(Reason.AGE, answer, time_ms, line))
    # The last attempt is made at the end of the age, not skipped because the backoff reaches past it.
    hold_ms = min(asked_ms, limits.HOLD_MS_MAX) if answer.status in ASKS_FOR_QUIET else 0
    return Retry(min(delay_ms, ends_ms - work_ms), _note("", answer, time_ms, line), hold_ms=hold_ms)


def _note(reason: str, answer: Answer, time_ms: int, line: str = "") -> Note:
    text = answer.body[: limits.ANSWER_KEPT_BYTES].decode("utf-8", "replace")
    return Note(reason=str(reason), status=answer.status, failure=answer.failure, answer=text, at_ms=time_ms, line=line)
