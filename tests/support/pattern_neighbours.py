"""Events made after a rule: of its own fields and values, so that they match it or do not by little.

They hold what is listed, bounds themselves, texts with something before or behind; in arrays, in objects of arrays, under keys with dots; sometimes a
field is left out or has another field's value.
"""

import json
import random
from typing import Any

from eventyard.core import strict_json
from eventyard.core.errors import InvalidJSON

NOTHING = "{}"


class Raw(str):
    """A number as it is spelled."""

    __slots__ = ()


def event_near(pattern: str, seed: int) -> bytes:
    """An event that strict ingest takes. The same for the same seed."""
    return Neighbour(pattern, random.Random(seed)).event()


class Neighbour:
    def __init__(self, pattern: str, rng: random.Random) -> None:
        self._rng = rng
        self._pattern = json.loads(pattern, parse_float=Raw, parse_int=Raw)
        self._texts = [*_texts(self._pattern), "", "x"]

    def event(self) -> bytes:
        text = self._object(self._pattern)
        try:
            strict_json.decode(text.encode())
        except InvalidJSON:  # A number beyond a double, too deep, or a key twice, as the pattern may have them.
            return NOTHING.encode()
        return text.encode()

    def _object(self, asked: dict[str, Any]) -> str:
        return _spelled(self._members(asked))

    def _members(self, asked: dict[str, Any]) -> dict[str, str]:
        members: dict[str, str] = {}
        for key, wanted in asked.items():
            if key == "$or":
                members |= self._members(self._rng.choice(wanted))
            elif self._rng.random() < 0.08:
                continue
            elif isinstance(wanted, list):
                members[key] = self._in_array(self._value(wanted), self._value(wanted))
            else:
                members |= self._below(key, wanted)
        return members

    def _below(self, key: str, asked: dict[str, Any]) -> dict[str, str]:
        if self._rng.random() < 0.12:
            return {f"{key}.{inner}": value for inner, value in self._members(asked).items()}
        if len(asked) > 1 and self._rng.random() < 0.3:
            return {key: self._apart(asked)}
        return {key: self._in_array(self._object(asked), self._object(asked))}

    def _apart(self, asked: dict[str, Any]) -> str:
        """Objects of an array that have some of the fields each, and perhaps one that has all."""
        members = list(self._members(asked).items())
        self._rng.shuffle(members)
        cut = len(members) // 2
        objects = [dict(members[:cut]), dict(members[cut:])]
        objects += [dict(members)] if self._rng.random() < 0.3 else []
        self._rng.shuffle(objects)
        return "[" + ", ".join(map(_spelled, objects)) + "]"

    def _in_array(self, value: str, other: str) -> str:
        chance = self._rng.random()
        if chance < 0.7:
            return value
        return self._rng.choice(
            [f"[{value}]", f"[{other}, {value}]", f"[[{value}], {other}]", f"[{value}, 0]", "[]", f"[[[[{value}]]]]"]
        )

    def _value(self, wanted: list[Any]) -> str:
        chance = self._rng.random()
        if chance < 0.06:
            return self._rng.choice(["null", "true", "1", "1.0", NOTHING, "[]", '""'])
        if chance < 0.12:
            return json.dumps(self._rng.choice(self._texts))
        return self._by(self._rng.choice(wanted))

    def _by(self, entry: Any) -> str:
        """A value that an entry of a list takes, or nearly."""
        if isinstance(entry, Raw):
            return self._number(entry)
        if not isinstance(entry, dict):
            return json.dumps(entry)
        ((operator, operand),) = entry.items()
        return self._by_operator(operator, operand)

    def _by_operator(self, operator: str, operand: Any) -> str:
        rng = self._rng
        while isinstance(operand, dict):
            operator, operand = next(iter(operand.items()))
        if operator == "numeric":
            return self._number(rng.choice(operand[1::2]))
        if isinstance(operand, list):
            operand = rng.choice(operand)
        if isinstance(operand, Raw):
            return self._number(operand)
        if not isinstance(operand, str):
            return rng.choice(["null", "7", '"y"'])
        text = operand.partition("/")[0] if operator == "cidr" else operand
        if operator == "wildcard":
            text = "".join(rng.choice(["", "z", rng.choice(self._texts)]) if part == "*" else part for part in _parts(text))
        before, after = rng.choice([("", ""), ("", "z"), ("z", ""), ("z", "z"), ("", ""), ("", text)])
        text = rng.choice([text, text, text.swapcase(), text.upper(), text.lower(), text.casefold()])
        return json.dumps(before + text + after)

    def _number(self, number: str) -> str:
        if "e" in number.lower() or self._rng.random() < 0.5:
            return number
        point = "" if "." in number else "."
        return self._rng.choice(
            [number + point + "0", number + point + "1", number + point + "0" * 18 + "1", "-" + number.lstrip("-")]
        )


def _spelled(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in members.items()) + "}"


def _parts(text: str) -> list[str]:
    """A wildcard's stars and what is between them, escapes taken off."""
    parts, escaped = [""], False
    for letter in text:
        if letter == "*" and not escaped:
            parts += ["*", ""]
        elif letter == "\\" and not escaped:
            escaped = True
            continue
        else:
            parts[-1] += letter
        escaped = False
    return parts


def _texts(node: Any) -> list[str]:
    if isinstance(node, Raw):
        return []
    if isinstance(node, str):
        return [node]
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for each in below for text in _texts(each)]
