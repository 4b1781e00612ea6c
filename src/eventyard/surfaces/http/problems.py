"""Every refusal as an HTTP answer: RFC 9457 problems, and the one table that gives each error its status.

What the caller sent is malformed or says something that cannot be: 400, whichever of the two it is. 422 would ask clients to
tell them apart, and they would act alike.
"""

import http

import msgspec

from eventyard.core import errors
from eventyard.core.errors import Corrupt, EventyardError, Refused, Unavailable
from eventyard.surfaces.http.calls import Answer

CONTENT_TYPE = b"application/problem+json"
TYPE_PREFIX = "urn:eventyard:problem:"


class MethodNotAllowed(Refused):
    code, title = "method-not-allowed", "This address does not know the method"

    def __init__(self, found: str, *, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(found, wanted=f"one of {', '.join(allowed)}")


class TooSlow(Refused):
    code, title = "too-slow", "The request did not arrive in time"


class HeadTooLarge(Refused):
    code, title = "head-too-large", "The request line and headers are larger than the limit"


class Problem(msgspec.Struct, frozen=True):
    """A problem as RFC 9457 has it, with what was found, what was wanted, and where (`at`: a JSON pointer or a name)."""

    type: str
    title: str
    status: int
    detail: str
    found: str
    wanted: str
    at: str


STATUSES: dict[type[EventyardError], int] = {
    errors.InvalidJSON: 400,
    errors.InvalidEvent: 400,
    errors.ReservedType: 400,
    errors.InvalidPattern: 400,
    errors.PatternTooCostly: 400,
    errors.InvalidRule: 400,
    errors.InvalidDetector: 400,
    errors.InvalidExpectation: 400,
    errors.InvalidSchedule: 400,
    errors.ForbiddenTarget: 400,
    errors.InvalidName: 400,
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.ForbiddenOrigin: 403,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    TooSlow: 408,
    errors.EventConflict: 409,
    errors.TooManyMatches: 409,
    errors.TooManyHops: 422,
    errors.NameTaken: 409,
    errors.StaleLease: 409,
    errors.VersionConflict: 412,
    errors.TooLarge: 413,
    errors.UnsupportedContentType: 415,
    HeadTooLarge: 431,
    errors.InvalidSettings: 500,
    errors.InvalidBackup: 500,
    errors.Damaged: 500,
    errors.Failed: 500,
    errors.IssuerAway: 503,
    errors.JournalAway: 503,
    errors.NotLeading: 503,
    errors.Overloaded: 503,
    errors.SecretLost: 503,
    errors.StorageFailed: 503,
    errors.StoreBehind: 503,
    errors.Stopping: 503,
    errors.StorageFull: 507,
}


def problem(error: EventyardError) -> Problem:
    """The problem that tells of `error`. Of our own faults it tells only that they are ours: the rest is for the log."""
    is_ours = isinstance(error, Corrupt)
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=error.title,
        status=STATUSES[type(error)],
        detail=f"{error.title}; the log has more" if is_ours else error.detail,
        found="" if is_ours else error.found,
        wanted="" if is_ours else error.wanted,
        at="" if is_ours else error.at,
    )


def answer(error: EventyardError, **more: object) -> Answer:
    """`error` as an answer. `more` are members that go beyond a problem's own."""
    told = problem(error)
    document = msgspec.structs.asdict(told) | more
    return Answer(told.status, msgspec.json.encode(document), CONTENT_TYPE, _headers(error))


def _headers(error: EventyardError) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, Unavailable):
        return ((b"retry-after", str(error.retry_after_s).encode()),)
    if isinstance(error, MethodNotAllowed):
        return ((b"allow", ", ".join(error.allowed).encode()),)
    if isinstance(error, errors.Unauthenticated):
        return ((b"www-authenticate", b'Bearer realm="eventyard"'),)
    if isinstance(error, errors.Forbidden):  # RFC 6750, 3.1
        return ((b"www-authenticate", f'Bearer realm="eventyard", error="insufficient_scope", scope="{error.scope}"'.encode()),)
    return ()


def raw_answer(error: EventyardError) -> bytes:
    """`error` as the bytes of a whole HTTP/1.1 answer after which the connection ends: for refusals before any routing."""
    told = answer(error)
    lines = [
        f"HTTP/1.1 {told.status} {http.HTTPStatus(told.status).phrase}".encode(),
        *(name + b": " + value for name, value in told.all_headers),
        b"connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + told.body
