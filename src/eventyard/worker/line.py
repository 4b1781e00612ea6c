"""One line to the server: a request at a time, and patience while the server does not answer as it should."""

import random
from collections.abc import Callable

import msgspec

from eventyard.core import limits
from eventyard.ports import PushAnswer, PushRequest, Transport

_RETRIED = frozenset({408, 429, 500, 502, 503, 504, 507})
"""Statuses after which the same request may be taken: the server is stopping, overloaded, out of disk, or a proxy does not reach it."""


class Taken(msgspec.Struct, frozen=True):
    """The server has done it, and says this."""

    body: bytes


class Away(msgspec.Struct, frozen=True):
    """It did not answer, or not now: the same again later."""

    reason: str


class Refused(msgspec.Struct, frozen=True):
    """It answered that this cannot be: the same again would be refused again."""

    reason: str


Reply = Taken | Away | Refused


class Line:
    """`url` is where requests go. `hand_over` is called from the transport's thread with what is to be called by whoever owns this."""

    def __init__(
        self,
        server: Transport,
        url: str,
        content_type: str,
        *,
        key: str = "",
        hand_over: Callable[[Callable[[], None]], None],
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.url = url
        self._server = server
        self._headers = (("content-type", content_type), *((("authorization", f"Bearer {key}"),) if key else ()))
        self._hand_over = hand_over
        self._now = now
        self._rng = rng
        self._failures = 0
        self.ready_at = 0.0
        """Not before this is there any sense in asking again."""
        self.is_busy = False

    @property
    def is_free(self) -> bool:
        return not self.is_busy and self._now() >= self.ready_at

    def send(self, body: bytes, done: Callable[[Reply], None]) -> None:
        self.is_busy = True
        request = PushRequest(self.url, self._headers, body, limits.WORKER_REQUEST_S_MAX, limits.HANDOUT_BYTES_MAX)
        self._server.send(request, lambda answer: self._hand_over(lambda: self._answered(answer, done)))

    def _answered(self, answer: PushAnswer, done: Callable[[Reply], None]) -> None:
        self.is_busy = False
        reply = _read(answer)
        if isinstance(reply, Taken):
            self._failures = 0
        else:
            self.put_off(_retry_after_s(answer))
        done(reply)

    def put_off(self, least_s: float = 0.0) -> None:
        """The longer the server is away the less often it is asked, and workers not all at once."""
        self._failures += 1
        longest_s = min(limits.WORKER_WAIT_S_MAX, 0.1 * 2 ** min(self._failures, 10))
        self.ready_at = self._now() + max(least_s, longest_s * self._rng.uniform(0.5, 1.0))


def _read(answer: PushAnswer) -> Reply:
    if answer.status == 200:
        return Taken(answer.body)
    if not answer.status:
        return Away(answer.failure)
    reason = f"status {answer.status}" + _told(answer)
    return Away(reason) if answer.status in _RETRIED else Refused(reason)


def _told(answer: PushAnswer) -> str:
    """What a problem says; anything else is not quoted."""
    try:
        detail = msgspec.json.decode(answer.body, type=_Problem).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return ": " + "".join(character for character in detail[:200] if character.isprintable())


class _Problem(msgspec.Struct):
    detail: str


def _retry_after_s(answer: PushAnswer) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text[:6]), limits.WORKER_WAIT_S_MAX) if text.isascii() and text.isdigit() else 0.0
