"""`eventyard export`: buses, rules, detectors, expectations and schedules as documents that `apply` takes back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import completing
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Json, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventyard.cli.exported import Exported
    from eventyard.client import Client


def export(
    *,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write a file for each in here.")] = None,
    buses: Annotated[
        list[str] | None,
        typer.Option("--bus", metavar="NAME", help="Only this bus. May be repeated.", autocompletion=completing.buses),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="LABEL", help="Only what carries this owner, and no buses."),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Write buses, rules, detectors, expectations and schedules as documents: YAML, or JSON lines.

    What is as it would be anyway is left out.

    Example:
      eventyard export -o events/
      eventyard export --bus orders --json > orders.jsonl

    Next: eventyard apply -f events/ --dry-run

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        documents = list(_documents(client, buses or [], owner))
    if output is not None:
        _write_folder(screen, output, documents, is_whole=owner is None)
    elif as_json:
        for document in documents:
            screen.document(document.value)
    else:
        _print(screen, documents)
    return Exit.OK


def _documents(client: "Client", names: list[str], owner: str | None) -> "Iterator[Exported]":
    from eventyard.cli import exported  # noqa: PLC0415 - heavy, see the package

    for bus in [client.bus(name) for name in names] if names else client.buses():
        if owner is None:
            yield exported.bus_document(bus)
        yield from (
            document for document in _placed(client, bus.name) if owner is None or document.value.get("owner", "") == owner
        )


def _placed(client: "Client", bus: str) -> "Iterator[Exported]":
    """All that stands on the bus."""
    from eventyard.cli import exported  # noqa: PLC0415 - heavy, see the package

    yield from (exported.rule_document(bus, rule) for rule in client.rules(bus=bus))
    yield from (exported.detector_document(bus, detector) for detector in client.detectors(bus=bus))
    yield from (exported.expectation_document(bus, expectation) for expectation in client.expectations(bus=bus))
    yield from (exported.schedule_document(bus, schedule) for schedule in client.schedules(bus=bus))


def _print(screen: Screen, documents: "list[Exported]") -> None:
    from eventyard.cli import yaml_text  # noqa: PLC0415 - heavy, see the package

    whole: dict[str, list[Any]] = {"buses": [], "rules": [], "detectors": [], "expectations": [], "schedules": []}
    for document in documents:
        whole[document.kind].append(document.value)
    screen.say(yaml_text.written([{kind: found for kind, found in whole.items() if found}]).removesuffix("\n"))


def _write_folder(screen: Screen, folder: Path, documents: "list[Exported]", *, is_whole: bool) -> None:
    """Each file is replaced as a whole. A file of a rule that is gone stays, and is named: deleting it is the reader's to decide."""
    suffix = ".json" if screen.as_json else ".yaml"
    written = [folder / document.path.with_suffix(document.path.suffix + suffix) for document in documents]
    try:
        for path, document in zip(written, documents, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(document.value, as_json=screen.as_json), encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}", advice="name a folder that can be written") from error
    screen.document({"written": [str(path) for path in written]})
    screen.say(f"{len(written)} documents written into {folder}")
    if is_whole:
        for path in sorted(_left(folder, {document.bus for document in documents}) - set(written)):
            screen.note(f"{path} was there before and is of nothing that is there now; apply would bring it back")


def _text(value: dict[str, Any], *, as_json: bool) -> str:
    from eventyard.cli import yaml_text  # noqa: PLC0415 - heavy, see the package

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n" if as_json else yaml_text.written([value])


def _left(folder: Path, buses: set[str]) -> set[Path]:
    """Files of documents in the folders of these buses."""
    return {path for bus in buses for path in (folder / bus).rglob("*") if path.suffix in {".json", ".yaml", ".yml"}}
