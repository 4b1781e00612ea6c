"""What an event means, read by the audit's own few lines: which patterns it matches, and under which key it stands."""

import json
from typing import Any

from eventyard.core.rule import DeliveryPolicy

Key = tuple[str, Any]
"""What kind of value it is, and the value: texts, numbers, truths and the rest never equal each other."""


def matches(pattern: Any, document: Any) -> bool:
    """The few kinds of patterns that the operators of the simulation write."""
    if not isinstance(document, dict):
        return False
    return all(
        matches(wanted, document.get(field))
        if isinstance(wanted, dict)
        else any(_is_met(one, document.get(field)) for one in wanted)
        for field, wanted in pattern.items()
    )


def _is_met(wanted: Any, value: Any) -> bool:
    match wanted:
        case {"prefix": str(prefix)}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"anything-but": list(others)}:
            return value is not None and value not in others
        case {"numeric": [">=", bound]}:
            return isinstance(value, int) and value >= bound
        case {"numeric": ["<", bound]}:
            return isinstance(value, int) and value < bound
    return bool(value == wanted)


def key_of(policy: DeliveryPolicy, document: Any) -> Key | None:
    """Under which key the event stands for a rule that keeps order; None: under none, so in no order."""
    if policy.order == "none":
        return None
    if policy.key:
        return _kind(at(document, policy.key.split(".")))
    named = document.get("partitionkey")
    return _kind(document.get("subject") if named is None else named)


def at(document: Any, path: list[str]) -> Any:
    """What stands at a path of objects; None: nothing."""
    for step in path:
        if not isinstance(document, dict):
            return None
        document = document.get(step)
    return document


def _kind(value: Any) -> Key | None:
    match value:
        case None:
            return None
        case bool():
            return ("truth", value)
        case int() | float():
            return ("number", float(value))
        case str():
            return ("text", value)
    return ("json", json.dumps(value, sort_keys=True))
