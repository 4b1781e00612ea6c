"""Times as the door writes them, RFC 3339 in UTC with milliseconds, and as it reads them, RFC 3339 with any zone."""

from functools import lru_cache

from eventyard.core import clock, rule
from eventyard.core.errors import InvalidRequest, InvalidRule

rfc3339 = lru_cache(maxsize=1024)(clock.rfc3339)
"""Remembered, since events of one step have one time."""


def read_time_ms(text: str, *, at: str) -> int | None:
    """Unix milliseconds, at least 0; None where nothing was given."""
    if not text:
        return None
    try:
        return max(0, rule.parse_time_ms(text, at=at))
    except (InvalidRule, OverflowError) as error:
        plus = " (a plus sign is %2B in a query)" if at.startswith("query") else ""
        wanted = f"an RFC 3339 time with a zone, as 2026-01-31T08:00:00Z{plus}"
        raise InvalidRequest(f'found "{text[:60]}"', wanted=wanted, at=at) from error
