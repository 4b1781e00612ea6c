"""The attributes of a CloudEvent: which names and values may stand there, and the one spelling that a value is compared by."""

import calendar
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from eventyard.core import strict_json
from eventyard.core.errors import InvalidEvent
from eventyard.core.limits import ATTRIBUTE_NAME_CHARACTERS_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX


def read_attributes(members: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, str]:
    """Every attribute that is set, checked, in its canonical spelling. `place` names where one stands."""
    if len(members) > ATTRIBUTES_MAX:
        raise InvalidEvent(f"{len(members)} attributes", wanted=f"at most {ATTRIBUTES_MAX}")
    canonical = {}
    for name, value in members.items():
        if name in DATA_MEMBERS:
            continue
        known = _KNOWN.get(name)
        if known is None and not _NAME.fullmatch(name):
            raise InvalidEvent(f"an attribute named {show(name)}", wanted=_NAME_WANTED, at=place(name))
        if value is not None:
            canonical[name] = _canonical(value, known, name, place)
    for name in REQUIRED:
        if name not in canonical:
            raise InvalidEvent(f"no {name}", wanted=_KNOWN[name].wanted, at=place(name))
    if HOPS in canonical and not _HOPS_VALUE.fullmatch(canonical[HOPS]):
        raise InvalidEvent(
            show(canonical[HOPS]), wanted="how many hops lie behind the event: 0, or up to nine digits", at=place(HOPS)
        )
    return canonical


def is_member(name: str) -> bool:
    """Whether an event can have a member of this name, attribute or data."""
    return name in DATA_MEMBERS or _NAME.fullmatch(name) is not None


def is_value(text: str) -> bool:
    """Whether a text that is not empty may stand as the value of an attribute."""
    return bool(text) and not _FORBIDDEN.search(text) and len(text.encode(errors="replace")) <= ATTRIBUTE_VALUE_BYTES_MAX


def _canonical(value: Any, known: "_Known | None", name: str, place: Callable[[str], str]) -> str:
    """The value's canonical string representation (CloudEvents, 3.1), if the value may stand there."""
    if type(value) is str:
        text = value
    elif known is None and (type(value) is bool or (type(value) is int and -_INTEGERS <= value < _INTEGERS)):
        return spelling(value)
    else:
        wanted = known.wanted if known else "a string, a boolean or an integer of 32 bits"
        raise InvalidEvent(show(value), wanted=wanted, at=place(name))
    if len(text) > _SHORT_CHARACTERS or not text.isprintable():
        _check_text(text, name, place)
    if known is not None and not known.is_valid(text):
        raise InvalidEvent(show(text), wanted=known.wanted, at=place(name))
    return text


def spelling(value: bool | int) -> str:
    return str(value).lower()


def _check_text(text: str, name: str, place: Callable[[str], str]) -> None:
    if forbidden := _FORBIDDEN.search(text):
        found = f"the character U+{ord(forbidden[0]):04X}"
        raise InvalidEvent(found, wanted="no control characters, surrogates or noncharacters", at=place(name))
    if len(text.encode()) > ATTRIBUTE_VALUE_BYTES_MAX:
        wanted = f"at most {ATTRIBUTE_VALUE_BYTES_MAX}; what is larger belongs in the data"
        raise InvalidEvent(f"{len(text.encode())} bytes", wanted=wanted, at=place(name))


def in_document(name: str) -> str:
    return strict_json.pointer([name])


def in_headers(name: str) -> str:
    return "header content-type" if name == "datacontenttype" else f"header ce-{name}"


def _is_time(text: str) -> bool:
    date = _TIME.fullmatch(text)
    if date is None:
        return False
    if date[3] <= "28":
        return True
    if date[2] == "02":
        return date[3] == "29" and calendar.isleap(int(date[1]))
    return date[3] != "31" or date[2] not in _MONTHS_OF_30


class MediaType(NamedTuple):
    is_json: bool
    is_text: bool
    is_utf8: bool


@lru_cache(maxsize=256)
def media_type(text: str) -> MediaType | None:
    """What a content type says of its data; None where it is no content type.

    JSON is UTF-8 whatever a charset says: RFC 8259 defines no such parameter.
    """
    media = _MEDIA_TYPE.fullmatch(text)
    if media is None:
        return None
    charset = _CHARSET.search(text)
    is_json = media[2].lower() == "json" or media[2].lower().endswith("+json")
    is_utf8 = is_json or charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    return MediaType(is_json, media[1].lower() == "text" and is_utf8, is_utf8)


class _Known(NamedTuple):
    """An attribute that CloudEvents defines: always a string."""

    wanted: str
    is_valid: Callable[[str], object]


_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(
    rf'({_WORD})/({_WORD})(?:[ \t]*;(?:[ \t]*{_WORD}=(?:{_WORD}|"(?:[^"\\\x7f-\U0010ffff]|\\[ -~])*"))?)*[ \t]*'
)
_CHARSET = re.compile(r';[ \t]*charset="?([^";\s]+)', re.IGNORECASE)
_TIME = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_MONTHS_OF_30 = frozenset({"04", "06", "09", "11"})
_NAME = re.compile(rf"(?!data\Z)[a-z0-9]{{1,{ATTRIBUTE_NAME_CHARACTERS_MAX}}}")
_NAME_WANTED = f"1 to {ATTRIBUTE_NAME_CHARACTERS_MAX} characters of a-z and 0-9"
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_SHORT_CHARACTERS = ATTRIBUTE_VALUE_BYTES_MAX // 4  # never too long in UTF-8; what is printable holds nothing forbidden
_INTEGERS = 2**31
_KNOWN = {
    "specversion": _Known('"1.0"', "1.0".__eq__),
    "id": _Known("a string that is not empty", bool),
    "source": _Known("a URI reference, such as /orders or https://shop.example", re.compile(r"[^\s]+").fullmatch),
    "type": _Known("a string that is not empty, such as order.paid", bool),
    "datacontenttype": _Known("a media type, such as application/json", media_type),
    "dataschema": _Known("a URI with its scheme", re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+").fullmatch),
    "subject": _Known("a string that is not empty", bool),
    "time": _Known("an RFC 3339 time, such as 2024-05-01T12:00:00Z", _is_time),
}
_HOPS_VALUE = re.compile(r"0|[1-9][0-9]{0,8}")
REQUIRED = ("specversion", "id", "source", "type")
HOPS = "eventyardhops"
"""How many events came of one another before this one (`cause`)."""
DATA_MEMBERS = frozenset(("data", "data_base64"))
JSON_TYPE = "application/json"


def show(value: Any) -> str:
    """A value in a message: named if it is large, else as JSON and cut short."""
    if type(value) is dict or type(value) is list:
        return "an object" if type(value) is dict else "an array"
    text = ascii(value) if type(value) is str else msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


_SHOWN_CHARACTERS = 60
