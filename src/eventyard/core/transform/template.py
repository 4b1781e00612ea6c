"""A template, compiled once and filled in for each event.

In a body a text that is one placeholder and nothing else becomes the value, whatever JSON it is; among other text it becomes text. A
header, a segment of the path and a parameter of the query are always text; one that is nothing but a placeholder is left out where the
value is null (a segment cannot be), and an array there repeats a parameter. All else of the body is sent as it is spelt in the rule.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from eventyard.core import limits
from eventyard.core.attributes import MediaType, media_type
from eventyard.core.errors import InvalidRule
from eventyard.core.transform import Template, TransformFailed, placeholder
from eventyard.core.transform import inputs as values
from eventyard.core.transform.inputs import Inputs, Path
from eventyard.core.transform.placeholder import Hole, Parts
from eventyard.core.transform.shaped import (
    Shaped,
    check_literal,
    check_name,
    checked_header,
    checked_path,
    leaves_the_path,
    query_of,
    segment_value,
)

FORM = "application/x-www-form-urlencoded"


class _Value(msgspec.Struct, frozen=True):
    """A hole that becomes JSON, and not text."""

    name: str


Piece = bytes | Hole | _Value
Body = Callable[[Inputs], bytes]


class Compiled:
    """A template that can be filled in. `own`: headers that the target has anyway. `InvalidRule` with the place below `at`."""

    def __init__(self, template: Template, *, own: Mapping[str, Any], at: str) -> None:
        self._paths = _paths(template, f"{at}/paths")
        self._content_type = template.content_type
        media = checked_media(template.content_type, f"{at}/content_type")
        self._body = _body(template, media, self._paths, f"{at}/body")
        self._headers = _texts(template.headers, self._paths, f"{at}/headers", limits.TARGET_HEADERS_MAX)
        for name in template.headers:
            check_name(name, own, at=f"{at}/headers/{_pointed(name)}")
        self._query = _texts(template.query, self._paths, f"{at}/query", limits.TRANSFORM_QUERY_MAX)
        self._segments = _segments(template.path, self._paths, f"{at}/path")

    @property
    def has_body(self) -> bool:
        return self._body is not None

    def shape(self, event: bytes, facts: Mapping[str, bytes]) -> Shaped:
        """The request's parts for one event. `TransformFailed`, with the place in the template."""
        found = Inputs(self._paths, event, facts)
        make_body = self._body
        body = None if make_body is None else _at("body", lambda: make_body(found))
        return Shaped(
            path=_at("path", lambda: self._path(found)),
            query=query_of(_pairs(self._query, found, "query/")),
            headers=tuple(self._filled_headers(found)),
            body=body,
            content_type=self._content_type if body is not None else "",
        )

    def _path(self, found: Inputs) -> str:
        if not self._segments:
            return ""
        return checked_path("/" + "/".join("".join(_path_part(part, found) for part in parts) for parts in self._segments))

    def _filled_headers(self, found: Inputs) -> Iterator[tuple[str, str]]:
        for name, parts in self._headers.items():
            text = _at(f"headers/{name}", lambda parts=parts: _text(parts, found))  # type: ignore[misc]
            if text is not None:
                yield name, _at(f"headers/{name}", lambda text=text: checked_header(text))  # type: ignore[misc]


def _at(place: str, made: Callable[[], Any]) -> Any:
    """What is made there, or a failure that names the place."""
    try:
        return made()
    except TransformFailed as failure:
        raise TransformFailed(f"{place}: {failure}") from None


# Compiling


def _paths(template: Template, at: str) -> dict[str, Path]:
    if len(template.paths) > limits.TRANSFORM_PATHS_MAX:
        raise InvalidRule(f"found {len(template.paths)} paths", wanted=f"at most {limits.TRANSFORM_PATHS_MAX}", at=at)
    return {name: values.parse(name, path, at=f"{at}/{_pointed(name)}") for name, path in template.paths.items()}


def _pointed(name: str) -> str:
    """As a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def checked_media(content_type: str, at: str) -> MediaType:
    media = media_type(content_type)
    if media is None or not media.is_utf8 or not content_type.isascii():
        wanted = "one in UTF-8, as application/json, application/x-www-form-urlencoded or text/plain"
        raise InvalidRule(f'found the content type "{content_type[:60]}"', wanted=wanted, at=at)
    return media


def is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == FORM


def _texts(texts: Mapping[str, str], names: Mapping[str, Path], at: str, count_max: int) -> dict[str, Parts]:
    if len(texts) > count_max:
        raise InvalidRule(f"found {len(texts)}", wanted=f"at most {count_max}", at=at)
    return {name: placeholder.parse(text, names, at=f"{at}/{_pointed(name)}") for name, text in texts.items()}


def _segments(path: str, names: Mapping[str, Path], at: str) -> list[Parts]:
    """The path's segments; none where it is empty. What stands in it is checked as far as it can be without values."""
    if not path:
        return []
    if not path.startswith("/"):
        raise InvalidRule(f'found the path "{path[:60]}"', wanted="one that begins with /, or none", at=at)
    segments = [placeholder.parse(segment, names, at=at) for segment in path[1:].split("/")]
    for number, parts in enumerate(segments):
        for part in parts:
            if isinstance(part, str):
                check_literal(part, at=at)
        is_bad = not parts and number < len(segments) - 1
        if is_bad or (len(parts) == 1 and isinstance(parts[0], str) and leaves_the_path(parts[0])):
            raise InvalidRule("found an empty segment, . or ..", wanted="a path that goes only down, without //", at=at)
    return segments


def _body(template: Template, media: MediaType, names: Mapping[str, Path], at: str) -> Body | None:
    if isinstance(template.body, msgspec.UnsetType):
        return None
    body = bytes(template.body)
    if is_form(template.content_type):
        return _form_body(body, names, at)
    if not media.is_json:
        return _text_body(body, names, at)
    pieces = _joined(_pieces(body, names, at, 0))
    return lambda found: _filled(pieces, found)


def _form_body(body: bytes, names: Mapping[str, Path], at: str) -> Body:
    try:
        texts = msgspec.json.decode(body, type=dict[str, str])
    except msgspec.ValidationError:
        raise InvalidRule(
            "found another kind of body", wanted="an object of texts, since it is sent as a form", at=at
        ) from None
    parts = _texts(texts, names, at, limits.TRANSFORM_QUERY_MAX)
    return lambda found: _bounded(urlencode(list(_pairs(parts, found, ""))).encode())


def _text_body(body: bytes, names: Mapping[str, Path], at: str) -> Body:
    try:
        text = msgspec.json.decode(body, type=str)
    except msgspec.ValidationError:
        wanted = "a string, since the content type is no JSON"
        raise InvalidRule("found another kind of body", wanted=wanted, at=at) from None
    parts = placeholder.parse(text, names, at=at)
    pieces: list[Piece] = [part.encode() if isinstance(part, str) else part for part in parts]
    return lambda found: _filled(pieces, found, is_json=False)


def _pieces(json: bytes, names: Mapping[str, Path], at: str, depth: int) -> Iterator[Piece]:
    """A body's JSON as it is spelt, with holes where its texts have placeholders."""
    if depth > limits.TRANSFORM_DEPTH_MAX:
        raise InvalidRule(f"found more than {limits.TRANSFORM_DEPTH_MAX} levels", wanted="fewer", at=at)
    text = json.strip(b" \t\n\r")
    match text[:1]:
        case b"{":
            yield from _object_pieces(text, names, at, depth)
        case b"[":
            items = _ARRAY(text)
            for number, item in enumerate(items):
                yield b"," if number else b"["
                yield from _pieces(bytes(item), names, f"{at}/{number}", depth + 1)
            yield b"]" if items else b"[]"
        case b'"':
            yield from _string_pieces(text, names, at)
        case _:
            yield text


def _object_pieces(text: bytes, names: Mapping[str, Path], at: str, depth: int) -> Iterator[Piece]:
    members = _OBJECT(text)
    for number, (name, member) in enumerate(members.items()):
        below = f"{at}/{_pointed(name)}"
        parts = placeholder.parse(name, names, at=below)
        if any(isinstance(part, Hole) for part in parts):
            raise InvalidRule("found a placeholder in the name of a member", wanted="placeholders in values", at=below)
        yield (b"," if number else b"{") + msgspec.json.encode("".join(map(str, parts))) + b":"
        yield from _pieces(bytes(member), names, below, depth + 1)
    yield b"}" if members else b"{}"


def _string_pieces(text: bytes, names: Mapping[str, Path], at: str) -> Iterator[Piece]:
    parts = placeholder.parse(_STRING(text), names, at=at)
    if len(parts) == 1 and isinstance(parts[0], Hole):
        yield _Value(parts[0].name)
        return
    yield b'"'
    for part in parts:
        yield _escaped(part) if isinstance(part, str) else part
    yield b'"'


def _joined(pieces: Iterator[Piece]) -> list[Piece]:
    """With the texts between two holes in one."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


# Filling in


def _filled(pieces: list[Piece], found: Inputs, *, is_json: bool = True) -> bytes:
    filled: list[bytes] = []
    left = limits.TRANSFORMED_BYTES_MAX
    for piece in pieces:
        match piece:
            case bytes():
                made = piece
            case _Value(name):
                made = found.json(name)
            case Hole(name):
                text = values.text_of(found.json(name))
                made = _escaped(text) if is_json else text.encode()
        left -= len(made)
        if left < 0:
            raise TransformFailed(_TOO_LARGE)
        filled.append(made)
    return b"".join(filled)


def _bounded(body: bytes) -> bytes:
    if len(body) > limits.TRANSFORMED_BYTES_MAX:
        raise TransformFailed(_TOO_LARGE)
    return body


def _pairs(texts: Mapping[str, Parts], found: Inputs, place: str) -> Iterator[tuple[str, str]]:
    """Parameters of a query or a form: none for null, several for an array."""
    for name, parts in texts.items():
        yield from _at(f"{place}{name}", lambda name=name, parts=parts: list(_of_parameter(name, parts, found)))  # type: ignore[misc]


def _of_parameter(name: str, parts: Parts, found: Inputs) -> Iterator[tuple[str, str]]:
    whole = parts[0] if len(parts) == 1 and isinstance(parts[0], Hole) else None
    items = values.items_of(found.json(whole.name)) if whole is not None else None
    texts = [_text(parts, found)] if items is None else [values.scalar_text(item) for item in items]
    for text in texts:
        if text is not None:
            yield name, text


def _text(parts: Parts, found: Inputs) -> str | None:
    """A text with its values in it; None where it is one value only, and that null."""
    texts = [part if isinstance(part, str) else _scalar(part, found) for part in parts]
    if len(parts) == 1 and texts[0] is None:
        return None
    if None in texts:
        raise TransformFailed("found null among other text; wanted text, a number or a boolean")
    return "".join(filter(None, texts))


def _scalar(hole: Hole, found: Inputs) -> str | None:
    try:
        return values.scalar_text(found.json(hole.name))
    except TransformFailed as failure:
        raise TransformFailed(f"<{hole.name}>: {failure}") from None


def _path_part(part: str | Hole, found: Inputs) -> str:
    if isinstance(part, str):
        return part
    text = _scalar(part, found)
    if text is None:
        raise TransformFailed(f"<{part.name}>: found null; wanted text, a number or a boolean")
    return segment_value(text)


_TOO_LARGE = f"found more than {limits.TRANSFORMED_BYTES_MAX} bytes; wanted at most these"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw]).decode
_STRING = msgspec.json.Decoder(str).decode
