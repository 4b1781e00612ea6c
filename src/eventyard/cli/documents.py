"""Documents in files: JSON, TOML and YAML, told apart by the name's end. What they mean is for `declared` to say.

A number is kept as its text (`msgspec.Raw`), because in patterns the spelling counts.
"""

import contextlib
import datetime
import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from eventyard.cli.failures import Failure
from eventyard.core import limits

_ADVICE = "correct the place that the message names"


class Document(msgspec.Struct, frozen=True):
    """One JSON object. `where` is its file, and its number in that where there are several."""

    where: str
    value: dict[str, Any]


def read_all(arguments: Iterable[str]) -> list[Document]:
    """Of every file named, and of every file in a folder named (and the folders in that) which ends as documents do."""
    documents = [document for argument in arguments for path in _paths(argument) for document in _read(path)]
    if not documents:
        raise Failure("found no documents", advice="name a file, or a folder with .json, .yaml, .yml or .toml files")
    return documents


def _paths(argument: str) -> list[str]:
    path = Path(argument)
    if argument == "-" or not path.is_dir():
        return [argument]
    found = (file for file in path.rglob("*") if file.suffix in _FORMATS and file.is_file())
    return sorted(str(file) for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))


def read_text(text: bytes, *, where: str) -> list[Document]:
    """Of a text that stands on the command line."""
    return list(_documents(text, where, _yaml_or_json))


def _read(path: str) -> Iterator[Document]:
    where = "standard input" if path == "-" else path
    return _documents(_text(path), where, _FORMATS.get(Path(path).suffix, _yaml_or_json))


def _documents(text: bytes, where: str, values_of: "Format") -> Iterator[Document]:
    try:
        values = list(values_of(text))
    except UnicodeDecodeError as error:
        raise Failure(f"{where} is not UTF-8: {error}", advice="save it as UTF-8") from error
    except (_Unreadable, ValueError, RecursionError) as error:
        raise Failure(f"{where}: {error or 'nested too deeply'}", advice=_ADVICE) from error
    for number, value in enumerate(values, 1):
        at = where if len(values) == 1 else f"{where}, document {number}"
        if not isinstance(value, dict):
            raise Failure(f"{at}: found {_kind(value)}; wanted an object with buses or rules", advice=_ADVICE)
        yield Document(at, value)


def _text(path: str) -> bytes:
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            text = file.read(limits.DECLARED_BYTES_MAX + 1)
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", advice="name a file or a folder that exists") from error
    if len(text) > limits.DECLARED_BYTES_MAX:
        raise Failure(f"{path} is larger than {limits.DECLARED_BYTES_MAX} bytes", advice="split it into several files")
    return text


class _Unreadable(Exception):
    """The message says where in the file."""


def _json(text: bytes) -> Iterator[Any]:
    """One document or several after each other; an array stands for what is in it."""
    decoded = text.decode("utf-8-sig")
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_number, parse_float=_number, parse_constant=_no_constant, strict=True
    )
    at = _after_space(decoded, 0)
    while at < len(decoded):
        value, at = decoder.raw_decode(decoded, at)
        at = _after_space(decoded, at)
        yield from value if isinstance(value, list) else [value]


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _Unreadable(f'found the key "{name[:60]}" twice in one object')
        members[name] = value
    return members


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _no_constant(text: str) -> None:
    raise _Unreadable(f"found {text}, which is not JSON")


def _toml(text: bytes) -> Iterator[Any]:
    yield _plain(tomllib.loads(text.decode("utf-8-sig"), parse_float=_toml_decimal))


def _toml_decimal(text: str) -> msgspec.Raw:
    if text.lstrip("+-") in {"inf", "nan"}:
        raise _Unreadable(f"found {text}; JSON has no such number")
    return _number(text.replace("_", "").removeprefix("+"))


def _plain(value: Any) -> Any:
    """TOML's values as JSON has them."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return _number(str(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def _yaml(text: bytes) -> Iterator[Any]:
    from eventyard.cli import yaml_text  # noqa: PLC0415 - only where there is YAML

    try:
        for value in yaml_text.read(text):
            yield from value if isinstance(value, list) else [value] if value is not None else []
    except yaml_text.UnreadableYAML as error:
        raise _Unreadable(str(error)) from error


def _yaml_or_json(text: bytes) -> Iterator[Any]:
    """Of a pipe, and of a file without a telling end."""
    return (_json if text.lstrip()[:1] in {b"{", b"["} else _yaml)(text)


Format = Callable[[bytes], Iterator[Any]]

_FORMATS: dict[str, Format] = {
    ".json": _json,
    ".jsonl": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def _kind(value: Any) -> str:
    names = {list: "an array", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
