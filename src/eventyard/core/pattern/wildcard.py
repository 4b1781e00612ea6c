r"""Wildcards: `*` stands for any text, also none; `\*` and `\\` stand for themselves. There is no other escape.

A wildcard is kept as the literal parts between its stars. The first part must open the text, the last must close it,
and each part between is taken at its earliest place after the one before: if any placing works, the earliest does, so
there is nothing to go back to and no text can make it slow.
"""

import re

_PIECE = re.compile(r"(?P<stars>\*+)|(?P<escape>\\[*\\])|(?P<plain>[^*\\]+)|(?P<stray>\\)", re.DOTALL)


class InvalidWildcard(ValueError):
    """What is wrong with a wildcard. The operator that holds it knows the place in the pattern."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found)
        self.found = found
        self.wanted = wanted


def split(text: str) -> tuple[str, ...]:
    """The literal parts between the stars of `text`: one more than it has stars."""
    parts = [""]
    for piece in _PIECE.finditer(text):
        match piece.lastgroup:
            case "stars":
                _check_single(piece)
                parts.append("")
            case "stray":
                raise InvalidWildcard(f"found a backslash at character {piece.start()}", r"\* or \\ after it")
            case "escape":
                parts[-1] += piece[0][1]
            case _:
                parts[-1] += piece[0]
    return tuple(parts)


def fits(parts: tuple[str, ...], text: str) -> bool:
    """Whether `text` is the parts in their order with anything between them."""
    first, *between = parts
    if not between:
        return text == first
    last = between.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    return _stand_in_order(between, text, len(first), len(text) - len(last))


def _check_single(stars: re.Match[str]) -> None:
    if len(stars[0]) > 1:
        raise InvalidWildcard(f"found {len(stars[0])} stars at character {stars.start()}", "one star, or \\* for itself")


def _stand_in_order(parts: list[str], text: str, start: int, end: int) -> bool:
    for part in parts:
        start = text.find(part, start, end)
        if start < 0:
            return False
        start += len(part)
    return True
