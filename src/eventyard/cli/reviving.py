"""`eventyard dead-letters redrive`, `purge` and `skip`: what is done about dead letters."""

import functools
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from eventyard.cli import asking
from eventyard.cli.dead_letters import app
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
    Sure,
    Url,
    connect,
    death_filter,
)
from eventyard.cli.places import key as read_key
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventyard.client import Redriven, RuleStatus, Trial

__all__ = ["app"]

POLL_S = 0.25

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters by their ids, as the list shows them.")]
All = Annotated[bool, typer.Option("--all", help="All that are dead now.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]


@app.command("redrive")
def redrive(
    name: RuleName,
    ids: Ids = None,
    *,
    all_: All = False,
    reason: DeathReason = None,
    key: DeathKey = None,
    from_: DiedFrom = None,
    until: DiedUntil = None,
    dry_run: DryRun = False,
    per_s: Annotated[
        float | None, typer.Option("--per-s", metavar="NUMBER", help="So many a second; else all at once.")
    ] = None,
    out_of_order: Annotated[
        bool, typer.Option("--out-of-order", help="Put back what was skipped too, although its key has gone on.")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", metavar="URL", help="Only try the first 20 on this address; they stay dead.")
    ] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Put dead letters back into the rule's queue, where they are tried again from the first attempt on.

    Example:
      eventyard dead-letters redrive rewards --reason attempts --dry-run
      eventyard dead-letters redrive rewards --all --per-s 20

    Next: eventyard rules status RULE

    """
    narrowed = death_filter(reason, key, from_, until)
    which = _which("redrive", ids, narrowed, is_all=all_)
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if dry_run:
            return _count(screen, client.count_dead_letters(name, which, bus=bus, **narrowed), "would be put back")
        if target is not None:
            return _show_trials(screen, client.try_dead_letters(name, which, target, bus=bus, **narrowed))
        dead = client.status(name, bus=bus).dead
        asked = client.redrive(name, which, bus=bus, per_s=per_s, out_of_order=out_of_order, **narrowed)
        moved = _moved(screen, lambda: client.status(name, bus=bus), asked, "putting back")
    screen.document({"position": asked.position, "moved": moved})
    screen.say(f"{moved} of {dead} dead letters put back (recorded at position {asked.position})")
    screen.advise(f"eventyard rules status {name}")
    return Exit.OK if moved or which == "all" else Exit.NO


@app.command("purge")
def purge(
    name: RuleName,
    ids: Ids = None,
    *,
    all_: All = False,
    reason: DeathReason = None,
    key: DeathKey = None,
    from_: DiedFrom = None,
    until: DiedUntil = None,
    parked: Annotated[bool, typer.Option("--parked", help="With each of these ids, what waits behind it.")] = False,
    dry_run: DryRun = False,
    is_sure: Sure = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Discard dead letters for good. The log records by whom.

    On a terminal it asks first.

    Example:
      eventyard dead-letters purge rewards --reason answer --until 7d --dry-run

    Next: eventyard dead-letters list RULE

    """
    narrowed = death_filter(reason, key, from_, until)
    which = _which("purge", ids, narrowed, is_all=all_)
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        count = functools.partial(client.count_dead_letters, name, which, bus=bus, parked=parked, **narrowed)
        if dry_run:
            return _count(screen, count(), "would be discarded")
        if not (is_sure or asking.perhaps(lambda: f"discard {count()} dead letters of {name} for good?")):
            screen.note("nothing was discarded")
            return Exit.NO
        asked = client.purge(name, which, bus=bus, parked=parked, **narrowed)
        moved = _moved(screen, lambda: client.status(name, bus=bus), asked, "discarding")
    screen.document({"position": asked.position, "moved": moved})
    screen.say(f"{moved} discarded (recorded at position {asked.position})")
    return Exit.OK if moved or which == "all" else Exit.NO


@app.command("skip")
def skip(
    name: RuleName,
    ids: Ids = None,
    *,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="KEY", help="The dead one of this order key. May be repeated.")
    ] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Pass over dead letters of a rule that keeps order, so that what waits behind them goes on.

    Example:
      eventyard dead-letters skip ledger --key order-17

    Next: eventyard rules status RULE

    """
    if bool(ids) == bool(key):
        raise Failure("found both ids and --key" if ids else "found no dead letters to skip", advice="give ids, or --key")
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        asked = client.skip(name, ids or (), keys=[read_key(text) for text in key or ()], bus=bus)
    screen.document({"position": asked.position, "moved": asked.moved})
    screen.say(f"{asked.moved} skipped (recorded at position {asked.position})")
    screen.advise(f"eventyard rules status {name}")
    return Exit.OK if asked.moved else Exit.NO


def _which(verb: str, ids: list[str] | None, narrowed: dict[str, Any], *, is_all: bool) -> list[str] | Literal["all"]:
    """Exactly one way of naming them is taken."""
    ways = [name for name, is_given in (("ids", ids), ("--all", is_all), ("filters", narrowed)) if is_given]
    if len(ways) == 1:
        return ids or "all"
    found = f"found both {' and '.join(ways)}" if ways else f"found no dead letters to {verb}"
    raise Failure(found, advice="give ids, or --all, or filters: --reason, --key, --from, --until")


def _count(screen: Screen, count: int, would: str) -> int:
    screen.document({"count": count})
    screen.say(f"{count} {would}")
    return Exit.OK


def _moved(screen: Screen, look: "Callable[[], RuleStatus]", asked: "Redriven", stage: str) -> int:
    """How many it was in the end: what went at once, and what of the dead the rest took, which is waited for."""
    if not asked.running:
        return asked.moved
    status = look()
    first = status.dead
    try:
        with progress(screen) as advance:
            while status.redriving or status.purging:
                advance(stage, first - status.dead, first)
                time.sleep(POLL_S)
                status = look()
    except KeyboardInterrupt:
        screen.note(f"the server goes on; eventyard rules status {status.name}")
        raise
    return asked.moved + max(0, first - status.dead)


def _show_trials(screen: Screen, trials: "list[Trial]") -> int:
    for trial in trials:
        screen.document(trial)
    if not trials:
        screen.say("no such dead letters")
        return Exit.NO
    rows = [(trial.id, _said(trial), f"{trial.elapsed_s:.3f} s") for trial in trials]
    screen.table(("id", "answer", "took"), rows, whole=("id", "took"))
    taken = sum(trial.is_taken for trial in trials)
    screen.say(f"{taken} of {len(trials)} were taken; they stay dead letters")
    return Exit.OK if taken == len(trials) else Exit.NO


def _said(trial: "Trial") -> str:
    return f"{trial.status} {trial.body}".strip() if trial.status else trial.failure
