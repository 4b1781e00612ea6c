"""Reading a caller's JSON document into a frozen struct, with errors that name the place and the nearest known word.

msgspec checks the shape; this file turns what it says into the house's errors. The text is read strictly first, so a
duplicate key is never silently dropped.
"""

import difflib
import re
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from eventyard.core import strict_json
from eventyard.core.errors import InvalidJSON, Refused

T = TypeVar("T")

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*?)`(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_WRONG = re.compile(r"Expected `?(?P<wanted>.*?)`?(?:, got `?(?P<found>.*?)`?)?(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_ENUM = re.compile(r"Invalid enum value .*? - at `\$(?P<path>.*)`$", re.DOTALL)


def read(body: bytes, kind: type[T], refusal: type[Refused], *, any_number: bool = False) -> T:
    """`body` as a `kind`, or a `refusal` that says what was found, what was wanted and where (a JSON pointer).

    `any_number` as in `strict_json.decode`.
    """
    try:
        document = strict_json.decode(body, any_number=any_number)
    except InvalidJSON as error:
        raise refusal(error.found, wanted=error.wanted or "JSON", at=error.at) from error
    if not isinstance(document, dict):
        raise refusal(f"found {_kind(document)}", wanted="a JSON object", at="/")
    return _convert(body, document, kind, refusal)


def _convert(body: bytes, document: Any, kind: type[T], refusal: type[Refused]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _located(str(error), document, kind, refusal) from None


def _located(message: str, document: Any, kind: type, refusal: type[Refused]) -> Refused:
    if match := _UNKNOWN.match(message):
        path = _steps(match["path"])
        known = _fields_at(kind, path)
        near = difflib.get_close_matches(match["name"], known, 1, 0.5)
        hint = f'perhaps "{near[0]}"; known here: ' if near else "one of "
        return refusal(
            f'unknown field "{match["name"]}"',
            wanted=hint + ", ".join(known),
            at=_pointer([*path, match["name"]]),
        )
    if match := _MISSING.match(message):
        return refusal(f'no "{match["name"]}"', wanted=f'the field "{match["name"]}"', at=_pointer(_steps(match["path"])))
    if match := _WRONG.match(message):
        path = _steps(match["path"])
        return refusal(f"found {_show_at(document, path)}", wanted=match["wanted"].replace("`", ""), at=_pointer(path))
    if match := _ENUM.match(message):
        path = _steps(match["path"])
        return refusal(f"found {_show_at(document, path)}", wanted=_choices(kind, path), at=_pointer(path))
    return refusal(message, at="/")


def _steps(path: str | None) -> list[str]:
    """The steps of msgspec's `.target.http[0]` path."""
    return re.findall(r"[^.\[\]]+", path or "")


def _pointer(steps: list[str]) -> str:
    return "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)


def _value_at(document: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
    return document


_SECRETIVE = frozenset({"signing", "auth"})
"""Below these a value is not repeated: a secret in the wrong place, as a text where an object is wanted, is still one."""


def _show_at(document: Any, steps: list[str]) -> str:
    value = _value_at(document, steps)
    return _kind(value) if _SECRETIVE.intersection(steps) else _show(value)


def _show(value: Any) -> str:
    """A value as a person wrote it, cut short. Objects are named, not shown: they may hold what is nobody's business."""
    if isinstance(value, dict | list):
        return _kind(value)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _choices(kind: Any, steps: list[str]) -> str:
    """The words that a closed set takes, for a field whose type has one."""
    for step in steps:
        kind = _struct_fields(kind).get(step, kind)
    options = [word for option in (kind, *get_args(kind)) if get_origin(option) is Literal for word in get_args(option)]
    return "one of " + ", ".join(f'"{word}"' for word in options)


def _fields_at(kind: Any, steps: list[str]) -> list[str]:
    for step in steps:
        fields = _struct_fields(kind)
        kind = fields.get(step, kind)
    return sorted(_struct_fields(kind))


def _struct_fields(kind: Any) -> dict[str, Any]:
    """The fields of a struct type, also inside a union with `None` or `UNSET`."""
    for option in (kind, *get_args(kind)):
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return {field.encode_name: field.type for field in msgspec.structs.fields(option)}
    return {}
