"""Reads of an event what rules ask for, and no more.

Theory of operation. The fields of all rules make a tree of keys. From bytes, the tree becomes a msgspec type whose decoder passes over
everything else in C; passing over is not checking, so that is right only for bytes that strict ingest has taken. Each level may be
an object, a scalar or a list (three deep), since any JSON may stand anywhere. What the type does not foresee
fails to decode and is read whole: arrays in arrays in arrays in arrays, and keys with dots, which may stand for several steps of a
path (`a.b` beside `a`). From a document that is already decoded the same tree is walked. Where rules ask for too many fields the
whole event is decoded, since a msgspec type looks for each key among all of its own.

Both ways give the same `Reading`. From bytes real numbers come as doubles, and may have lost digits: the reading's user asks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from eventyard.core import strict_json
from eventyard.core.pattern.evaluator import values_at
from eventyard.core.pattern.language import steps_of
from eventyard.core.pattern.reading import Loose, Reading

PROJECTED_FIELDS_MAX = 200
"""Past it an event is decoded whole: each of its keys is looked for among the fields of its level one by one, at about a nanosecond."""

_LISTS_MAX = 3
"""Lists inside one another that the type foresees: polygons in GeoJSON have three."""

_SCALARS = frozenset((str, int, float, bool, type(None), Decimal))
_NOTHING = frozenset((UnsetType,))


_Decode = Callable[[bytes], Any]


class _Unforeseen(Exception):
    """The event is not as simple as a reading."""


class _Key(msgspec.Struct):
    """One step of the tree. `field`: the field that ends here. `joined`: keys with dots that would stand for several steps from here."""

    field: str | None = None
    below: dict[str, "_Key"] = {}
    joined: frozenset[str] = frozenset()
    children: tuple["_Key", ...] = ()


class Projection:
    """Of a set of fields, named by their keys joined with dots. Its tree and its decoder are made when it is first asked."""

    def __init__(self, fields: frozenset[str] = frozenset()) -> None:
        self._fields = fields
        self._made: tuple[_Key, _Decode | None] | None = None

    def widened(self, asked: Mapping[str, int]) -> "Projection":
        """One that reads all that is asked; itself, if it does and does not read twice as much."""
        if len(self._fields) <= 2 * len(asked) and self._fields.issuperset(asked):
            return self
        return Projection(frozenset(asked))

    def read(self, body: bytes) -> Reading:
        """Of bytes that strict ingest has taken."""
        root, decode = self._made or self._make()
        reading = Reading()
        try:
            if decode is None:
                _read_object(root, msgspec.json.decode(body), reading)
            else:
                _read_struct(root, decode(body), reading)
        except (msgspec.MsgspecError, _Unforeseen):
            return self.read_document(strict_json.decode(body))
        return reading

    def read_document(self, document: Any) -> Reading:
        """Of what `strict_json.decode` gave."""
        root, _ = self._made or self._make()
        reading = Reading()
        try:
            _read_object(root, document, reading)
        except _Unforeseen:
            return self._read_as_the_evaluator(document)
        return reading

    def _make(self) -> tuple["_Key", "_Decode | None"]:
        root = _tree(self._fields)
        self._made = root, _decoder(root) if len(self._fields) <= PROJECTED_FIELDS_MAX else None
        return self._made

    def _read_as_the_evaluator(self, document: Any) -> Reading:
        reading = Reading()
        for field in self._fields:
            values = [value for value, _ in values_at(steps_of(field), document)]
            if values:
                reading[field] = Loose(values)
        reading.document, reading.is_simple = document, False
        return reading


def _tree(fields: Iterable[str]) -> _Key:
    root = _Key(below={})
    for field in sorted(fields):
        keys = field.split(".")
        node = root
        for at, key in enumerate(keys):
            ends = range(at + 2, len(keys) + 1)
            node.joined |= {".".join(keys[at:end]) for end in ends}
            node = node.below.setdefault(key, _Key(below={}))
        node.field = field
    _settle(root)
    return root


def _settle(node: _Key) -> None:
    node.children = tuple(node.below.values())
    for child in node.children:
        _settle(child)


# From bytes.


class _Elsewhere:
    """Nothing decodes as this: where such a value would have to be read, the decoder fails."""


class _Ignored(msgspec.Struct, frozen=True):
    """An object that no rule looks into."""


def _decoder(root: _Key) -> Any:
    try:
        return msgspec.json.Decoder(_struct(root)).decode
    except ValueError:  # A key that msgspec does not take as a name, as one with a quote.
        return None


def _struct(node: _Key) -> type[msgspec.Struct]:
    if not node.children:
        return _Ignored
    keys = [*node.below, *sorted(node.joined)]
    types = [*map(_any_json, node.children), *[_Elsewhere] * len(node.joined)]
    fields = [(f"key_{at}", type_, UNSET) for at, type_ in enumerate(types)]
    renamed = {field: key for (field, _, _), key in zip(fields, keys, strict=True)}
    return msgspec.defstruct("Projected", fields, rename=renamed, gc=False)


def _any_json(node: _Key) -> Any:
    once: Any = _struct(node) | str | int | float | bool | None
    lists: Any = list[_Elsewhere]
    for _ in range(_LISTS_MAX):
        lists = list[once | lists]
    return once | lists


def _read_struct(node: _Key, struct: Any, reading: Reading) -> None:
    for child, value in zip(node.children, msgspec.structs.astuple(struct), strict=False):
        kind = value.__class__
        if kind is UnsetType:
            continue
        if kind in _SCALARS:
            if child.field is not None:
                reading[child.field] = value
        elif kind is list:
            _read_list(child, value, reading)
        elif child.children:
            _read_struct(child, value, reading)


# From a document.


def _read_object(node: _Key, document: Any, reading: Reading) -> None:
    if document.__class__ is not dict:
        raise _Unforeseen
    if not node.joined.isdisjoint(document):
        raise _Unforeseen
    for child, value in _members(node, document):
        kind = value.__class__
        if kind in _SCALARS:
            if child.field is not None:
                reading[child.field] = value
        elif kind is list:
            _read_list(child, value, reading)
        elif child.children:
            _read_object(child, value, reading)


def _members(node: _Key, document: dict[str, Any]) -> Iterator[tuple[_Key, Any]]:
    """Whichever is less to look through."""
    if len(document) < len(node.below):
        return ((node.below[key], value) for key, value in document.items() if key in node.below)
    return ((child, document[key]) for key, child in node.below.items() if key in document)


# Arrays, either way.


def _read_list(node: _Key, array: list[Any], reading: Reading) -> None:
    scalars: list[Any] = []
    objects: list[Any] = []
    has_inner = _flatten(array, scalars, objects)
    if node.field is not None and scalars:
        if has_inner and node.children:
            raise _Unforeseen
        reading[node.field] = scalars
    if node.children and objects:
        _read_columns(node, [_row(node, each) for each in objects], reading, array)


def _flatten(array: list[Any], scalars: list[Any], objects: list[Any]) -> bool:
    """Whether there are lists inside."""
    has_inner = False
    for element in array:
        kind = element.__class__
        if kind in _SCALARS:
            scalars.append(element)
        elif kind is list:
            has_inner = True
            _flatten(element, scalars, objects)
        else:
            objects.append(element)
    return has_inner


def _row(node: _Key, element: Any) -> tuple[Any, ...]:
    """What an object has for each child of the node."""
    if element.__class__ is not dict:
        return msgspec.structs.astuple(element)[: len(node.children)]
    if not node.joined.isdisjoint(element):
        raise _Unforeseen
    return tuple([element.get(key, UNSET) for key in node.below])


def _read_columns(node: _Key, rows: Sequence[tuple[Any, ...]], reading: Reading, array: object) -> None:
    for child, entries in zip(node.children, zip(*rows, strict=True), strict=True):
        kinds = set(map(type, entries))
        column = entries if kinds <= _PLAIN else _read_inner(child, entries, kinds, reading, array)
        if child.field is not None and set(map(type, column)) != _NOTHING:
            reading.column(child.field, column, array)


_PLAIN = _SCALARS | _NOTHING


def _read_inner(node: _Key, entries: tuple[Any, ...], kinds: set[type], reading: Reading, array: object) -> tuple[Any, ...]:
    """Objects of objects, and lists of scalars. What is left for the node's own column."""
    if list in kinds:
        entries = tuple([_scalars(node, entry) if entry.__class__ is list else entry for entry in entries])
    if node.children and not kinds <= _PLAIN | {list}:
        blank = (UNSET,) * len(node.children)
        rows = [blank if entry.__class__ in _PLAIN or entry.__class__ is list else _row(node, entry) for entry in entries]
        _read_columns(node, rows, reading, array)
    return tuple([entry if entry.__class__ in _PLAIN or entry.__class__ is list else UNSET for entry in entries])


def _scalars(node: _Key, array: list[Any]) -> Any:
    """The values of an array inside an object of an array. Objects in it are one array too many."""
    scalars: list[Any] = []
    objects: list[Any] = []
    has_inner = _flatten(array, scalars, objects)
    if node.children and (objects or has_inner):
        raise _Unforeseen
    return scalars or UNSET
