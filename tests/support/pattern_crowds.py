"""Crowds of rules that differ in one field, and events that ask for some of them: so many that an index splits them inside."""

import json
from typing import NamedTuple

from hypothesis import strategies as st

from tests.support.pattern_strategies import Vocabulary

LISTS = {
    "a string": '"id-{n}"',
    "a string like another": '"id-{s}"',
    "a number": "{n}",
    "a number spelled otherwise": "{n}.0",
    "several": '"id-{n}", {n}, {n}.5, "ID-{m}"',
    "exactly": '{{"exactly": "id-{n}"}}',
    "a beginning": '{{"prefix": "id-{n}"}}',
    "an end": '{{"suffix": "{n}-di"}}',
    "any case": '{{"equals-ignore-case": "ID-{n}"}}',
    "a beginning of any case": '{{"prefix": {{"equals-ignore-case": "iD-{n}"}}}}',
    "an end of any case": '{{"suffix": {{"equals-ignore-case": "{n}-Di"}}}}',
    "any case of a letter with forms": '{{"equals-ignore-case": "\\u0131d-{n}"}}',
    "a beginning of any case of a letter with forms": '{{"prefix": {{"equals-ignore-case": "\\u0131d-{n}"}}}}',
    "an end of any case of a letter with forms": '{{"suffix": {{"equals-ignore-case": "{n}-d\\u0131"}}}}',
    "a wildcard": '{{"wildcard": "id-{n}*"}}',
    "a wildcard between": '{{"wildcard": "*-{n}-*"}}',
    "a wildcard of parts": '{{"wildcard": "*d*-*{n}*i"}}',
    "equal in numbers": '{{"numeric": ["=", {n}]}}',
    "above": '{{"numeric": [">", {n}]}}',
    "at most": '{{"numeric": ["<=", {n}.5]}}',
    "a range": '{{"numeric": [">=", {n}, "<", {m}]}}',
    "a range with open ends": '{{"numeric": [">", -{n}.5, "<=", {n}.5]}}',
    "addresses": '{{"cidr": "10.0.{s}.0/24"}}',
    "many addresses": '{{"cidr": "10.0.{s}.0/18"}}',
    "addresses of version 6": '{{"cidr": "2001:db8:{s}::/48"}}',
    "anything but": '{{"anything-but": ["id-{n}", "id-{m}"]}}',
    "anything but a number": '{{"anything-but": {n}}}',
    "anything but a beginning": '{{"anything-but": {{"prefix": ["id-{n}", "x-{m}"]}}}}',
    "anything but an end": '{{"anything-but": {{"suffix": "{n}-di"}}}}',
    "anything but in any case": '{{"anything-but": {{"equals-ignore-case": "ID-{n}"}}}}',
    "anything but a wildcard": '{{"anything-but": {{"wildcard": "*-{n}*"}}}}',
    "this or absent": '{n}, {{"exists": false}}',
    "absent": '{{"exists": false}}',
    "present": '{{"exists": true}}',
    "a literal": "true, null",
    "one or two of few": "1, {n}",
    "a number that no double holds": "9007199254740993, {n}.00000000000000000001",
    "many values": "{many}",
}
"""The list of rule number n. m is five more; s is of a hundred, so that several rules share it; many are sixty."""

VALUES = (
    *('"id-{n}"', "{n}", "{n}.0", "{n}e0", "{n}.5", "-{n}", '"id-{n}-x-{n}-di"', '"\\u0069d-{n}"', '"ID-{n}"', '"Id-{n}-di"'),
    *('"x-{n}-di"', '"10.0.{s}.7"', '"2001:DB8:{s}:0::1"', '"{n}"', "true", "null", "{n}.00000000000000000001", "{{}}", "[]"),
    *("1", "1.0", '"x-{n}-dI"', "9007199254740993", "9007199254740992.0", "9007199254740993.0"),
)
"""What an event may have there."""

PLACES = {
    "at the top": ('"ident": [{}]', '"ident": {}'),
    "deeper": ('"body": {{"ident": [{}]}}', '"body": {{"ident": {}}}'),
    "as a path": ('"body.ident": [{}]', '"body": {{"ident": {}}}'),
    "under a key with a dot": ('"body": {{"ident": [{}]}}', '"body.ident": {}'),
    "in an array": ('"ident": [{}]', '"ident": [{}, ["id-7", 7]]'),
    "in objects of an array": ('"list": {{"ident": [{}], "kind": [1]}}', '"list": [{{"kind": 2}}, {{"ident": {}, "kind": 1}}]'),
    "in other objects of an array": ('"list": {{"ident": [{}], "kind": [1]}}', '"list": [{{"kind": 1}}, {{"ident": {}}}]'),
    "as source and type": ('"source": ["/shop"], "type": [{}]', '"source": "/shop", "type": {}'),
}
"""How a rule asks for it, and where an event has it."""


class Crowd(NamedTuple):
    """Rules from a few templates in turn. `beside` are the other members of a rule; those of some are different."""

    listed: tuple[str, ...]
    place: str
    beside: tuple[str, ...]
    is_or: bool

    def pattern(self, number: int) -> str:
        listed = LISTS[self.listed[number % len(self.listed)]]
        asked = PLACES[self.place][0].format(listed.format(n=number, m=number + 5, s=number % 100, many=_Many(number)))
        others = self.beside[number % len(self.beside)] if self.beside else ""
        if self.is_or:
            return f'{{"$or": [{{{asked}}}, {{{others or asked}}}]}}'
        return f"{{{asked}{', ' if others else ''}{others}}}"

    def event(self, value: str, number: int, drawn: bytes) -> bytes:
        """The drawn event with the field of rule `number` put in."""
        member = PLACES[self.place][1].format(value.format(n=number, s=number % 100)).encode()
        inner = drawn.strip()[1:-1].strip() if drawn.strip().startswith(b"{") else b""
        taken = set(json.loads(drawn)) & set(json.loads(b"{" + member + b"}")) if inner else set()
        return b"{" + member + (b", " + inner if inner and not taken else b"") + b"}"

    def events(self, number: int, drawn: bytes) -> list[bytes]:
        """With every value, and one that has none."""
        return [*(self.event(value, number, drawn) for value in VALUES), drawn]


class _Many:
    """Written only where it is asked for."""

    def __init__(self, number: int) -> None:
        self._numbers = range(number, number + 30)

    def __str__(self) -> str:
        return ", ".join(f'"id-{number}", {number}' for number in self._numbers)


def crowds(vocabulary: Vocabulary) -> st.SearchStrategy[Crowd]:
    return st.builds(
        Crowd,
        st.lists(st.sampled_from(tuple(LISTS)), min_size=1, max_size=3).map(tuple),
        st.sampled_from(tuple(PLACES)),
        st.lists(vocabulary.or_members, max_size=2).map(tuple),
        st.sampled_from((False, False, True)),
    )
