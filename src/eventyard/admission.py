"""What of the waiting commands of one bus a step takes, and what they make of it.

In the order in which they came, with one exception. Verdicts on leases may be many (a consumer's hundreds, say), and publishers wait
for the whole step that they are in: so where both are there, a step takes a share of the verdicts, never less than a hundred, and the
rest with the next ones. Verdicts and other commands that wait at the same time have no order that anybody could have asked for.
Timers of keys, too, are run out in smaller shares where somebody publishes (`Writer`).
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from eventyard import logbook
from eventyard.core import limits, machine, publishing
from eventyard.core.bus_state import BusState
from eventyard.core.commands import Command, Publish, RunTimers, Settle
from eventyard.core.draft import Draft
from eventyard.core.errors import EventyardError, Failed, Refused
from eventyard.inbox import Ticket


class Admission(msgspec.Struct, eq=False):
    """What one step did on one bus: the draft (None: it had to be dropped) and the tickets that it answers. `has_published`: somebody waited for it who
    publishes.
    """

    state: BusState
    draft: Draft | None
    finished: list[Ticket]
    has_published: bool = False


class Waiting:
    """The commands that wait for one bus."""

    def __init__(self) -> None:
        self.verdicts: deque[Ticket] = deque()
        self.others: deque[Ticket] = deque()

    def __bool__(self) -> bool:
        return bool(self.verdicts or self.others)

    def add(self, ticket: Ticket) -> None:
        (self.verdicts if isinstance(ticket.command, Settle) else self.others).append(ticket)

    def take_all(self) -> list[Ticket]:
        """Every one, as when the bus is gone."""
        taken = [*self.verdicts, *self.others]
        self.verdicts.clear()
        self.others.clear()
        return taken

    def take_cut(self) -> list[Ticket]:
        """Those that the last step was cut in: some of their answers rest on it."""
        return [queue.popleft() for queue in (self.verdicts, self.others) if queue and queue[0].answers]


def admit(draft: Draft, waiting: Waiting, *, timers: int = limits.TIMERS_PER_STEP) -> Admission:
    """Admit what waits until the step is full. A defect of ours fails this bus's batch, not the bus. `timers`: how many it runs out."""
    finished: list[Ticket] = []
    commands = _within_reach(waiting.others)
    at_work = waiting.others
    try:
        machine.prefetch(draft, commands)
        share = draft.leases_max = _share_beside(commands)
        at_work = waiting.verdicts
        _admit_verdicts(draft, waiting.verdicts, share, finished)
        at_work = waiting.others
        for _ in commands:
            if draft.is_full or not _admit_command(draft, waiting.others[0], timers):
                break
            finished.append(waiting.others.popleft())
        machine.conclude(draft)
    except Exception as error:  # noqa: BLE001 - whatever it is, the log has it and the callers an answer
        logbook.STEP_FAILED(bus=draft.state.record.name)
        failed = error if isinstance(error, EventyardError) else Failed("an unexpected error; the log has it")
        finished += [at_work.popleft()] if at_work else []
        finished += waiting.take_cut()
        return Admission(draft.state, None, [answered(ticket, failed) for ticket in finished])
    return Admission(draft.state, draft, finished, any(isinstance(command, Publish) for command in commands))


def answered(ticket: Ticket, answer: Any) -> Ticket:
    ticket.answer = answer
    return ticket


def _within_reach(queue: Iterable[Ticket]) -> list[Command]:
    """The commands that one step may reach: those whose ids are asked for before it."""
    commands: list[Command] = []
    events = 0
    for ticket in queue:
        if events >= limits.STEP_EVENTS_MAX:
            break
        commands.append(ticket.command)
        events += len(ticket.command.events) if isinstance(ticket.command, Publish) else 0
    return commands


def _share_beside(commands: Iterable[Command]) -> int:
    """How many verdicts, and how many leases of what waits, a step takes: bounded by what is published in it, where anything is."""
    events = sum(len(command.events) for command in commands if isinstance(command, Publish))
    if not events:
        return limits.LEASES_PER_STEP_MAX
    return min(limits.LEASES_PER_STEP_MAX, max(limits.SHARE_BESIDE_PUBLISHERS, events * limits.SHARE_PER_EVENT))


def _admit_verdicts(draft: Draft, queue: deque[Ticket], share: int, finished: list[Ticket]) -> None:
    while queue and share > 0 and not draft.is_full:
        ticket = queue[0]
        settlements = cast("Settle", ticket.command).settlements
        part = settlements[len(ticket.answers) : len(ticket.answers) + share]
        ticket.answers += machine.admit(draft, Settle(part))
        share -= max(1, len(part))
        if len(ticket.answers) == len(settlements):
            ticket.answer = ticket.answers
            finished.append(queue.popleft())


def _admit_command(draft: Draft, ticket: Ticket, timers: int) -> bool:
    """Admit one ticket. False when the step was full before its last event."""
    command = ticket.command
    if isinstance(command, Publish):
        return _admit_events(draft, ticket, command)
    if isinstance(command, RunTimers) and command.limit > timers:
        command = RunTimers(timers)
    try:
        ticket.answer = machine.admit(draft, command)
    except Refused as error:
        ticket.answer = error
    return True


def _admit_events(draft: Draft, ticket: Ticket, command: Publish) -> bool:
    for number in range(len(ticket.answers), len(command.events)):
        if draft.is_full:
            return False
        ticket.answers.append(publishing.publish(draft, command, number))
    ticket.answer = ticket.answers
    return True
