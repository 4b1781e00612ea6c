"""`eventyard story`: what came of an event, as a tree."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.screen import Branch, Screen

if TYPE_CHECKING:
    from eventyard.client import Client, Story, StoryChapter, StoryDelivery

PAGE = 500
"""Events asked for at once, the most that there may be."""

_COLOURS = {"dead": "red", "discarded": "yellow", "discarding": "yellow", "delivered": "green"}


def story(
    position: Annotated[int, typer.Argument(metavar="POSITION", min=1, help="The event's number in its bus.")],
    *,
    from_here: Annotated[
        bool, typer.Option("--from-here", help="Begin with this event, not with the one with which everything began.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, help="At most so many events.")] = 200,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show what came of an event: its deliveries, replies, errors, and what came of those.

    The tree begins with the event with which everything began that this one
    is a part of, which is marked.

    Example:
      eventyard story 17
      eventyard story 17 --from-here --json

    Next: eventyard explain POSITION

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        told = _whole(client, position, bus=bus, from_here=from_here, limit=limit)
    for chapter in told.events:
        screen.document(chapter)
    _show(screen, told, position)
    if told.next or told.cut:
        left = f"; --limit {2 * limit} shows more" if told.next else ""
        screen.remark(f"... and there is more of it{left}", {"next": told.next, "cut": told.cut})
    return Exit.OK


def _whole(client: "Client", position: int, *, bus: str, from_here: bool, limit: int) -> "Story":
    """All pages as one, up to `limit` events."""
    told = client.story(position, bus=bus, from_here=from_here, limit=min(PAGE, limit))
    events = list(told.events)
    while told.next is not None and len(events) < limit:
        told = client.story(position, bus=bus, from_here=from_here, after=told.next, limit=min(PAGE, limit - len(events)))
        events += told.events
    return msgspec.structs.replace(told, events=events)


def _show(screen: Screen, told: "Story", asked: int) -> None:
    branches: dict[int, Branch] = {}
    for chapter in told.events:
        branch = branches[chapter.position] = Branch(_event(chapter, is_asked=chapter.position == asked != told.root))
        branch.below += [_delivery(delivery) for delivery in chapter.deliveries]
        if chapter.more_deliveries:
            branch.below.append(Branch("... and more deliveries"))
        parent = branches.get(chapter.cause or 0)
        if parent is not None:
            parent.below.append(branch)
    if told.before is not None:
        screen.say(f"it came of {told.before.id} of {told.before.source}, which this log does not have")
    if told.root in branches:
        screen.tree(branches[told.root])


def _event(chapter: "StoryChapter", *, is_asked: bool) -> str:
    mark = "  <- this one" if is_asked else ""
    event = chapter.event
    if event is None:
        return f"{chapter.position}  (cannot be read any more){mark}"
    subject = f" ({event.subject})" if event.subject else ""
    return f"{chapter.position}  {event.type}{subject}  {event.source} {event.id}  {chapter.accepted}{mark}"


def _delivery(told: "StoryDelivery") -> Branch:
    one = told.delivery
    replay = f", replay {one.run}" if one.replay else ""
    branch = Branch(f"-> {told.rule or f'rule {told.uid}'}{replay}: {one.why}", colour=_COLOURS.get(one.outcome, ""))
    branch.below += [Branch(line) for line in _answers(told)] if one.outcome == "delivered" else []
    return branch


def _answers(told: "StoryDelivery") -> Iterator[str]:
    """Attempts before the one that delivered it; of others the sentence tells the last."""
    for answer in told.delivery.answers:
        came = f"{answer.status} {answer.body}" if answer.status else answer.failure or answer.body
        times = f"{answer.count} times " if answer.count > 1 else ""
        yield f"{answer.first}  {times}{came.strip()}"
