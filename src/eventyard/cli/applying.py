"""`eventyard apply`: buses, rules, detectors, expectations and schedules as documents say.

The plan is shown first, and a second time there is nothing to do.
"""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import asking, completing
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure, code_of_status
from eventyard.cli.options import DEFAULT_URL, Json, Sure, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventyard.cli.declared import Declared
    from eventyard.cli.planning import Present, Step
    from eventyard.client import Client

_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}
_DONE = {"create": "created", "change": "changed", "delete": "deleted"}


def apply(
    *,
    files: Annotated[
        list[str], typer.Option("-f", "--file", metavar="FILE|DIR", help="Documents: JSON, YAML, TOML. May be repeated.")
    ],
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only show the plan. Ends in 6 where it has changes.")] = False,
    is_sure: Sure = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete what the same owner has and no document, on the buses named."),
    ] = False,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="LABEL", help="Whose the rules are, where they do not say it.")
    ] = None,
    take_over: Annotated[bool, typer.Option("--take-over", help="Change rules of other owners too.")] = False,
    bus: Annotated[
        str, typer.Option("--bus", metavar="NAME", help="The bus of rules that name none.", autocompletion=completing.buses)
    ] = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Make a server what documents say, buses to schedules; show first what changes.

    A second time there is nothing to do. What no document names is left
    alone; --prune deletes rules that carry the documents' owner.

    Example:
      eventyard apply -f events/ --dry-run
      eventyard apply -f events/ --prune --owner team-rewards

    Next: eventyard rules status RULE

    """
    from eventyard.cli import declared, documents, planning  # noqa: PLC0415 - heavy, see the package

    screen = Screen(as_json=as_json)
    wanted = declared.read(documents.read_all(files), bus=bus, owner=owner or "")
    pruned = _pruned(wanted, owner or "") if prune else frozenset()
    with connect(url) as client:
        steps = planning.plan(wanted, present(client, wanted), pruned=pruned, takes_over=take_over)
        changes = [step for step in steps if step.act != "keep"]
        _show(screen, steps, is_told=is_dry or not as_json)
        if not changes or is_dry:
            return Exit.CHANGES if changes else Exit.OK
        if as_json and not is_sure:
            raise Failure("there are changes, and under --json nobody is asked", advice="add --yes, or --dry-run")
        if not (is_sure or asking.certainly("make these changes?", otherwise="there are changes, and nobody to ask")):
            screen.note("nothing was changed")
            return Exit.NO
        return _carry_out(screen, client, changes)


def _pruned(wanted: "Declared", owner: str) -> frozenset[str]:
    owners = frozenset({owner} if owner else wanted.owners)
    if not owners:
        raise Failure("found --prune, and no owner in any document", advice="give --owner LABEL, or the rules an owner")
    return owners


def present(client: "Client", wanted: "Declared") -> "Present":
    from eventyard.cli.planning import Present  # noqa: PLC0415 - heavy, see the package

    buses = {bus.name: bus for bus in client.buses() if bus.name in wanted.bus_names}
    rules = {name: {rule.name: rule for rule in client.rules(bus=name)} for name in buses}
    detectors = {name: {one.name: one for one in client.detectors(bus=name)} for name in buses}
    expectations = {name: {one.name: one for one in client.expectations(bus=name)} for name in buses}
    schedules = {name: {one.name: one for one in client.schedules(bus=name)} for name in buses}
    return Present(buses, rules, detectors, expectations, schedules)


# The plan


def _show(screen: Screen, steps: "Iterable[Step]", *, is_told: bool) -> None:
    counts = Counter(str(step.act) for step in steps)
    for step in steps:
        if step.act != "keep":
            show_step(screen, step, is_told=is_told)
        if step.remark:
            screen.note(f"{step.called}: {step.remark}")
    words = [f"{counts[act]} to {act}" for act in _SIGNS if counts[act]]
    unchanged = f"{counts['keep']} as they should be"
    screen.say(", ".join([*words, unchanged]) if words else f"nothing to change: {unchanged}")


def show_step(screen: Screen, step: "Step", *, is_told: bool) -> None:
    if is_told:
        screen.document(_document(step))
    sign, colour = _SIGNS[step.act]
    screen.say(f"{sign} {step.called}{f'  {step.summary}' if step.summary else ''}", colour=colour)
    for difference in step.differences:
        screen.say(f"    {difference.field}")
        for mark, text, shade in (("-", difference.before, "red"), ("+", difference.after, "green")):
            if text is not None:
                screen.say(f"      {mark} {text}", colour=shade)


def _document(step: "Step", **more: Any) -> dict[str, Any]:
    told = {"change": step.act, "kind": step.kind, "bus": step.bus, "name": step.name, "differences": list(step.differences)}
    return told | ({"remark": step.remark} if step.remark else {}) | more


# Carrying it out


def _carry_out(screen: Screen, client: "Client", steps: "list[Step]") -> int:
    """One after the other. One that is refused keeps the others from nothing, but then nothing is deleted."""
    from eventyard.client import ProblemError  # noqa: PLC0415 - heavy, see the package

    code, done = Exit.OK, Counter[str]()
    for step in steps:
        if step.act == "delete" and code != Exit.OK:
            screen.note(f"{step.called} is left: not everything before it could be done")
            continue
        try:
            warnings = take(client, step)
        except ProblemError as error:
            found = code_of_status(error.status)
            if found not in {Exit.REFUSED, Exit.NO} or error.code == "unauthenticated":
                raise
            code = Exit.REFUSED
            screen.remark(f"{step.called} refused: {error}", _document(step, error=error.problem))
            continue
        done[step.act] += 1
        screen.document(_document(step, done=True, **({"warnings": warnings} if warnings else {})))
        tell_warnings(screen, warnings, f"{step.called}: ")
    screen.say(", ".join(f"{done[act]} {word}" for act, word in _DONE.items() if done[act]) or "nothing was changed")
    return code


def tell_warnings(screen: Screen, warnings: "Iterable[str]", before: str = "") -> None:
    for warning in warnings:
        screen.note(f"{before}warning: {warning}")


def take(client: "Client", step: "Step") -> list[str]:
    """What the server warns of."""
    if step.kind == "bus":
        if retention := step.document["retention"]:
            client.set_retention(step.name, **retention)
        else:
            client.create_bus(step.name)
        return []
    put, delete = _calls(client, step.kind)
    if step.act == "delete":
        delete(step.name, bus=step.bus, version=step.version)
        return []
    made = put(step.name, msgspec.json.encode(step.document), bus=step.bus, version=step.version)
    return list(getattr(made, "warnings", ()) or ())


def _calls(client: "Client", kind: str) -> "tuple[Callable[..., Any], Callable[..., Any]]":
    """What puts one of a kind that stands on a bus, and what deletes it."""
    return {
        "rule": (client.put_rule, client.delete_rule),
        "detector": (client.put_detector, client.delete_detector),
        "expectation": (client.put_expectation, client.delete_expectation),
        "schedule": (client.put_schedule, client.delete_schedule),
    }[kind]
