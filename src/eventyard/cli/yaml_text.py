"""YAML as it is kept for buses and rules: the core schema of YAML 1.2. The only module that knows PyYAML.

PyYAML itself reads YAML 1.1, where `no` is false, `012` is ten and `1:30` is ninety. Of it are used the parser and the composer, which know
the syntax; what a scalar means is said here, so that a document says the same in YAML as in JSON. Nothing is ever constructed
from a tag.
"""

import decimal
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from eventyard.core import limits

try:
    from yaml import CSafeLoader as _PlainLoader
except ImportError:  # PyYAML was built without libyaml.
    from yaml import SafeLoader as _PlainLoader  # type: ignore[assignment]


class UnreadableYAML(Exception):
    """The message says where."""


_TAG = "tag:yaml.org,2002:"
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")


_FORMS = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+.0123456789"),
    ),
)
"""What a plain scalar is, and with which letters it can begin (YAML 1.2, 10.3.2)."""


class _Loader(_PlainLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to say it


def read(text: bytes) -> Iterator[Any]:
    """The documents of `text` as JSON values; a number is a `msgspec.Raw` of its JSON text. Empty documents are passed over."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            yield _Reading().value(node)
    except yaml.MarkedYAMLError as error:
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableYAML(f"{_where(error.problem_mark)}{said}") from error
    except yaml.YAMLError as error:
        raise UnreadableYAML(str(error)) from error
    except RecursionError as error:
        raise UnreadableYAML("nested too deeply") from error


class _Reading:
    """One document. Aliases are followed, so a few lines may mean billions of values: they are counted."""

    def __init__(self) -> None:
        self._left = limits.DECLARED_VALUES_MAX

    def value(self, node: yaml.Node) -> Any:
        self._left -= 1
        if self._left < 0:
            raise UnreadableYAML(f"{_where(node.start_mark)}more than {limits.DECLARED_VALUES_MAX} values")
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(item) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            try:
                return _SCALARS[kind](node.value)
            except ValueError:
                raise UnreadableYAML(f"{_where(node.start_mark)}found {node.value[:40]!r} as a {kind}") from None
        raise UnreadableYAML(f"{_where(node.start_mark)}found the tag {node.tag}; wanted what JSON has too")

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UnreadableYAML(f"{_where(key.start_mark)}found a key that is no text")
            if key.value in members:
                raise UnreadableYAML(f"{_where(key.start_mark)}found the key {key.value[:60]!r} twice")
            members[key.value] = self.value(value)
        return members


def _integer(text: str) -> msgspec.Raw:
    if _JSON_NUMBER.match(text):
        return msgspec.Raw(text.encode())
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return msgspec.Raw(str(int(text, base)).encode())


def _decimal(text: str) -> msgspec.Raw:
    """As it is spelt, where JSON spells it so: `1.10` stays `1.10`."""
    try:
        return msgspec.Raw((text if _JSON_NUMBER.match(text) else str(decimal.Decimal(text))).encode())
    except decimal.InvalidOperation as error:  # .inf, .nan
        raise ValueError(text) from error


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


_SCALARS: dict[str, Any] = {"str": str, "null": lambda _: None, "bool": _truth, "int": _integer, "float": _decimal}


def _where(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""


def written(documents: list[Any]) -> str:
    """JSON values as YAML that `read` takes back; a number is a `msgspec.Raw` of its JSON text."""
    text = _dumped(documents, is_ascii=False)
    # What a terminal would not show, or would act on, is spelt out.
    return text if text.replace("\n", "").isprintable() else _dumped(documents, is_ascii=True)


def _dumped(documents: list[Any], *, is_ascii: bool) -> str:
    dumper: Any = _Dumper  # Its type does not know of a dumper's own.
    return yaml.dump_all(
        documents, Dumper=dumper, default_flow_style=None, sort_keys=False, allow_unicode=not is_ascii, width=120
    )


class _Dumper(yaml.SafeDumper):
    """Text that either YAML would take for something else stands in quotes: the resolvers above are added to PyYAML's own."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML asks; a file for people has none
        return True


def _number_node(dumper: yaml.SafeDumper, number: msgspec.Raw) -> yaml.Node:
    text = bytes(number).decode()
    return dumper.represent_scalar(_TAG + ("int" if text.lstrip("-").isdigit() else "float"), text)


_Dumper.add_representer(msgspec.Raw, _number_node)

for _name, _form, _first in _FORMS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_form), _first)
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(_form), _first)
