"""What requests are built of: times, JSON, and lists that are walked page by page. No I/O here."""

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from eventyard.client.answers import Page
from eventyard.client.call import Call, Request, Walk, answer
from eventyard.client.event import encode_json

T = TypeVar("T")

PAGE = 500
"""Items asked for at once when a list is walked."""

Document = Mapping[str, Any] | bytes | str
"""A JSON object, or its text, which is sent as it stands."""

Moment = datetime.datetime | str
"""A time with its zone, or its RFC 3339 text."""

_NO_QUERY: Mapping[str, str | None] = {}


def text_of(document: Document) -> str:
    """A member that is JSON already (`msgspec.Raw`) stays as it is spelt."""
    if isinstance(document, str):
        return document
    if isinstance(document, bytes):
        return document.decode()
    members = {
        name: value if isinstance(value, msgspec.Raw) else msgspec.Raw(encode_json(value)) for name, value in document.items()
    }
    return msgspec.json.encode(members).decode()


def time_text(moment: Moment | None) -> str | None:
    if isinstance(moment, datetime.datetime):
        if moment.tzinfo is None:
            raise ValueError(f"found the time {moment} without a zone; wanted one with it, as datetime.now(UTC)")
        return moment.isoformat()
    return moment


def pages_of(
    path: str,
    kind: type[Page[T]],
    *,
    query: Mapping[str, str | None] = _NO_QUERY,
    after: int | str | None = None,
    limit: int | None = None,
) -> Walk[T]:
    """Every item of a list, page by page. A page may be empty and the list still go on."""
    left = limit
    following: str | int | None = after
    while left is None or left > 0:
        page = yield Call(_page_request(path, query, following, PAGE if left is None else min(PAGE, left)), answer(kind))
        left = None if left is None else left - len(page.items)
        following = page.next
        if following is None:
            return


def _page_request(path: str, query: Mapping[str, str | None], after: str | int | None, limit: int) -> Request:
    asked = {**query, "after": None if after is None else str(after), "limit": str(limit)}
    return Request("GET", path, {name: value for name, value in asked.items() if value is not None})
