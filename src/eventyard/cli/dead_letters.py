"""`eventyard dead-letters`: what could not be delivered. What is done about it stands in `reviving`."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import (
    DEFAULT_URL,
    Bus,
    DeathKey,
    DeathReason,
    DiedFrom,
    DiedUntil,
    Json,
    RuleName,
    Url,
    connect,
    death_filter,
)
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import DeadLetter

app = typer.Typer(help="Dead letters: deliveries that ended without success. They are kept with their reason.")


@app.command("list")
def list_(
    name: RuleName,
    *,
    reason: DeathReason = None,
    key: DeathKey = None,
    from_: DiedFrom = None,
    until: DiedUntil = None,
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, help="At most so many.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="No limit.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """List a rule's dead letters by position, with what their target said last.

    Example:
      eventyard dead-letters list rewards
      eventyard dead-letters list rewards --reason answer --from 2h

    Next: eventyard dead-letters show RULE ID
    or:   eventyard dead-letters redrive RULE --all

    """
    screen = Screen(as_json=as_json)
    narrowed = death_filter(reason, key, from_, until)
    with connect(url) as client:
        letters = list(client.dead_letters(name, bus=bus, limit=None if all_ else limit, **narrowed))
    for letter in letters:
        screen.document(letter)
    if not letters:
        screen.say(f"rule {name} has no such dead letters" if narrowed else f"rule {name} has no dead letters")
        return Exit.OK
    _show_table(screen, letters)
    screen.advise(f"eventyard dead-letters redrive {name} --all")
    return Exit.OK


def _show_table(screen: Screen, letters: "list[DeadLetter]") -> None:
    columns = ["id", "died", "attempts", "reason", "answer", "type"]
    rows = [[letter.id, letter.died, letter.attempts, letter.reason, _answer(letter), _type(letter)] for letter in letters]
    if any(letter.key is not None for letter in letters):
        columns += ["key", "parked"]
        rows = [[*row, _key(letter), letter.parked] for row, letter in zip(rows, letters, strict=True)]
    screen.table(columns, rows, whole=("id", "died", "attempts"))


def _key(letter: "DeadLetter") -> str | None:
    if letter.key is None or isinstance(letter.key, str):
        return letter.key
    return msgspec.json.encode(letter.key).decode()


def _answer(letter: "DeadLetter") -> str:
    last = letter.last_answer
    if last is None:
        return "-"
    return f"{last.status} {last.body}".strip() if last.status else last.failure or last.body


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
            ("key", _key(letter)),
            ("parked behind it", letter.parked),
        ]
    )
    screen.event(letter.json)
    return Exit.OK
