"""Reads of an event what rules ask for, and no more.

Theory of operation. The fields of all rules make a tree of keys. From bytes, the tree becomes a msgspec type whose decoder passes over
everything else in C; passing over is not checking, so that is right only for bytes that strict ingest has taken. Where an object may
stand, so may anything else, and lists three deep. `taking` then takes every field's value at once.

What that does not foresee is read whole, and slowly, from the decoded document: arrays of objects inside one another, and keys with
dots, which may stand for several steps of a path (`a.b` beside `a`). The decoder knows such keys and fails.

Both ways give the same `Reading`. From bytes real numbers come as doubles, and may have lost digits: who uses the reading asks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from eventyard.core import strict_json
from eventyard.core.pattern.ignored import Ignored
from eventyard.core.pattern.reading import SCALARS, Array, Loose, Reading, Takes, Unforeseen, flattened
from eventyard.core.pattern.taking import Attributes, Taker

PROJECTED_FIELDS_MAX = 200
"""Past it an event is decoded whole: each of its keys is looked for among the fields of its level one by one, at about a nanosecond."""

_LISTS_MAX = 3
"""Lists inside one another that the type foresees: polygons in GeoJSON have three."""

_Decode = Callable[[bytes], Any]

Slots = Mapping[str, int]
"""Where in a reading each field's value is."""

_Path = tuple[tuple[frozenset[str], str], ...]
"""For each step to a field the keys with dots that may not be there, and its key."""


class _Key:
    """One step of the tree. `slot`: of the field that ends here. `joined`: keys with dots that would stand for several steps from here."""

    __slots__ = ("_takes", "below", "joined", "slot")

    def __init__(self) -> None:
        self.slot: int | None = None
        self.below: dict[str, _Key] = {}
        self.joined: frozenset[str] = frozenset()
        self._takes: Takes | None = None

    def takes(self) -> Takes:
        """Of the fields below, where objects of an array stand here."""
        if self._takes is None:
            self._takes = {slot: (partial(_column, path), len(path)) for slot, path in _paths(self)}
        return self._takes


class Projection:
    """Of the fields that have a slot. Its tree and its decoder are made when it is first asked."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._size = max(slots.values(), default=-1) + 1
        self._made: tuple[_Key, _Decode | None, Taker | None] | None = None
        self._exact: _Decode | None = None

    def reads(self, slots: Slots) -> bool:
        """Whether it reads all of these fields, each into its slot."""
        return slots is self._slots or all(self._slots.get(field) == slot for field, slot in slots.items())

    def read(self, body: bytes) -> Reading:
        """Of bytes that strict ingest has taken."""
        root, decode, taker = self._made or self._make()
        try:
            if decode is not None and taker is not None:
                return taker.take(decode(body))
            return self._walk(root, msgspec.json.decode(body))
        except (msgspec.MsgspecError, Unforeseen):
            return self.read_document(strict_json.decode(body))

    def read_exactly(self, body: bytes) -> Reading:
        """As `read`, with numbers that a double does not hold as decimals."""
        root, decode, taker = self._made or self._make()
        if decode is None or taker is None:
            return self.read_document(strict_json.decode(body))
        self._exact = self._exact or msgspec.json.Decoder(_struct(root, is_exact=True), float_hook=strict_json.real).decode
        try:
            return taker.take(self._exact(body))
        except (msgspec.MsgspecError, Unforeseen):
            return self.read_document(strict_json.decode(body))

    def read_document(self, document: Any) -> Reading:
        """Of what `strict_json.decode` gave."""
        root, _, _ = self._made or self._make()
        try:
            return self._walk(root, document)
        except Unforeseen:
            return self.read_as_the_evaluator(document)

    def read_as_the_evaluator(self, document: Any) -> Reading:
        """Of what `strict_json.decode` gave, where a reading turned out to be too simple for it."""
        reading = Reading([UNSET] * self._size)
        for field, slot in self._slots.items():
            reading.values[slot] = Loose(field, document)
        reading.document, reading.is_simple = document, False
        return reading

    def _make(self) -> "tuple[_Key, _Decode | None, Taker | None]":
        root = _tree(self._slots)
        is_narrow = 0 < len(self._slots) <= PROJECTED_FIELDS_MAX
        decode = _decoder(root) if is_narrow else None
        self._made = root, decode, Taker(self._size, _ways(root, self._slots)) if decode is not None else None
        return self._made

    def _walk(self, root: _Key, document: Any) -> Reading:
        reading = Reading([UNSET] * self._size)
        _read_object(root, document, reading)
        return reading


def _tree(slots: Slots) -> _Key:
    root = _Key()
    for field, slot in slots.items():
        keys = field.split(".")
        node = root
        for at, key in enumerate(keys):
            node.joined |= {".".join(keys[at:end]) for end in range(at + 2, len(keys) + 1)}
            node = node.below.setdefault(key, _Key())
        node.slot = slot
    return root


# From bytes.


def _ways(root: _Key, slots: Slots) -> dict[int, Attributes]:
    return {slot: _attributes(root, field.split(".")) for field, slot in slots.items()}


def _attributes(root: _Key, keys: list[str]) -> Attributes:
    attributes: list[str] = []
    node = root
    for key in keys:
        attributes.append(f"key_{list(node.below).index(key)}")
        node = node.below[key]
    return tuple(attributes)


class _Elsewhere:
    """Nothing decodes as this: where such a value would have to be read, the decoder fails."""


def _decoder(root: _Key) -> "_Decode | None":
    try:
        return msgspec.json.Decoder(_struct(root, is_exact=False)).decode
    except ValueError:  # A key that msgspec does not take as a name, as one with a quote.
        return None


def _struct(node: _Key, *, is_exact: bool) -> type[msgspec.Struct]:
    """Objects that are not there are read as if they were empty, so that the way to a field goes through."""
    if not node.below:
        return Ignored
    fields: list[tuple[str, Any, Any]] = []
    for child in node.below.values():
        struct: Any = _struct(child, is_exact=is_exact)
        fields.append(
            (
                f"key_{len(fields)}",
                Any if is_exact and not child.below else _any_json(struct, child, is_exact=is_exact),
                struct.blank if child.below else UNSET,
            )
        )
    joined = sorted(node.joined)
    fields += [(f"key_{len(fields) + at}", _Elsewhere, UNSET) for at in range(len(joined))]
    renamed = {field: key for (field, _, _), key in zip(fields, (*node.below, *joined), strict=True)}
    made: Any = msgspec.defstruct("Projected", fields, rename=renamed, namespace={"blank": None}, frozen=True, gc=False)
    made.blank = made()
    return made  # type: ignore[no-any-return]


def _any_json(struct: type[msgspec.Struct], node: _Key, *, is_exact: bool) -> Any:
    """Of a key that is both an end and a way, arrays are not foreseen; nor are numbers there exactly: what is declared a number is a double."""
    once: Any = struct | str | int | float | bool | None
    if node.below and node.slot is not None:
        return struct | str | bool | None if is_exact else once
    lists: Any = list[_Elsewhere]
    for _ in range(_LISTS_MAX):
        lists = list[once | lists]
    return once | lists


# From a document.


def _read_object(node: _Key, document: Any, reading: Reading) -> None:
    if document.__class__ is not dict or not node.joined.isdisjoint(document):
        raise Unforeseen
    for key, child in _there(node, document):
        value = document[key]
        if child.slot is not None:
            reading.values[child.slot] = value
        if not child.below or value.__class__ in SCALARS:
            continue
        if value.__class__ is dict:
            _read_object(child, value, reading)
        elif child.slot is not None:
            raise Unforeseen
        else:
            _put_columns(child, flattened(value)[1], reading)


def _there(node: _Key, document: dict[str, Any]) -> Iterable[tuple[str, _Key]]:
    """The keys that the document has. Whichever is less to look through."""
    if len(document) < len(node.below):
        return [(key, node.below[key]) for key in document if key in node.below]
    return [(key, child) for key, child in node.below.items() if key in document]


def _put_columns(node: _Key, objects: list[Any], reading: Reading) -> None:
    """`objects`: of one array."""
    if objects:
        array = Array(objects, node.takes())
        for slot in node.takes():
            reading.values[slot] = array
        reading.is_simple = False


def _paths(node: _Key) -> Iterator[tuple[int, _Path]]:
    for key, child in node.below.items():
        step = (node.joined, key)
        if child.slot is not None:
            yield child.slot, (step,)
        for slot, path in _paths(child):
            yield slot, (step, *path)


def _column(path: _Path, array: Array) -> list[Any]:
    """Nothing at all where no object has the field. What no object of the array has is known for all fields at once."""
    (joined, key), *rest = path
    if not joined.isdisjoint(array.every_key()):
        raise Unforeseen
    if key not in array.every_key():
        return []
    entries = [each.get(key, UNSET) for each in array.objects]
    for joined, key in rest:
        kinds = {*map(type, entries)}
        if list in kinds:
            raise Unforeseen
        if dict not in kinds:
            return [UNSET] * len(entries)
        if joined and any(each.__class__ is dict and not joined.isdisjoint(each) for each in entries):
            raise Unforeseen
        entries = [each.get(key, UNSET) if each.__class__ is dict else UNSET for each in entries]
    return entries
