"""What became of a rule that was moved: every run of it, as the log tells them, against what its receiver took."""

from typing import Any, NamedTuple

from tests.crash.books import Matches
from tests.crash.receiver import Identity, Receiver


class Run(NamedTuple):
    """`last` is where a replay ends; `is_owed`: it was neither left by a seek nor cancelled."""

    number: int
    first: int
    last: int | None
    is_owed: bool


def runs_of(log: list[dict[str, Any]], rule: str) -> list[Run]:
    """Run 0 from the beginning, and one for each seek and each replay that the log records."""
    told = [(each["position"], each["event"]["type"], each["event"].get("data")) for each in log]
    own = [(position, kind, data) for position, kind, data in told if isinstance(data, dict) and data.get("name") == rule]
    sought = [(position, data["position"]) for position, kind, data in own if kind == "io.eventyard.rule.sought"]
    live = [(0, 1), *sought]
    replays = [(at, data["first"], data["last"]) for at, kind, data in own if kind == "io.eventyard.rule.replayed"]
    return [Run(run, first, None, run == live[-1][0]) for run, first in live] + [Run(*replay, True) for replay in replays]


def check_moved(log: list[dict[str, Any]], rule: str, matches: Matches, receiver: Receiver) -> tuple[int, int]:
    """How many seeks and replays there were. The last live run and every replay got exactly their stretch; the others nothing else."""
    runs = runs_of(log, rule)
    for run in runs:
        _check_run(log, rule, run, matches, receiver)
    strays = {of for of in receiver.by_run if of[0] == rule} - {(rule, run.number) for run in runs}
    assert not strays, f"{rule} got deliveries of runs that the log does not know: {strays}"
    replays = sum(run.last is not None for run in runs)
    return len(runs) - replays - 1, replays


def _check_run(log: list[dict[str, Any]], rule: str, run: Run, matches: Matches, receiver: Receiver) -> None:
    within = [each for each in log if run.first <= each["position"] <= (run.last or len(log))]
    owed: set[Identity] = {(each["event"]["source"], each["event"]["id"]) for each in within if matches(each["event"])}
    taken = receiver.by_run.get((rule, run.number), set())
    assert not taken - owed, f"{rule} got in {run} what is not its own: {sorted(taken - owed)[:5]}"
    assert not run.is_owed or not owed - taken, f"{rule} never got in {run}: {sorted(owed - taken)[:5]}"
    marks = receiver.marks.get((rule, run.number), set())
    assert marks <= {str(run.number) if run.last is not None else ""}, f"{run} of {rule} was marked {marks}"


def check_order(log: list[dict[str, Any]], rule: str, receiver: Receiver) -> None:
    """By subject, nothing came for the first time before all that stands before it in the log was taken."""
    waiting: dict[str, list[Identity]] = {}
    for each in log:
        event = each["event"]
        if event["source"].startswith("/client/"):
            waiting.setdefault(event["subject"], []).append((event["source"], event["id"]))
    subjects = {identity: subject for subject, lane in waiting.items() for identity in lane}
    done = dict.fromkeys(waiting, 0)
    for identity, status in receiver.arrivals[rule]:
        lane, count = waiting[subjects[identity]], done[subjects[identity]]
        at = lane.index(identity, max(0, count - 1)) if identity in lane[max(0, count - 1) : count + 1] else -1
        assert at >= 0, f"{rule} was sent {identity} and the one before it, {lane[count - 1 : count + 1]}, was not taken"
        if at == count and status == 200:
            done[subjects[identity]] += 1
    left = {subject: len(lane) - done[subject] for subject, lane in waiting.items() if done[subject] < len(lane)}
    assert not left, f"{rule} never got the last of {left}"
