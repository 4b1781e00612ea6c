"""A transform in JSONata: an expression for each part of the request.

Evaluating is not done here, since an expression may loop: `Program` says which expressions there are, and makes the request of what came of
them. A path is an array of segments, or one: so what an event holds is a part of a segment, never of the path.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from eventyard.core import limits
from eventyard.core.attributes import media_type
from eventyard.core.errors import InvalidRule
from eventyard.core.transform import Jsonata, TransformFailed
from eventyard.core.transform import inputs as values
from eventyard.core.transform.shaped import Shaped, check_name, checked_header, checked_path, query_of, segment_value
from eventyard.core.transform.template import checked_media, is_form

Values = Sequence[bytes | None]
"""What came of each expression, as JSON; None where it was nothing."""


class Program:
    """`expressions` are evaluated on one event, in this order; `places` says where each stands in the transform."""

    def __init__(self, written: Jsonata, *, own: Mapping[str, Any], at: str) -> None:
        checked_media(written.content_type, f"{at}/content_type")
        _check_count(written.headers, limits.TARGET_HEADERS_MAX, f"{at}/headers")
        _check_count(written.query, limits.TRANSFORM_QUERY_MAX, f"{at}/query")
        for name in written.headers:
            check_name(name, own, at=f"{at}/headers/{name}")
        self._content_type = written.content_type
        self._parts = [*_whole("body", written.body), *_whole("path", written.path)]
        self._parts += [("headers", name, text) for name, text in written.headers.items()]
        self._parts += [("query", name, text) for name, text in written.query.items()]
        self.has_body = isinstance(written.body, str)
        self.expressions = tuple(text for _, _, text in self._parts)
        self.places = tuple(f"{part}/{name}" if name else part for part, name, _ in self._parts)

    def shape(self, found: Values) -> Shaped:
        """The request's parts. `TransformFailed`, with the place in the transform."""
        body, path, headers, query = None, "", [], []
        for (part, name, _), place, value in zip(self._parts, self.places, found, strict=True):
            try:
                match part:
                    case "body":
                        body = self._body(value)
                    case "path":
                        path = _path(value)
                    case "headers":
                        headers += [(name, checked_header(text)) for text in _texts(value)]
                    case _:
                        query += [(name, text) for text in _texts(value)]
            except TransformFailed as failure:
                raise TransformFailed(f"{place}: {failure}") from None
        _check_single(headers)
        content_type = self._content_type if body is not None else ""
        return Shaped(path=path, query=query_of(query), headers=tuple(headers), body=body, content_type=content_type)

    def told(self, reason: str, number: int, character: int) -> str:
        """Why the expression `number` failed, with its place; -1 for all of them."""
        where = self.places[number] if 0 <= number < len(self.places) else "jsonata"
        return f"{where}: {reason}" + (f" (at character {character})" if character else "")

    def _body(self, value: bytes | None) -> bytes:
        if value is None:
            raise TransformFailed("found nothing; wanted a body")
        if is_form(self._content_type):
            return _form(value)
        media = media_type(self._content_type)
        if media is not None and media.is_json:
            return value
        text = values.scalar_text(value)
        return (text or "").encode()


def _whole(part: str, text: str | msgspec.UnsetType) -> list[tuple[str, str, str]]:
    return [] if isinstance(text, msgspec.UnsetType) else [(part, "", text)]


def _check_count(texts: Mapping[str, str], count_max: int, at: str) -> None:
    if len(texts) > count_max:
        raise InvalidRule(f"found {len(texts)}", wanted=f"at most {count_max}", at=at)


def _check_single(headers: Sequence[tuple[str, str]]) -> None:
    names = [name for name, _ in headers]
    for name in names:
        if names.count(name) > 1:
            raise TransformFailed(f"headers/{name}: found an array; wanted text, a number or a boolean")


def _form(value: bytes) -> bytes:
    if not value.startswith(b"{"):
        raise TransformFailed("found another kind of value; wanted an object, since it is sent as a form")
    members = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    return urlencode([(name, text) for name, member in members.items() for text in _texts(bytes(member))]).encode()


def _path(value: bytes | None) -> str:
    if value is None:
        raise TransformFailed("found nothing; wanted an array of segments")
    segments = [_segment(item) for item in values.items_of(value) or [value]]
    return checked_path("/" + "/".join(segments))


def _segment(item: bytes) -> str:
    text = values.scalar_text(item)
    if text is None:
        raise TransformFailed("found null; wanted text, a number or a boolean")
    return segment_value(text)


def _texts(value: bytes | None) -> Iterator[str]:
    """None for nothing and null, one for each item of an array."""
    items = [] if value is None else (values.items_of(value) or [value])
    for item in items:
        text = values.scalar_text(item)
        if text is not None:
            yield text
