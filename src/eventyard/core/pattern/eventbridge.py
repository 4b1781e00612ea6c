"""EventBridge's names: its events say `detail-type` and `detail` where a CloudEvent says `type` and `data`.

The rest is one language, so a pattern or an event written for EventBridge needs only these names exchanged at the top.
"""

from typing import Any

from eventyard.core.errors import InvalidRequest
from eventyard.core.pattern.language import OR
from eventyard.core.strict_json import pointer

NAMES = {"detail-type": "type", "detail": "data"}


def from_eventbridge(event_or_pattern: dict[str, Any]) -> dict[str, Any]:
    """The same event or pattern in Eventyard's names. Inside a pattern's top-level `$or` too; an event has none.

    A key with dots names a path (`detail.state`), so its first step counts. Raises InvalidRequest where both names of one field
    stand side by side.
    """
    return _renamed(event_or_pattern, ())


def _renamed(document: dict[str, Any], at: tuple[str | int, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in document.items():
        name = _name(key)
        if name != key and name in document:
            raise InvalidRequest(f'found both "{key}" and "{name}"', wanted="one of them", at=pointer((*at, key)))
        is_or = key == OR and isinstance(value, list)
        result[name] = _renamed_options(value, (*at, key)) if is_or else value
    return result


def _renamed_options(options: list[Any], at: tuple[str | int, ...]) -> list[Any]:
    return [_renamed(option, (*at, index)) if isinstance(option, dict) else option for index, option in enumerate(options)]


def _name(key: str) -> str:
    first, dot, rest = key.partition(".")
    return NAMES.get(first, first) + dot + rest
