"""The bus as a deterministic machine: committed state and commands go in, changes come out. Nothing here has an effect.

Theory of operation. One step admits a batch of commands on one bus. A `Draft` lies over the committed `BusState` and holds
what the batch has changed so far, so each command sees the ones before it; the committed state itself is only read. Because
matching happens here, an event, its deliveries and the edits around it are one atomic step: there is no lag between the log
and the queues, and the position of an edit event is exactly where the edit takes effect. When the engine has committed
`draft.finish()`, `BusState.apply` takes the changes over; when it has not, the draft is dropped and nothing rests on it.

After the commands come the demands: receivers that wait for deliveries of a rule. A fresh delivery is put already leased
where a receiver waits and nobody is before it in the queue, so a push costs no second commit on its way out.

`publishing` is what becomes of an event, `replying` of a reply. `leasing` and `settling` are what queues give out and take back, `order` its lanes;
`rule_edits` and `runs` what is asked of rules; `backfilling`, `intents` and `retention` bounded work on what is old; `emitting` what detectors make of what
was appended, `emitter_edits` edits of them; `trouble` what the log is told of failures;
`system` the list of buses, `key_edits` access keys, `scheduling` schedules.
"""

from collections.abc import Callable, Sequence
from typing import Any

from eventyard.core import (
    backfilling,
    emitter_edits,
    emitting,
    intents,
    key_edits,
    leasing,
    retention,
    rule_edits,
    runs,
    scheduling,
    settling,
    system,
    trouble,
)
from eventyard.core.commands import (
    AdvanceBackfill,
    ClearDead,
    Command,
    ContinueIntent,
    CreateBus,
    CreateKey,
    DeleteBus,
    DeleteEmitter,
    DeleteRule,
    DeleteSchedule,
    EmptyBus,
    EndReplay,
    EnforceCap,
    Expire,
    ForgetTombstones,
    HearHandshake,
    PauseSchedule,
    Publish,
    Published,
    Purge,
    PutEmitter,
    PutRule,
    PutSchedule,
    Redrive,
    Release,
    Replay,
    Reseal,
    Retain,
    RevokeKey,
    RunTimers,
    Seek,
    SetPaused,
    SetRetention,
    Settle,
    Skip,
    Sweep,
    TellTrouble,
    Tick,
    TrimParked,
)
from eventyard.core.draft import Draft
from eventyard.core.errors import Refused
from eventyard.core.event import Event
from eventyard.core.pattern.index import Index
from eventyard.core.publishing import publish


def conclude(draft: Draft) -> None:
    """What every step ends with. Trouble is told last, so that what leasing finds damaged is in it."""
    leasing.lease(draft)
    trouble.tell(draft)
    emitting.attend(draft)
    leasing.leave_live(draft)


def prefetch(draft: Draft, commands: Sequence[Command]) -> None:
    """Ask the engine once which ids of the batch it knows, and what emitters keep of its keys; one question for all costs far less than one
    each.
    """
    events = [event for command in commands if isinstance(command, Publish) for event in command.events]
    if not events:
        return
    cited = [event.cited for event in events if event.cited is not None]
    draft.find_ids([*((event.source, event.id) for event in events), *cited])
    if draft.emitters.listening:
        draft.emitters.foresee(events)
    if cited:
        draft.read_causes([known.position for name in cited if (known := draft.known.get(name)) is not None])


def admit(draft: Draft, command: Command) -> Any:
    """Carry out one command on the draft. Its answer, or a `Refused` raised with the draft untouched."""
    answer = _STEPS[type(command)](draft, command)
    emitting.attend(draft)
    return answer


def publish_all(draft: Draft, command: Publish) -> list[Published | Refused]:
    """Every event of the command in one step. The writer calls `publish` itself, so that it can cut between two events."""
    return [publish(draft, command, number) for number in range(len(command.events))]


def foresee(live: Index, events: Sequence[Event]) -> Publish:
    """The command to publish `events`, matched ahead by the index in force now.

    Decoded, an event takes ten times the memory of its bytes; so it is matched by whoever decoded it and let go, rather than
    wait decoded for its step. Where a rule fails on an event the step finds out which.
    """
    try:
        matches = tuple(live.match_document(event.document) for event in events)
    except Exception:  # noqa: BLE001 - as in `Draft.match`, which is asked then
        return Publish(tuple(events))
    lean = (
        Event(event.source, event.id, event.type, event.digest, event.json, None, event.cited, event.hops) for event in events
    )
    return Publish(tuple(lean), live, matches)


_STEPS: dict[type, Callable[[Draft, Any], Any]] = {
    Publish: publish_all,
    Settle: settling.settle_all,
    Release: settling.release,
    Expire: settling.expire,
    PutRule: rule_edits.put,
    DeleteRule: rule_edits.delete,
    SetPaused: rule_edits.set_paused,
    Seek: runs.seek,
    Replay: runs.replay,
    EndReplay: runs.end_replay,
    AdvanceBackfill: backfilling.advance,
    Redrive: intents.redrive,
    ClearDead: intents.clear_dead,
    Purge: intents.purge,
    Skip: intents.skip,
    EnforceCap: intents.enforce_cap,
    TrimParked: intents.trim_parked,
    ContinueIntent: intents.proceed,
    Retain: retention.retain,
    ForgetTombstones: retention.forget_tombstones,
    TellTrouble: trouble.tell_due,
    CreateBus: system.create_bus,
    Reseal: rule_edits.reseal,
    HearHandshake: rule_edits.hear_handshake,
    SetRetention: system.set_retention,
    DeleteBus: system.delete_bus,
    EmptyBus: system.empty_bus,
    PutEmitter: emitter_edits.put,
    DeleteEmitter: emitter_edits.delete,
    Sweep: emitter_edits.sweep,
    RunTimers: emitting.run_timers,
    CreateKey: key_edits.create,
    RevokeKey: key_edits.revoke,
    PutSchedule: scheduling.put,
    DeleteSchedule: scheduling.delete,
    PauseSchedule: scheduling.set_paused,
    Tick: scheduling.tick,
}
