"""What a target answered, as what decides about deliveries reads it."""

import msgspec

from eventyard.core import batch, limits
from eventyard.core.verdict import Answer
from eventyard.ports import PushAnswer

TOO_LARGE = 413


def read(answer: PushAnswer) -> Answer:
    return Answer(
        status=answer.status,
        failure=answer.failure,
        retry_after=answer.headers.get("retry-after", ""),
        body=answer.body[: limits.ANSWER_KEPT_BYTES],
        is_refused=answer.is_refused,
    )


def of_each(answer: PushAnswer, count: int) -> list[PushAnswer] | None:
    """What became of each event of a batch of `count`, as if it alone had been answered; None where it has to go again in a smaller one."""
    told = batch.told(answer.status, answer.body, count) if answer.status else None
    if told is not None:
        return [_alone(answer, one) for one in told]
    return None if answer.status == TOO_LARGE and count > 1 else [answer] * count


def _alone(answer: PushAnswer, told: batch.Told) -> PushAnswer:
    failure = "" if told.status else "refused in its batch, without a status"
    return msgspec.structs.replace(answer, status=told.status, body=told.text, failure=failure)
