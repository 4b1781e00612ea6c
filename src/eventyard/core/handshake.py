"""The handshake of a webhook: whether a target agrees to be pushed to, and how often (CloudEvents, HTTP 1.1 Web Hooks for Event Delivery, section 4).

The bus asks by OPTIONS and names itself. Consent is a header of the answer, whatever its status: a server that answers every OPTIONS with 200 has
agreed to nothing. What came of it stands in the rule's record, with the URL that was asked, so that another URL makes it void.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from eventyard.core import limits

Wanted = Literal["off", "preferred", "required"]

ORIGIN_DEFAULT = "localhost"
ORIGIN_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"

ANY = "*"
SECONDS_PER_MINUTE = 60


class Agreed(msgspec.Struct, frozen=True):
    """What the target agreed to. `rate_per_minute`: None for any."""

    rate_per_minute: int | None = None


class Refused(msgspec.Struct, frozen=True):
    """No consent was found in the answer, and why."""

    why: str


class Heard(msgspec.Struct, frozen=True):
    """What came of asking `url` for `origin` at `asked_ms` (bus time). `refusals`: in a row, 0 where consent was given. `due_ms` (work time): when to ask again."""

    url: str
    origin: str
    asked_ms: int
    rate_per_minute: int | None = None
    refusals: int = 0
    due_ms: int = 0
    why: str = ""

    @property
    def is_given(self) -> bool:
        return not self.refusals

    @property
    def rate_per_s(self) -> float | None:
        return None if self.rate_per_minute is None else self.rate_per_minute / SECONDS_PER_MINUTE


def headers(origin: str, rate_per_s: float | None) -> tuple[tuple[str, str], ...]:
    """What the bus asks: may I, and where the rule has a rate, so often? A minute has at least one."""
    asked = (("webhook-request-origin", origin),)
    if rate_per_s is None:
        return asked
    return (*asked, ("webhook-request-rate", str(max(1, int(rate_per_s * SECONDS_PER_MINUTE)))))


def read(status: int, answered: Mapping[str, str], origin: str) -> Agreed | Refused:
    """Consent to this very origin, or to any. A rate that cannot be understood is no consent: pushing at any other might be too much."""
    allowed = answered.get("webhook-allowed-origin", "").strip()
    if not allowed:
        return Refused(f"the answer {status} has no WebHook-Allowed-Origin")
    if allowed != ANY and allowed.lower() != origin.lower():
        return Refused(f'it allows "{allowed[: limits.HANDSHAKE_SHOWN_LENGTH]}", and "{origin}" had asked')
    rate = answered.get("webhook-allowed-rate", ANY).strip()
    if rate == ANY:
        return Agreed()
    if not (rate.isascii() and rate.isdigit() and len(rate) <= limits.HANDSHAKE_RATE_DIGITS_MAX and int(rate)):
        shown = rate[: limits.HANDSHAKE_SHOWN_LENGTH]
        return Refused(f'its WebHook-Allowed-Rate "{shown}" is neither * nor a whole number of requests a minute')
    return Agreed(int(rate))


def heard(before: Heard | None, url: str, origin: str, came: Agreed | Refused, *, time_ms: int, work_ms: int) -> Heard:
    """What is known now. Who refuses is asked again ever more rarely; another URL is another target."""
    if isinstance(came, Agreed):
        return Heard(url, origin, time_ms, came.rate_per_minute)
    refusals = 1 + (before.refusals if before is not None and before.url == url else 0)
    wait_s = min(limits.HANDSHAKE_AGAIN_S_MAX, limits.HANDSHAKE_AGAIN_S * 2.0 ** min(refusals - 1, 60))
    return Heard(url, origin, time_ms, refusals=refusals, due_ms=work_ms + int(wait_s * 1000), why=came.why)
