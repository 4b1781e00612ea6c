"""`eventyard explain`: why an event reached a rule, or did not."""

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from eventyard.cli import completing
from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.screen import Screen, printable

if TYPE_CHECKING:
    from eventyard.client import AttemptAnswer, RuleExplanation, StoredEvent

UNMATCHED_SHOWN = 20
"""Rules that do not match, of a bus with many: there each says little, and the others are what is looked for."""

NAME_WIDTH_MAX = 40
WHY_WIDTH_MIN = 30
"""A sentence is given this much of a narrow terminal at least."""


def explain(
    position: Annotated[int, typer.Argument(metavar="POSITION", min=1, help="The event's number in its bus.")],
    rule: Annotated[
        str | None,
        typer.Argument(
            metavar="[RULE]",
            help="One rule, there or deleted; else all, those with deliveries first.",
            autocompletion=completing.rules,
        ),
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All rules that do not match too, not only the first.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Say why an event reached each rule, or did not.

    For each rule: its delivery with every attempt and what became of it, or
    why there is none: the part of the pattern that fails, a rule that started
    after it, was deleted before it, was moved past it, ...

    Example:
      eventyard explain 17
      eventyard explain 17 rewards

    Next: eventyard events show POSITION
    or:   eventyard dead-letters redrive RULE ID

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        told = client.explain(position, rule, bus=bus)
        if as_json:
            for one in told:
                screen.document(one)
            return Exit.OK
        found = list(told)
        stored = client.event(position, bus=bus)
    _show(screen, stored, found, is_whole=all_ or rule is not None)
    return Exit.OK


def _show(screen: Screen, stored: "StoredEvent", found: "list[RuleExplanation]", *, is_whole: bool) -> None:
    event = stored.event
    screen.say(
        f"position {stored.position}: {event.get('type')} from {event.get('source')}, id {event.get('id')}, accepted {stored.accepted}"
    )
    if not found:
        screen.say("no rule was there for it, and none is now")
        screen.advise("eventyard rules put NAME --type TYPE --to URL")
        return
    ordered = sorted(found, key=_weight)
    unmatched = sum(map(_is_unmatched, found))
    left = 0 if is_whole else max(0, unmatched - UNMATCHED_SHOWN)
    screen.say("\n".join(_table(ordered[: len(ordered) - left])))
    if left:
        screen.note(f"... and {left} more rules that do not match; --all shows them")
    _advise(screen, found)


def _weight(one: "RuleExplanation") -> tuple[bool, bool, int]:
    """First what has a delivery, last what does not match."""
    return (not one.deliveries, _is_unmatched(one), one.uid)


def _is_unmatched(one: "RuleExplanation") -> bool:
    """Whether it has no delivery, and neither then nor today the rule matches the event."""
    said = [judged.match for judged in (one.then, one.today) if judged is not None]
    return not one.deliveries and bool(said) and not any(match is not False for match in said)


def _advise(screen: Screen, found: "list[RuleExplanation]") -> None:
    for one in found:
        if one.outcome == "dead":
            return screen.advise(f"eventyard dead-letters redrive {one.rule} {one.deliveries[-1].id}")
        if one.outcome == "paused":
            return screen.advise(f"eventyard rules resume {one.rule}")
    return None


# Lines


def _table(found: "list[RuleExplanation]") -> list[str]:
    """Three columns; what a rule has to tell beyond a line goes on in the third."""
    names = [_name(one) for one in found]
    first, second = max(4, *map(len, names)), max(7, *(len(one.outcome) for one in found))
    lines = [f"{'RULE':<{first}}  {'OUTCOME':<{second}}  WHY"]
    for name, one in zip(names, found, strict=True):
        head = f"{name:<{first}}  {one.outcome:<{second}}  "
        for told in _told(one):
            lines += _wrapped(head, printable(told))
            head = " " * len(head)
    return lines


def _name(one: "RuleExplanation") -> str:
    """A deleted rule's name has an asterisk, so that it is told from one that is there."""
    name = printable(one.rule or f"uid {one.uid}") + ("*" if one.deleted else "")
    return name if len(name) <= NAME_WIDTH_MAX else name[: NAME_WIDTH_MAX - 3] + "..."


def _wrapped(head: str, text: str) -> list[str]:
    """Broken at words where the terminal ends; a pipe gets whole lines."""
    if not sys.stdout.isatty():
        return [head + text]
    width = max(WHY_WIDTH_MIN, shutil.get_terminal_size().columns - len(head))
    parts = textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return [head + parts[0], *(" " * len(head) + part for part in parts[1:])]


def _told(one: "RuleExplanation") -> Iterator[str]:
    yield one.why
    if one.deleted and one.outcome != "deleted-before":
        yield "the rule is deleted"
    is_single = len(one.deliveries) == 1 and one.why.endswith(one.deliveries[0].why)
    for delivery in one.deliveries:
        if not is_single:
            yield f"{_run(delivery.run, is_replay=delivery.replay)}: {delivery.why}"
        yield from (f"  {_attempt(answer)}" for answer in delivery.answers)
    if one.left_out:
        yield f"{one.left_out} older deliveries are left out"
    if one.today is not None:
        yield f"today (version {one.today.version}): {one.today.why}"


def _run(run: int, *, is_replay: bool) -> str:
    if is_replay:
        return f"replay {run}"
    return f"after the seek at {run}" if run else "at first"


def _attempt(answer: "AttemptAnswer") -> str:
    came = f"{answer.status} {answer.body}" if answer.status else answer.failure or answer.body
    died = f"; it died of it ({answer.reason})" if answer.reason else ""
    died = f" (by the rule's answers, {answer.line}){died}" if answer.line else died
    if answer.count == 1:
        return f"{answer.last}  {came.strip()}{died}"
    return f"{answer.first} to {answer.last}  {answer.count} times {came.strip()}{died}"
