"""Placeholders in a text: `<name>` stands for a value, `<<` for a `<`. No other `<` is taken, so none is ever sent by mistake."""

import difflib
import re
from collections.abc import Collection
from typing import NamedTuple

from eventyard.core.errors import InvalidRule


class Hole(NamedTuple):
    """Where a value goes in."""

    name: str


Parts = tuple[str | Hole, ...]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TOKEN = re.compile(r"<<|<(?P<name>[A-Za-z_][A-Za-z0-9_]*)>|<")


def parse(text: str, names: Collection[str], *, at: str) -> Parts:
    """`text` cut at its placeholders; no two texts stand side by side. `InvalidRule` for one that stands for nothing."""
    parts: list[str | Hole] = []
    literal, start = "", 0
    for token in _TOKEN.finditer(text):
        literal += text[start : token.start()]
        start = token.end()
        if token[0] == "<<":
            literal += "<"
            continue
        parts += [literal] if literal else []
        parts.append(Hole(_known(token, names, at)))
        literal = ""
    literal += text[start:]
    return (*parts, literal) if literal else tuple(parts)


def _known(token: re.Match[str], names: Collection[str], at: str) -> str:
    name: str | None = token["name"]
    if name is None:
        raise InvalidRule(
            f'found a "<" at character {token.start()}', wanted="a placeholder, <name>, or << for the character itself", at=at
        )
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"; perhaps <{near[0]}>" if near else ""
        raise InvalidRule(f"found <{name}>", wanted=f'a name of "paths"{hint}, or << for a "<" of its own', at=at)
    return name
