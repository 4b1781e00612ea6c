"""When a call is sent again. Publishing repeats an event's id, and most other verbs say what shall be; the rest are sent once."""

from email.utils import parsedate_to_datetime

import msgspec

from eventyard.client.errors import Unreachable

OVERLOADED = 429
UNAVAILABLE = 503

_DOUBLINGS_MAX = 64
"""The cap on waits is reached long before; past a thousand a double could not hold the power."""


class Response(msgspec.Struct, frozen=True):
    """An HTTP answer with what of it is read here. `retry_after` is the header's text, `received_s` Unix time."""

    status: int
    body: bytes
    retry_after: str = ""
    received_s: float = 0.0
    content_type: str = ""


Outcome = Response | Unreachable


class Patience(msgspec.Struct, frozen=True):
    """Up to `attempts_max` attempts. Waits grow from `first_s` by `factor` up to `wait_max_s`, each drawn evenly from 0 to that.

    A server that asks for a longer wait than `wait_max_s` is not waited for: its answer is raised with what it asked for.
    """

    attempts_max: int = 6
    first_s: float = 0.2
    factor: float = 2.0
    wait_max_s: float = 30.0

    def wait_s(self, outcome: Outcome, attempt: int, *, chance: float) -> float | None:
        """How long to wait before attempt number `attempt + 1`; None: there is none. `chance` is in [0, 1)."""
        if attempt >= self.attempts_max or not _may_pass(outcome):
            return None
        asked_s = retry_after_s(outcome) or 0.0
        return max(self.backoff_s(attempt) * chance, asked_s) if asked_s <= self.wait_max_s else None

    def backoff_s(self, attempt: int) -> float:
        """The longest that is waited of our own accord after attempt number `attempt`."""
        return min(self.wait_max_s, self.first_s * self.factor ** min(attempt - 1, _DOUBLINGS_MAX))


IMPATIENT = Patience(attempts_max=1)


def _may_pass(outcome: Outcome) -> bool:
    return isinstance(outcome, Unreachable) or outcome.status in (OVERLOADED, UNAVAILABLE)


def retry_after_s(outcome: Outcome) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3) in seconds: a number of them or a date; None where there is neither."""
    if isinstance(outcome, Unreachable):
        return None
    text = outcome.retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - outcome.received_s)
    except (TypeError, ValueError, OverflowError):
        return None
