"""`eventyard backup` and `restore`: a whole store into one file while it is in use, and back. They work on files, without a server."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import Json
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.engines.sqlite.soundness import BusContents, Contents

MIB = 1024 * 1024

NICENESS = 10
"""Where a processor is busy a server gets it first: a backup has time."""

Data = Annotated[str, typer.Option("--data", envvar="EVENTYARD_DATA", metavar="FOLDER", help="The server's data folder.")]
KeepDamage = Annotated[
    bool, typer.Option("--keep-damage", help="Take single damaged events along, as they are, and name them.")
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write. It is there whole or not at all.")],
    *,
    data: Data = "./eventyard-data",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE, once the new one is whole.")] = False,
    keep_damage: KeepDamage = False,
    as_json: Json = False,
) -> int:
    """Copy the whole store into FILE, verified, while a server uses it or not.

    Everything is of one moment: events, rules, deliveries, buses. A server goes
    on meanwhile; the backup leaves it most of the disk. Ctrl-C leaves no FILE.

    Example:
      eventyard backup /backups/eventyard-monday.db --data ./eventyard-data

    Next, to try it: eventyard restore FILE --data ./elsewhere

    """
    from eventyard.engines.sqlite.backup import back_up  # noqa: PLC0415 - heavy, see the package
    from eventyard.engines.sqlite.files import database  # noqa: PLC0415 - as above

    screen = Screen(as_json=as_json)
    os.nice(NICENESS)
    with _ended_in_order(), progress(screen) as advance:
        contents = back_up(database(data), file, advance, is_replacing=force, is_damage_kept=keep_damage)
    _tell(screen, file, contents, f"backed up {_counted(contents)} to {file} ({contents.bytes / MIB:,.1f} MiB), verified")
    screen.advise(f"eventyard restore {file} --data FOLDER puts it back")
    return Exit.NO if contents.faults else Exit.OK


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What eventyard backup wrote.")],
    *,
    data: Data = "./eventyard-data",
    keep_damage: KeepDamage = False,
    as_json: Json = False,
) -> int:
    """Put a backup back into a data folder that holds no store. It is verified first.

    Every bus starts a new incarnation, recorded in its log as an event
    io.eventyard.bus.restored: delivery ids of the other life are not mistaken.

    Example:
      eventyard restore /backups/eventyard-monday.db --data ./eventyard-data

    Next: eventyard serve --data ./eventyard-data

    """
    from eventyard.engines.sqlite.restore import restore as put_back  # noqa: PLC0415 - heavy, see the package

    screen = Screen(as_json=as_json)
    with _ended_in_order(), progress(screen) as advance:
        contents = put_back(file, Path(data), advance, now_ms=time.time_ns() // 1_000_000, is_damage_kept=keep_damage)
    _tell(screen, file, contents, f"restored {_counted(contents)} from {file} into {data}, verified")
    screen.advise(f"eventyard serve --data {data}")
    return Exit.NO if contents.faults else Exit.OK


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM, as from a timer that gives up, ends it as Ctrl-C does; what it refuses is said with what to do next."""
    from eventyard.core.errors import EventyardError, Refused, Unavailable  # noqa: PLC0415 - only when it is needed

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except EventyardError as error:
        code = {Refused: Exit.USAGE, Unavailable: Exit.UNAVAILABLE}
        found = next((code[kind] for kind in code if isinstance(error, kind)), Exit.INTERNAL)
        raise Failure(error.found, advice=error.wanted, code=found) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _counted(contents: "Contents") -> str:
    events, buses = sum(bus.events for bus in _shown(contents)), len(_shown(contents))
    return f"{events:,} events of {buses} {'bus' if buses == 1 else 'buses'}".replace(",", " ")


def _shown(contents: "Contents") -> "list[BusContents]":
    """The system bus is not readable as events."""
    return [bus for bus in contents.buses if bus.name != "system"]


def _tell(screen: Screen, file: Path, contents: "Contents", text: str) -> None:
    told: dict[str, Any] = {
        "file": str(file),
        "bytes": contents.bytes,
        "buses": [{"name": bus.name, "head": bus.head, "events": bus.events} for bus in _shown(contents)],
        "faults": contents.faults,
    }
    screen.document(told)
    screen.say(text)
    for fault in contents.faults:
        screen.note(f"damaged, kept as it is: {fault}")
