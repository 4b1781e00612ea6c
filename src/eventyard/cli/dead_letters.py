"""`eventyard dead-letters`: what could not be delivered, and putting it back."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Bus, Json, RuleName, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Client, DeadLetter

app = typer.Typer(help="Dead letters: deliveries that ended without success. They are kept with their reason.")

POLL_S = 0.25


@app.command("list")
def list_(
    name: RuleName,
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, help="At most so many.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="No limit.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """List a rule's dead letters by position, with what their target said last.

    Example:
      eventyard dead-letters list rewards

    Next: eventyard dead-letters show RULE ID
    or:   eventyard dead-letters redrive RULE --all

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        letters = list(client.dead_letters(name, bus=bus, limit=None if all_ else limit))
    for letter in letters:
        screen.document(letter)
    if not letters:
        screen.say(f"rule {name} has no dead letters")
        return Exit.OK
    rows = [(letter.id, letter.died, letter.attempts, letter.reason, _answer(letter), _type(letter)) for letter in letters]
    screen.table(("id", "died", "attempts", "reason", "answer", "type"), rows, whole=("id", "died", "attempts"))
    screen.advise(f"eventyard dead-letters redrive {name} --all")
    return Exit.OK


def _answer(letter: "DeadLetter") -> str:
    last = letter.last_answer
    if last is None:
        return "-"
    return f"{last.status} {last.body}".strip() if last.status else last.failure


def _type(letter: "DeadLetter") -> str:
    return str((letter.event or {}).get("type", "damaged"))


@app.command("show")
def show(
    name: RuleName,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id, as the list shows it.")],
    *,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show one dead letter: why it died, the target's last answer, and its event.

    Example:
      eventyard dead-letters show rewards 5f0c1d2e-3-17-0

    Next: eventyard dead-letters redrive RULE ID

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        letter = next((letter for letter in client.dead_letters(name, bus=bus) if letter.id == letter_id), None)
    if letter is None:
        raise Failure(
            f'rule {name} has no dead letter "{letter_id}"', advice=f"eventyard dead-letters list {name}", code=Exit.NO
        )
    screen.document(letter)
    screen.pairs(
        [
            ("id", letter.id),
            ("position", str(letter.position)),
            ("reason", letter.reason),
            ("attempts", letter.attempts),
            ("died", letter.died),
            ("last answer", _answer(letter)),
        ]
    )
    screen.event(letter.json)
    return Exit.OK


@app.command("redrive")
def redrive(
    name: RuleName,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters to put back.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Put back all that are dead now.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Put dead letters back into the rule's queue, where they are tried again from the first attempt on.

    Example:
      eventyard dead-letters redrive rewards --all

    Next: eventyard rules status RULE

    """
    if bool(ids) == all_:
        raise Failure("found both ids and --all" if all_ else "found no dead letters to redrive", advice="give ids, or --all")
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        dead = client.status(name, bus=bus).dead
        redriven = client.redrive(name, "all" if all_ else ids or [], bus=bus)
        moved = dead if redriven.running else redriven.moved
        if redriven.running:
            _wait(client, name, bus, redriven.position, dead)
    screen.document({"position": redriven.position, "moved": moved})
    screen.say(f"{moved} of {dead} dead letters put back (recorded at position {redriven.position})")
    screen.advise(f"eventyard rules status {name}")
    return Exit.OK if moved or all_ else Exit.NO


def _wait(client: "Client", name: str, bus: str, position: int, dead: int) -> None:
    """Until none is left that was dead when the redrive was recorded; new ones may have died meanwhile."""
    asked = client.event(position, bus=bus).accepted
    with _progress(dead) as show_left:
        while any(letter.died <= asked for letter in client.dead_letters(name, bus=bus)):
            show_left(client.status(name, bus=bus).dead)
            time.sleep(POLL_S)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _left: None
        return
    from rich.console import Console  # noqa: PLC0415 - heavy, see the package
    from rich.progress import Progress  # noqa: PLC0415 - as above

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("putting back", total=total)
        yield lambda left: progress.update(task, completed=total - left)
