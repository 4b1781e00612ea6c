"""Strategies of patterns and events as JSON text. Both of one example come from one `Vocabulary`, so that they meet."""

import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.comparison import is_held
from eventyard.core.pattern.language import RESERVED_INSIDE_OR, parse
from tests.support.pattern_words import BEYOND_DOUBLE, COMMON, FAMILIES, KEYS, LITERALS, RANGES, pieces, spellings

Draw = st.DrawFn
Writer = Callable[[Draw], str]

EVENT_DEPTH = 4
PATTERN_DEPTH = 3
PERCENT = st.sampled_from(range(100))
SEPARATORS = st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")))
MAY_BE_ABSENT = st.sampled_from(((), (), (), (), ('{"exists": false}',)))
SIGNS = st.sampled_from(("=", "<", "<=", ">", ">="))
LOWER, UPPER = st.sampled_from((">", ">=")), st.sampled_from(("<", "<="))


class Vocabulary:
    """What one example is made of, and the strategies over it: `events` give bytes that strict ingest takes, `patterns` valid texts."""

    def __init__(self, keys: tuple[str, ...], families: tuple[str, ...]) -> None:
        chosen = [FAMILIES[name] for name in families] + [COMMON]
        strings = tuple(dict.fromkeys(text for family in chosen for text in family.strings))
        numbers = tuple(dict.fromkeys(text for family in chosen for text in family.numbers))
        self._keys = [st.sampled_from(spellings(key)) for key in keys]
        self._key_sets = st.sampled_from(range(1, 1 << len(keys)))
        self._may_be_asked = [key != "$or" for key in keys]
        self._is_reserved = [key in RESERVED_INSIDE_OR for key in keys]
        self._strings = st.sampled_from([spelled for text in strings for spelled in spellings(text)])
        self._pieces = st.sampled_from([spelled for text in pieces(strings) for spelled in spellings(text) if text])
        self._starless = st.sampled_from([_starless(text) for text in ("", *pieces(strings))])
        self._numbers = st.sampled_from(numbers)
        self._listed_numbers = st.sampled_from(numbers + BEYOND_DOUBLE)
        held = sorted((text for text in numbers if is_held(Decimal(text))), key=Decimal)
        self._held = st.sampled_from(held)
        pairs = [(low, high) for low, high in itertools.combinations(held, 2) if Decimal(low) < Decimal(high)]
        self._bounds = st.sampled_from(pairs)
        self._scalars = st.one_of(self._strings, self._numbers, st.sampled_from(LITERALS))
        self._exact = st.one_of(self._strings, self._listed_numbers, st.sampled_from(LITERALS))
        self._ranges = st.sampled_from(RANGES)
        self._operators: st.SearchStrategy[Writer] = st.sampled_from(
            [
                *(self._exact_value, self._exact_value, self._exactly, self._prefix, self._suffix, self._equals_ignore_case),
                *(self._prefix_ignore_case, self._suffix_ignore_case, self._wildcard, self._wildcard),
                *(self._numeric, self._numeric, self._cidr, self._exists),
                *(
                    self._but_values,
                    self._but_numbers,
                    self._but_prefix,
                    self._but_suffix,
                    self._but_any_case,
                    self._but_wildcard,
                ),
            ]
        )
        self.events = self._composed(self._event)
        self.patterns = self._composed(self._pattern).filter(_is_affordable)
        self.or_members = self._composed(lambda draw: self._asked(draw, 1, is_inside_or=True))
        """Members of a pattern's object, without its braces, that may stand in `$or` too."""

    @staticmethod
    def _composed(write: Callable[[Draw], Any]) -> st.SearchStrategy[Any]:
        return st.composite(write)()

    # Events

    def _event(self, draw: Draw) -> bytes:
        """An object nearly always, as events are; the language itself knows any document."""
        separators = draw(SEPARATORS)
        kind = draw(PERCENT)
        text = self._value(draw, EVENT_DEPTH, separators) if kind == 99 else self._object(draw, EVENT_DEPTH, separators)
        return text.encode()

    def _value(self, draw: Draw, depth: int, separators: tuple[str, str]) -> str:
        kind = draw(PERCENT)
        if not depth or kind < 50:
            return draw(self._scalars)
        if kind < 75:
            return self._object(draw, depth, separators)
        values = [self._value(draw, depth - 1, separators) for _ in range(draw(st.sampled_from((2, 1, 3, 0))))]
        return "[" + separators[0].join(values) + "]"

    def _object(self, draw: Draw, depth: int, separators: tuple[str, str]) -> str:
        if draw(PERCENT) >= 96:
            return "{}"
        comma, colon = separators
        members = [draw(key) + colon + self._value(draw, depth - 1, separators) for _, key in self._chosen_keys(draw)]
        return "{" + comma.join(members) + "}"

    def _chosen_keys(self, draw: Draw) -> list[tuple[int, st.SearchStrategy[str]]]:
        chosen = draw(self._key_sets)
        return [(number, key) for number, key in enumerate(self._keys) if chosen >> number & 1]

    # Patterns

    def _pattern(self, draw: Draw) -> str:
        return "{" + self._asked(draw, PATTERN_DEPTH, is_inside_or=False) + "}"

    def _asked(self, draw: Draw, depth: int, *, is_inside_or: bool) -> str:
        """At least one member: fields, deeper objects, and sometimes `$or`."""
        members = [
            draw(key) + ": " + self._list_or_object(draw, depth - 1, is_inside_or=is_inside_or)
            for number, key in self._chosen_keys(draw)
            if self._may_be_asked[number] and not (is_inside_or and self._is_reserved[number])
        ][:3]
        if depth and draw(PERCENT) >= 80:
            members.insert(draw(st.sampled_from(range(len(members) + 1))), self._or(draw, depth - 1))
        return ", ".join(members) or '"x": ' + self._list(draw)

    def _list_or_object(self, draw: Draw, depth: int, *, is_inside_or: bool) -> str:
        if depth > 0 and draw(PERCENT) >= 60:
            return "{" + self._asked(draw, depth, is_inside_or=is_inside_or) + "}"
        return self._list(draw)

    def _or(self, draw: Draw, depth: int) -> str:
        options = [self._asked(draw, min(depth, 1), is_inside_or=True) for _ in range(draw(st.sampled_from((2, 3))))]
        return '"$or": [' + ", ".join("{" + option + "}" for option in options) + "]"

    def _list(self, draw: Draw) -> str:
        entries = [draw(self._operators)(draw) for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3))))]
        return _listed([*entries, *draw(MAY_BE_ABSENT)])

    def _exact_value(self, draw: Draw) -> str:
        return draw(self._exact)

    def _exactly(self, draw: Draw) -> str:
        return f'{{"exactly": {draw(self._strings)}}}'

    def _prefix(self, draw: Draw) -> str:
        return f'{{"prefix": {draw(self._some_piece)}}}'

    def _suffix(self, draw: Draw) -> str:
        return f'{{"suffix": {draw(self._some_piece)}}}'

    def _equals_ignore_case(self, draw: Draw) -> str:
        return f'{{"equals-ignore-case": {draw(self._strings)}}}'

    def _prefix_ignore_case(self, draw: Draw) -> str:
        return f'{{"prefix": {{"equals-ignore-case": {draw(self._some_piece)}}}}}'

    def _suffix_ignore_case(self, draw: Draw) -> str:
        return f'{{"suffix": {{"equals-ignore-case": {draw(self._some_piece)}}}}}'

    @property
    def _some_piece(self) -> st.SearchStrategy[str]:
        return self._pieces | st.just('""')

    def _wildcard(self, draw: Draw) -> str:
        return f'{{"wildcard": {self._starred(draw)}}}'

    def _starred(self, draw: Draw) -> str:
        """Up to five stars between pieces. Pieces between stars are not empty, since stars may not follow one another."""
        first, last = draw(self._starless), draw(self._starless)
        between = [text for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2, 4)))) if (text := draw(self._starless))]
        return json.dumps("*".join([first, *between, last]))

    def _numeric(self, draw: Draw) -> str:
        if draw(PERCENT) < 60:
            return f'{{"numeric": ["{draw(SIGNS)}", {draw(self._held)}]}}'
        low, high = draw(self._bounds)
        return f'{{"numeric": ["{draw(LOWER)}", {low}, "{draw(UPPER)}", {high}]}}'

    def _cidr(self, draw: Draw) -> str:
        return f'{{"cidr": "{draw(self._ranges)}"}}'

    def _exists(self, draw: Draw) -> str:
        return draw(st.sampled_from(('{"exists": true}', '{"exists": false}')))

    def _but_values(self, draw: Draw) -> str:
        return f'{{"anything-but": {self._one_or_list(draw, self._strings)}}}'

    def _but_numbers(self, draw: Draw) -> str:
        return f'{{"anything-but": {self._one_or_list(draw, self._held)}}}'

    def _but_prefix(self, draw: Draw) -> str:
        return f'{{"anything-but": {{"prefix": {self._one_or_list(draw, self._pieces)}}}}}'

    def _but_suffix(self, draw: Draw) -> str:
        return f'{{"anything-but": {{"suffix": {self._one_or_list(draw, self._pieces)}}}}}'

    def _but_any_case(self, draw: Draw) -> str:
        return f'{{"anything-but": {{"equals-ignore-case": {self._one_or_list(draw, self._strings)}}}}}'

    def _but_wildcard(self, draw: Draw) -> str:
        listed = [self._starred(draw) for _ in range(draw(st.sampled_from((1, 1, 2))))]
        return f'{{"anything-but": {{"wildcard": {listed[0] if len(listed) == 1 else _listed(listed)}}}}}'

    def _one_or_list(self, draw: Draw, entries: st.SearchStrategy[str]) -> str:
        count = draw(st.sampled_from((0, 0, 1, 2, 3)))
        return _listed([draw(entries) for _ in range(count)]) if count else draw(entries)


def _is_affordable(pattern: str) -> bool:
    """`$or` inside `$or` beside `$or` can multiply to more than a rule may have."""
    try:
        parse(pattern)
    except PatternTooCostly:
        return False
    return True


def _listed(texts: list[str]) -> str:
    return "[" + ", ".join(texts) + "]"


def _starless(text: str) -> str:
    """As it stands in a wildcard."""
    return text.replace("\\", "\\\\").replace("*", "\\*")


@lru_cache(1_000)
def _vocabulary(keys: tuple[str, ...], families: tuple[str, ...]) -> Vocabulary:
    """Strategies are costly to make and cheap to use again."""
    return Vocabulary(keys, families)


vocabularies = st.builds(
    lambda keys, one, other: _vocabulary(keys, tuple(dict.fromkeys((one, other)))),
    st.sampled_from(KEYS),
    st.sampled_from(tuple(FAMILIES)),
    st.sampled_from(tuple(FAMILIES)),
)
