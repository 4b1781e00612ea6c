"""`eventyard doctor --repair`: says what a repaired store would lack, asks, and puts it in place."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.engines.sqlite.examining import Examined
    from eventyard.engines.sqlite.repairing import BusLoss, Repair
    from eventyard.engines.sqlite.salvaging import Salvaged

MIB = 1024 * 1024
STRETCHES_TOLD = 5


def faults(found: "Examined") -> list[str]:
    """What is wrong with a store, in sentences; none where it is sound."""
    damaged = [f'bus "{of.bus}": {_stretches(of.stretches)} damaged or gone' for of in found.damage]
    structure = [f"structure: {line}" for line in found.structure]
    broken = [found.broken] if found.broken else []
    return [*broken, *(loss.text for loss in found.losses), *structure, *damaged, *(f"counts: {line}" for line in found.counts)]


def repair(screen: Screen, database: Path, *, is_sure: bool) -> int:
    """Repair the store that `database` is of; its folder is held meanwhile."""
    from eventyard.engines.sqlite import examining, hold, replacement  # noqa: PLC0415 - heavy, see the package

    if not (database.exists() or database.with_suffix(".marks").exists()):
        raise Failure(f"found no store at {database}", advice="name the data folder of a bus: --data FOLDER")
    with hold(database.parent):
        if replacement.finish(database):
            screen.say("a repair that had been decided was completed")
        with progress(screen) as advance:
            found = examining.examine(database, advance)
        for remark in found.remarks:
            screen.note(remark)
        if found.is_sound:
            screen.document({"sound": True, "faults": [], "repaired": False})
            screen.say(f"the store is sound ({found.events} events): there is nothing to repair")
            return Exit.OK
        return _repair(screen, database, found, is_sure=is_sure)


def _repair(screen: Screen, database: Path, found: "Examined", *, is_sure: bool) -> int:
    from eventyard.engines.sqlite import repairing, replacement  # noqa: PLC0415 - heavy, see the package

    if not (is_sure or sys.stdin.isatty()):
        raise Failure("a repair gives up what cannot be read, and there is nobody to ask", advice="add --yes")
    if not screen.as_json:
        _tell(screen, "found:", faults(found))
        needed = replacement.room_needed(database) / MIB
        screen.say(
            f"\na repaired copy is made beside it, which takes up to {needed:,.1f} MiB; until you agree nothing is changed"
        )
    with progress(screen) as advance:
        plan = repairing.repair(database, advance, now_ms=time.time_ns() // 1_000_000)
    _tell_plan(screen, plan)
    is_repaired = False
    try:
        if is_sure or typer.confirm("\nput the repaired store in place?", err=True):
            plan.apply()
            is_repaired = True
    finally:
        plan.drop()
    screen.document(_document(found, plan, is_repaired=is_repaired))
    if not is_repaired:
        screen.say("nothing was changed")
        return Exit.NO
    screen.say(f"\nrepaired; the files as they were are in {plan.kept_in}: delete them when you miss nothing")
    screen.advise(f"eventyard serve --data {database.parent}")
    return Exit.NO if plan.remaining else Exit.OK


# In words


def _tell(screen: Screen, head: str, lines: list[str]) -> None:
    screen.say("\n".join([head, *(f"  {line}" for line in lines)]))


def _tell_plan(screen: Screen, plan: "Repair") -> None:
    lines = [line for loss in plan.losses for line in _of_bus(loss)]
    if plan.salvaged is not None:
        lines += _of_salvage(plan.salvaged)
    _tell(screen, "\nthe repaired store lacks:", lines or ["nothing that is known; counts are made those of its rows"])
    has = [f"{plan.events} events"]
    if plan.is_log_mended:
        has.append("what stands in the log behind the damage")
    has += [f"still a fault: {fault}" for fault in plan.remaining]
    _tell(screen, "\nit has:", has)
    screen.say(f"\nthe files as they are go to {plan.kept_in}, which takes no more room than they do now")


def _of_bus(loss: "BusLoss") -> list[str]:
    lost = f"{_stretches(loss.lost)} ({loss.positions} in all)" if loss.lost else "no position that is known"
    lines = [f'bus "{loss.bus}": {lost}; it starts a new incarnation, so ids of its deliveries are new']
    if loss.commits:
        lines.append(f"  {loss.commits} commits: edits of rules, deliveries and verdicts in them are as they were before")
    lines += [f"  {count} deliveries of rule {rule} end as dead letters" for rule, count in sorted(loss.owed.items())]
    return lines


def _of_salvage(salvaged: "Salvaged") -> list[str]:
    lines = [f"the row of bus {name}: its retention is the default again" for name in salvaged.buses]
    lines += [f"deliveries of bus number {bus}: those of {_stretches(unread)}" for bus, unread in salvaged.unread.items()]
    lines += [f"rule number {uid} of bus number {bus}: put it again" for bus, uid in salvaged.rules]
    lines += [
        f"{count} deliveries of such rules on bus number {bus}, which are discarded" for bus, count in salvaged.orphans.items()
    ]
    return lines + [f"rows of the table {table}" for table in dict.fromkeys(salvaged.tables)]


def _stretches(stretches: "list[tuple[int, int]] | tuple[tuple[int, int], ...]") -> str:
    told = [str(first) if first == last else f"{first} to {last}" for first, last in stretches[:STRETCHES_TOLD]]
    more = len(stretches) - STRETCHES_TOLD
    return f"positions {', '.join(told)}" + (f" and {more} more stretches" if more > 0 else "")


def _document(found: "Examined", plan: "Repair", *, is_repaired: bool) -> dict[str, Any]:
    return {
        "sound": False,
        "faults": faults(found),
        "losses": plan.losses,
        "salvaged": plan.salvaged,
        "log_mended": plan.is_log_mended,
        "remaining": plan.remaining,
        "events": plan.events,
        "kept_in": str(plan.kept_in),
        "repaired": is_repaired,
    }
