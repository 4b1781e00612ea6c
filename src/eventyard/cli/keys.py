"""`eventyard keys`: who may speak to the server."""

import contextlib
import datetime
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from eventyard.cli import asking
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Json, Sure, Url, connect
from eventyard.cli.places import seconds
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import AccessKey

app = typer.Typer(help="Access keys: who may publish, consume, manage and read.")

SCOPES = ("publish", "consume", "manage", "read")
_WHOLE_KEY = re.compile(r"ey_[0-9a-f]{8}_[0-9a-f]+", re.ASCII)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what the key is for: the log names it.")],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="publish, consume, manage or read; may be repeated. all: every one."),
    ] = None,
    bus: Annotated[
        list[str] | None, typer.Option("--bus", metavar="NAME", help="For this bus only; may be repeated. [default: all]")
    ] = None,
    source: Annotated[str, typer.Option("--source", metavar="PREFIX", help="Publish only events whose source begins so.")] = "",
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Publish only this type (order.*: all that begin so); may be repeated."),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", metavar="TIME", help="It ends by itself: 12h, 90d. [default: never]")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write the key to this new file (0600), not to the terminal.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Make an access key and show it, this once. From the first key on every request needs one.

    The first key has to be one that manages keys: --scope all, or --scope manage.

    Example:
      eventyard keys create admin --scope all

    Next: set EVENTYARD_KEY to it, or keep it in a file for --key-file

    """
    screen = Screen(as_json=as_json)
    scopes: Any = _scopes(scope)
    expires = None
    if expires_in is not None:
        length = datetime.timedelta(seconds=seconds(expires_in, option="--expires-in"))
        expires = datetime.datetime.now(datetime.UTC) + length
    with _new_file(file) as written, connect(url) as client:
        made = client.create_key(name, scopes, buses=bus or None, source=source, types=types or None, expires=expires)
        if written is not None:
            written.write(made.key + "\n")
    if file is not None:
        screen.document({"id": made.id, "name": made.name, "file": str(file)})
        screen.say(f"key {made.id} is in {file}")
    else:
        screen.document(made)
        screen.say(made.key)
        screen.note(f"key {made.id} for {made.name}; it cannot be shown again")
    screen.advise("EVENTYARD_KEY, or --key-file FILE, is what commands, clients and workers send")
    return Exit.OK


def _scopes(given: list[str] | None) -> tuple[str, ...]:
    if not given:
        advice = "--scope publish, consume, manage or read, once for each; --scope all for every one"
        raise Failure("found no scope: what may the key do?", advice=advice)
    if given == ["all"]:
        return SCOPES
    unknown = [name for name in given if name not in SCOPES]
    if unknown:
        raise Failure(
            f'found the scope "{unknown[0]}"', advice=f"--scope is one of {', '.join(SCOPES)}; all alone means every one"
        )
    return tuple(dict.fromkeys(given))


@contextlib.contextmanager
def _new_file(path: Path | None) -> Iterator[TextIO | None]:
    """Made before the key is, for one that cannot be kept is not to be made; and gone again where none was made."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", advice="--write names a file that is not there yet") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


@app.command("list")
def list_(*, url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the keys, those that are over included. What would open anything is not shown.

    Example:
      eventyard keys list

    Next: eventyard keys revoke ID

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        keys = list(client.keys())
    for key in keys:
        screen.document(key)
    columns = ("id", "name", "scopes", "buses", "state", "last used", "created", "by")
    rows = [
        (
            key.id,
            key.name,
            _told_scopes(key),
            ", ".join(key.buses or ["all"]),
            _state(key),
            key.last_used,
            key.created,
            key.created_by,
        )
        for key in keys
    ]
    screen.table(columns, rows, whole=("id", "name"))
    return Exit.OK


@app.command("show")
def show(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as the list shows it.")],
    *,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show what a key allows, who made it, and until when. What would open anything is not shown.

    Example:
      eventyard keys show 1a2b3c4d

    Next: eventyard keys revoke ID

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        found = {key.id: key for key in list(client.keys())}
    key = found.get(key_id)
    if key is None:
        raise Failure(f'found no key "{key_id[:8]}"', advice="eventyard keys list shows what is there", code=Exit.NO)
    screen.document(key)
    screen.pairs(
        [
            ("key", key.id),
            ("name", key.name),
            ("scopes", _told_scopes(key)),
            ("buses", ", ".join(key.buses or ["all"])),
            ("state", _state(key)),
            ("last used", key.last_used),
            ("created", key.created),
            ("created by", key.created_by or None),
            ("revoked by", key.revoked_by or None),
        ]
    )
    return Exit.OK


def _told_scopes(key: "AccessKey") -> str:
    bounds = [f"source {key.source}"] if key.source else []
    bounds += [f"type {', '.join(key.types)}"] if key.types else []
    return ", ".join(key.scopes) + (f" ({'; '.join(bounds)})" if bounds else "")


def _state(key: "AccessKey") -> str:
    if key.revoked:
        return f"revoked {key.revoked}"
    if key.expires is None:
        return "in force"
    is_over = datetime.datetime.fromisoformat(key.expires) <= datetime.datetime.now(datetime.UTC)
    return f"{'expired' if is_over else 'expires'} {key.expires}"


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as the list shows it.")],
    *,
    is_sure: Sure = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Revoke a key. It opens nothing from then on, and what it had open is ended.

    On a terminal it asks first.

    Example:
      eventyard keys revoke 1a2b3c4d

    Next: eventyard keys list

    """
    if _WHOLE_KEY.fullmatch(key_id):
        print("note: the key itself was on this command line, where other users of this machine can read it", file=sys.stderr)  # noqa: T201 - also under --json
        key_id = key_id.split("_")[1]
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if not (is_sure or asking.perhaps(lambda: f"revoke the key {key_id}? what uses it is refused from then on")):
            screen.note("nothing was revoked")
            return Exit.NO
        client.revoke_key(key_id)
    screen.document({"revoked": key_id})
    screen.say(f"key {key_id} is revoked")
    return Exit.OK
