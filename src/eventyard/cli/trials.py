"""What is to be tried on the log: a pattern, or rules in documents as `apply` takes them."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.cli import documents
from eventyard.cli.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventyard.cli.documents import Document

BATCH_RULES = 100
BATCH_BYTES = 900_000
BATCH_FIELDS = 4_000
"""What one request takes: so many patterns in one pass over the log, 1 MiB of them with their names, 10,000 fields with those in force."""

_UNNAMED = "unnamed"


class Trial(msgspec.Struct, frozen=True):
    """A pattern, and the rule that it is held against (empty: none). `is_named`: the document gives that name, so there need be none yet."""

    bus: str
    name: str
    pattern: bytes
    is_named: bool = False


def read(argument: str, *, bus: str, rule: str) -> list[Trial]:
    """`rule`: of several rules only that one; of what has no name, the rule to hold it against."""
    found = _documents(argument)
    if len(found) == 1 and not _is_declared(found[0].value):
        return [Trial(bus, rule, _pattern(found[0]))]
    if len(found) == 1 and _is_unnamed(found[0].value):
        [declared] = _rules([msgspec.structs.replace(found[0], value={"name": rule or _UNNAMED} | found[0].value)], bus)
        return [msgspec.structs.replace(declared, name=rule, is_named=False)]
    trials = [trial for trial in _rules(found, bus) if not rule or trial.name == rule]
    if not trials:
        what = f'rule "{rule}"' if rule else "rule"
        raise Failure(f"found no {what} in {argument}", advice="name a file or a folder with it")
    return trials


def _documents(argument: str) -> "list[Document]":
    if argument.lstrip().startswith("{") and not Path(argument).exists():
        return documents.read_text(argument.encode(), where="the pattern")
    return documents.read_all([argument.removeprefix("@")])


def _pattern(document: "Document") -> bytes:
    """Its text. What is no pattern is told by its own place, which is another in what is sent."""
    from eventyard.core.errors import Refused  # noqa: PLC0415 - heavy, see the package
    from eventyard.core.pattern import language  # noqa: PLC0415 - as above

    text = msgspec.json.encode(document.value)
    try:
        language.parse(text)
    except Refused as error:
        raise Failure(
            f"{document.where}: {error.title}: {error}", advice="docs/reference/patterns.md shows patterns"
        ) from error
    return text


def _is_declared(members: dict[str, Any]) -> bool:
    """Whether it is a document of rules. A field of a pattern may have any of these names, but then it lists what it may be."""
    listed = [item for kind in ("rules", "buses") for item in _items(members.get(kind))]
    return any(isinstance(members.get(name), dict) for name in ("pattern", "target", "retention")) or any(
        isinstance(item, dict) and "name" in item for item in listed
    )


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_unnamed(members: dict[str, Any]) -> bool:
    """A rule as `rules put` takes it."""
    return "name" not in members and not members.keys() & {"rules", "buses", "retention"}


def _rules(found: "Sequence[Document]", bus: str) -> list[Trial]:
    from eventyard.cli import declared  # noqa: PLC0415 - heavy, see the package

    return [
        Trial(rule.bus, rule.name, bytes(rule.said.pattern), is_named=True)
        for rule in declared.read(found, bus=bus, owner="").rules
    ]


def batches(trials: "Sequence[Trial]") -> "Iterator[list[Trial]]":
    """Those that one pass over the log can try together."""
    for _, of_bus in groupby(sorted(trials, key=lambda trial: trial.bus), lambda trial: trial.bus):
        batch: list[Trial] = []
        size = fields = 0
        for trial in of_bus:
            more = _fields(trial)
            if batch and (len(batch) == BATCH_RULES or size + len(trial.pattern) > BATCH_BYTES or fields + more > BATCH_FIELDS):
                yield batch
                batch, size, fields = [], 0, 0
            batch.append(trial)
            size += len(trial.pattern) + _NAME_BYTES
            fields += more
        yield batch


_NAME_BYTES = 200
"""What a request holds of each beside its pattern, at most."""


def _fields(trial: Trial) -> int:
    from eventyard.core.pattern import language  # noqa: PLC0415 - heavy, see the package

    return sum(len(alternative.fields) for alternative in language.parse(trial.pattern).alternatives)
