"""Texts at one field: which of many rules' operators accept one.

Each operator says how a text that it accepts begins or ends, and is filed under that: prefixes of one length are one dictionary, so a
text asks one question for each length, not for each rule. Where that is not yet the whole of it (what stands between a
wildcard's stars, letters of another case) the operator itself decides about the few that are left.

Letters of any case are filed by their case folding, which goes letter by letter. An operator whose letters have forms that fold apart
(a dotless i and its upper form, which is I) is asked about every text.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

from eventyard.core.pattern import letters, wildcard
from eventyard.core.pattern.cells import cells
from eventyard.core.pattern.comparison import (
    Cidr,
    EqualsIgnoreCase,
    Prefix,
    PrefixIgnoreCase,
    Suffix,
    SuffixIgnoreCase,
    Wildcard,
    address,
)
from eventyard.core.pattern.reading import Reading

Operator = Prefix | Suffix | EqualsIgnoreCase | PrefixIgnoreCase | SuffixIgnoreCase | Wildcard | Cidr

Check = tuple[Callable[[str], bool], int, int]
"""What decides, the rule's bit, and looks that it takes beside those for the length of the text."""

_CHARACTERS_AS_ONE = 512
"""Characters of a text that a search passes in the time of one look at a value."""

_WILDCARD_LOOKS = 2

_LETTERS_AS_ONE = 2
"""Letters that are compared in any case in the time of one look at a value."""

_PART_AS_TABLES = 2
"""A part is cut off a text and looked for in the time of so many dictionaries' answers."""

_NETWORKS_AS_TABLES = 80
"""An address is parsed in the time of so many dictionaries' answers."""

_ADDRESSES_KEPT = 1_024
"""An event's address is asked for by every group of rules that it meets."""

_WHOLE, _HEAD, _TAIL, _ANY = "whole", "head", "tail", "any"


class Texts:
    """Operators by rule's bit."""

    __slots__ = ("_any", "_folded", "_heads", "_networks", "_tails")

    def __init__(self, operators: Iterable[tuple[int, Operator]]) -> None:
        plain, folded, networks = _Files(), _Files(), []
        for bit, operator in operators:
            match operator:
                case Prefix(text=text):
                    plain.add(_HEAD, text, bit)
                case Suffix(text=text):
                    plain.add(_TAIL, text, bit)
                case Wildcard(parts=parts):
                    plain.add(*_anchor(parts), bit, partial(wildcard.fits, parts), looks=_WILDCARD_LOOKS)
                case EqualsIgnoreCase():
                    folded.add_folded(_WHOLE, operator, bit, partial(letters.equal, operator.letters))
                case PrefixIgnoreCase():
                    folded.add_folded(_HEAD, operator, bit, partial(letters.open_, operator.letters))
                case SuffixIgnoreCase():
                    folded.add_folded(_TAIL, operator, bit, partial(letters.close, operator.letters))
                case Cidr():
                    networks.append((bit, operator))
        self._heads, self._tails = plain.by_length(_HEAD), plain.by_length(_TAIL)
        self._any = (*plain.checks(_ANY), *folded.checks(_ANY))
        self._folded = (folded.by_length(_WHOLE), folded.by_length(_HEAD), folded.by_length(_TAIL)) if folded.is_used else None
        self._networks = _Networks(networks) if networks else None

    @property
    def tables(self) -> int:
        """How many dictionaries are asked about every text, or what takes as long."""
        folded = sum(map(len, self._folded)) if self._folded is not None else 0
        parts = len(self._heads) + len(self._tails) + folded
        return _PART_AS_TABLES * parts + (_NETWORKS_AS_TABLES if self._networks is not None else 0)

    def of(self, text: str, reading: Reading) -> int:
        """The rules with an operator that accepts it. Wrong where afterwards nothing is left to look at."""
        found = _heads(self._heads, text, text, reading) if self._heads else 0
        if self._tails:
            found |= _tails(self._tails, text, text, reading)
        if self._any:
            found |= _checked(self._any, text, reading)
        if self._folded is not None:
            found |= self._of_folded(text.casefold(), text, self._folded, reading)
        if self._networks is not None:
            found |= self._networks.of(text)
        return found

    def _of_folded(self, folded: str, text: str, files: tuple["_ByLength", "_ByLength", "_ByLength"], reading: Reading) -> int:
        whole, heads, tails = files
        found = _heads(heads, folded, text, reading) | _tails(tails, folded, text, reading)
        for length, filed in whole:
            if length == len(folded) and (entry := filed.get(folded)) is not None:
                found |= _decided(entry, text, reading)
        return found


_Entry = tuple[int, int, tuple[Check, ...]]
"""Rules that need no further question; that need none about a text of ASCII letters; and questions, also for the latter."""

_ByLength = tuple[tuple[int, dict[str, _Entry]], ...]


class _Files:
    """Operators as they are filed: under a kind of anchor and its text."""

    def __init__(self) -> None:
        self._filed: dict[tuple[str, str], tuple[int, int, list[Check]]] = {}

    def add(
        self,
        anchor: str,
        text: str,
        bit: int,
        check: Callable[[str], bool] | None = None,
        *,
        is_ascii: bool = False,
        looks: int = 1,
    ) -> None:
        sure, sure_in_ascii, checks = self._filed.get((anchor, text), (0, 0, []))
        if check is None:
            sure |= bit
        else:
            checks.append((check, bit, looks))
        self._filed[anchor, text] = (sure, sure_in_ascii | (bit if is_ascii else 0), checks)

    def add_folded(
        self,
        anchor: str,
        operator: EqualsIgnoreCase | PrefixIgnoreCase | SuffixIgnoreCase,
        bit: int,
        check: Callable[[str], bool],
    ) -> None:
        """Where letters of the pattern and of the text are ASCII, to fold alike is to match."""
        looks = 1 + len(operator.text) // _LETTERS_AS_ONE
        if letters.fold_apart(operator.letters):
            self.add(_ANY, "", bit, check, looks=looks)
        else:
            self.add(anchor, operator.text.casefold(), bit, check, is_ascii=operator.text.isascii(), looks=looks)

    @property
    def is_used(self) -> bool:
        return any(anchor != _ANY for anchor, _ in self._filed)

    def by_length(self, anchor: str) -> _ByLength:
        lengths: dict[int, dict[str, _Entry]] = {}
        for (kind, text), (sure, sure_in_ascii, checks) in self._filed.items():
            if kind == anchor:
                lengths.setdefault(len(text), {})[text] = (sure, sure_in_ascii, tuple(checks))
        return tuple(sorted(lengths.items()))

    def checks(self, anchor: str) -> list[Check]:
        return [check for (kind, _), (_, _, checks) in self._filed.items() if kind == anchor for check in checks]


def _heads(files: _ByLength, begun: str, text: str, reading: Reading) -> int:
    """`begun` is what is looked up, `text` what a check is asked about: they differ in case."""
    found = 0
    for length, filed in files:
        entry = filed.get(begun[:length])
        if entry is not None:
            found |= _decided(entry, text, reading)
    return found


def _tails(files: _ByLength, ended: str, text: str, reading: Reading) -> int:
    found = 0
    for length, filed in files:
        entry = filed.get(ended[-length:] if length else "")
        if entry is not None:
            found |= _decided(entry, text, reading)
    return found


def _decided(entry: _Entry, text: str, reading: Reading) -> int:
    sure, sure_in_ascii, checks = entry
    if sure_in_ascii and text.isascii():
        sure |= sure_in_ascii
        checks = tuple([check for check in checks if not check[1] & sure]) if len(checks) > sure_in_ascii.bit_count() else ()
    return sure | _checked(checks, text, reading) if checks else sure


def _checked(checks: tuple[Check, ...], text: str, reading: Reading) -> int:
    found, passed = 0, len(text) // _CHARACTERS_AS_ONE
    for accepts, bit, looks in checks:
        if not reading.may_look(looks + passed):
            break
        if accepts(text):
            found |= bit
    return found


def _anchor(parts: tuple[str, ...]) -> tuple[str, str]:
    """The longer of how it begins and how it ends."""
    first, last = parts[0], parts[-1]
    if not first and not last:
        return _ANY, ""
    return (_HEAD, first) if len(first) >= len(last) else (_TAIL, last)


class _Networks:
    """Ranges of addresses, by family."""

    __slots__ = ("_by_version",)

    def __init__(self, ranges: list[tuple[int, Cidr]]) -> None:
        versions = {cidr.first.version for _, cidr in ranges}
        self._by_version = {
            version: _address_cells([(bit, cidr) for bit, cidr in ranges if cidr.first.version == version])
            for version in versions
        }

    def of(self, text: str) -> int:
        found = _address(text)
        if found is None or found[0] not in self._by_version:
            return 0
        cuts, sets = self._by_version[found[0]]
        return sets[bisect_right(cuts, found[1])]


def _address_cells(ranges: list[tuple[int, Cidr]]) -> tuple[list[int], list[int]]:
    """Where the cells after the first begin, and the set of each."""
    cuts = sorted({cut for _, cidr in ranges for cut in (int(cidr.first), int(cidr.last) + 1)})
    placed = [(bit, bisect_right(cuts, int(cidr.first)), bisect_right(cuts, int(cidr.last))) for bit, cidr in ranges]
    return cuts, cells(placed, len(cuts) + 1)


@lru_cache(_ADDRESSES_KEPT)
def _address(text: str) -> tuple[int, int] | None:
    found = address(text)
    return None if found is None else (found.version, int(found))
