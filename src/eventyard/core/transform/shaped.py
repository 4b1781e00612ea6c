"""The parts of a request as a transform made them, and how they are put together safely.

A value in the path is one segment of it, or a part of one: everything but letters, digits and `-._~` is percent-encoded, and a segment
that is, or that whoever decodes it once too often would take for, `.` or `..` fails, and so does an empty one. So no value changes the
host or the scheme, or leaves the path of the target's URL. A header that HTTP does not carry fails; which headers there are, the
rule says and no event.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

import msgspec

from eventyard.core import limits
from eventyard.core.errors import InvalidRule
from eventyard.core.secret import check_header_name, is_header_value
from eventyard.core.transform import TransformFailed


class Shaped(msgspec.Struct, frozen=True):
    """`path` and `query` are encoded. `body` None: as without a transform."""

    path: str = ""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = ""


# The path

_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*\Z")
_DECODED_AT_MOST = 4
"""As it is, and as whoever decodes it up to three times sees it."""


def check_literal(text: str, *, at: str) -> None:
    """`InvalidRule` for what cannot stand in a path as it is."""
    if not _LITERAL.match(text):
        raise InvalidRule("found what cannot stand in a path", wanted="it percent-encoded; a query goes under query", at=at)


def segment_value(text: str) -> str:
    """A value as a part of a path's segment."""
    if not text:
        raise TransformFailed("found an empty text; wanted one for the path")
    return quote(text, safe="")


def leaves_the_path(segment: str) -> bool:
    """Whether the segment, encoded, is one that changes which path it is. Servers that know parameters see `..` in `..;x` too."""
    for _ in range(_DECODED_AT_MOST):
        if any(part.partition(";")[0] in {".", ".."} for part in re.split(r"[/\\]", segment)):
            return True
        segment = unquote(segment)
    return False


def checked_path(path: str) -> str:
    """An encoded path that begins with `/`, or `TransformFailed`."""
    segments = path.split("/")[1:]
    if any(not segment for segment in segments[:-1]):
        raise TransformFailed("found an empty segment; wanted a path without //")
    if any(leaves_the_path(segment) for segment in segments):
        raise TransformFailed("found . or .. for a segment; wanted a path that goes only down")
    return path


# The rest


def query_of(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def checked_header(value: str) -> str:
    """The value is not told: nobody said that it may be."""
    if len(value) > limits.TARGET_HEADER_LENGTH_MAX:
        found = f"found {len(value)} characters; wanted at most {limits.TARGET_HEADER_LENGTH_MAX}"
        raise TransformFailed(found)
    if not is_header_value(value):
        raise TransformFailed("found what no header can hold; wanted printable ASCII, no space at either end")
    return value


def check_name(name: str, own: Iterable[str], *, at: str) -> None:
    """`InvalidRule` for a header that is not a transform's to set. `own`: those that the target has anyway."""
    check_header_name(name, at)
    if name in _CREDENTIALS:
        wanted = "it among the target's own headers: who may call is not for an event to say"
        raise InvalidRule(f'found the header "{name}"', wanted=wanted, at=at)
    if name in own:
        raise InvalidRule(f'found the header "{name}"', wanted="it here or among the target's own headers", at=at)


_CREDENTIALS = frozenset({"authorization", "cookie"})


def address(base: str, shaped: Shaped) -> str:
    """The target's URL with the path and query behind its own. `TransformFailed` where it is too long."""
    if not shaped.path and not shaped.query:
        return base
    parts = urlsplit(base)
    path = parts.path.rstrip("/") + shaped.path if shaped.path else parts.path
    query = "&".join(filter(None, (parts.query, shaped.query)))
    url = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{query}" if query else "")
    if len(url) > limits.TARGET_URL_LENGTH_MAX:
        raise TransformFailed(f"found a URL of {len(url)} characters; wanted at most {limits.TARGET_URL_LENGTH_MAX}")
    return url
