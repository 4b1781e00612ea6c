"""When to try again: exponential backoff with full jitter, and what a target's `Retry-After` adds to it.

Full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): the wait is drawn evenly between 0 and
the exponential bound, which spreads a crowd of failed deliveries best.
"""

import datetime
import email.utils

from eventyard.core import limits
from eventyard.core.rule import Backoff


def backoff_ms(backoff: Backoff, attempts: int, chance: float) -> int:
    """The wait after `attempts` (from 1) failed attempts; `chance` is drawn evenly from [0, 1)."""
    # 2.0**1024 overflows; a bound that has reached max_s grows no further.
    exponent = min(attempts - 1, 1000)
    try:
        bound_s = min(backoff.max_s, backoff.initial_s * backoff.factor**exponent)
    except OverflowError:
        bound_s = backoff.max_s
    return int(bound_s * 1000 * chance)


def slow_ms(backoff: Backoff, attempts: int, chance: float) -> int:
    """The wait where trying soon is of no use, as until somebody has put a password right: half of `max_s` to all of it."""
    return max(backoff_ms(backoff, attempts, chance), int(backoff.max_s * 500 * (1 + chance)))


def retry_after_ms(text: str, time_ms: int) -> int | None:
    """The wait that a `Retry-After` header asks for at `time_ms` (RFC 9110 10.2.3), cut to the limit; None: not readable."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text[:9])
    else:
        moment = _http_date(text)
        if moment is None:
            return None
        wait_s = moment.timestamp() - time_ms / 1000
    return int(max(0.0, min(wait_s, limits.RETRY_AFTER_S_MAX)) * 1000)


def _http_date(text: str) -> datetime.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
