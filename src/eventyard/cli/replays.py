"""`eventyard replay`: a stretch of the log once more, to one rule."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Bus, Json, RuleName, Url, connect
from eventyard.cli.places import place
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Replay

app = typer.Typer(help="Replays: a stretch of the log delivered to one rule once more, beside what is live.")

POLL_S = 0.25
WAIT_S_MAX = 5.0
"""Between two attempts to reach a server that was there: a replay goes on over its restarts, and so does who looks on."""

Run = Annotated[int, typer.Argument(metavar="RUN", min=1, help="The replay's number, as the list shows it.")]


@app.command("start")
def start(
    name: RuleName,
    *,
    from_: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="earliest, a position, a time, or 90s, 15m, 2h, 3d ago.")
    ],
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHERE", help="Before which event: as --from. Else up to now.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--pattern", metavar="JSON", help="Only what matches this too: JSON, @FILE, or -.")
    ] = None,
    per_s: Annotated[float | None, typer.Option("--per-s", metavar="NUMBER", help="So many a second.")] = None,
    pace: Annotated[
        Literal["original"] | None, typer.Option("--pace", help="As far apart as the events were accepted.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not stay until it has ended.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Replay a stretch of the log to a rule, and follow it to its end. Ctrl-C leaves it running.

    Example:
      eventyard replay start rewards --from 2h --until 1h --per-s 50

    Next: eventyard replay show RULE RUN

    """
    screen = Screen(as_json=as_json)
    wanted = None if pattern is None else read_json(pattern, what="the pattern")
    with connect(url) as client:
        rule = client.rule(name, bus=bus)
        end = None if until is None else place(until)
        replay = client.start_replay(name, place(from_), end, bus=bus, pattern=wanted, per_s=per_s, pace=pace)
    screen.note(f"replay {replay.run} to rule {name}: positions {replay.first} to {replay.last}")
    if rule.state.paused:
        screen.note(f"the rule is paused, so the replay waits; eventyard rules resume {name}")
    if not no_wait:
        replay = _followed(screen, url, bus, name, replay)
    _tell(screen, name, replay)
    return _code(replay)


@app.command("list")
def list_(name: RuleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the replays of a rule: those under way and the last ones that ended, the newest first.

    Example:
      eventyard replay list rewards

    Next: eventyard replay show RULE RUN

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        replays = list(client.replays(name, bus=bus))
    for replay in replays:
        screen.document(replay)
    if not replays:
        screen.say(f"rule {name} has no replays")
        screen.advise(f"eventyard replay start {name} --from WHERE")
        return Exit.OK
    columns = ("run", "state", "stretch", "read", "pending", "delivered", "dead", "discarded", "created")
    rows = [
        (
            str(one.run),
            one.state,
            f"{one.first}-{one.last}",
            _read_share(one),
            one.pending,
            one.delivered,
            one.dead,
            one.discarded,
            one.created,
        )
        for one in replays
    ]
    screen.table(columns, rows, whole=("run", "state"))
    return Exit.OK


@app.command("show")
def show(
    name: RuleName,
    run: Run,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until it has ended.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show how far a replay has come.

    Example:
      eventyard replay show rewards 4711 --follow

    Next: eventyard replay cancel RULE RUN

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        replay = client.replay(name, run, bus=bus)
    if follow:
        replay = _followed(screen, url, bus, name, replay)
    _tell(screen, name, replay)
    return _code(replay) if follow else Exit.OK


@app.command("cancel")
def cancel(name: RuleName, run: Run, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Cancel a replay: no more is read, and what it still owes is discarded. One that has ended is forgotten.

    Example:
      eventyard replay cancel rewards 4711

    Next: eventyard replay list RULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        replay = client.end_replay(name, run, bus=bus)
    screen.document(replay)
    screen.say(f"replay {run} is {'cancelled' if replay.state == 'cancelled' else 'forgotten'}")
    return Exit.OK


def _followed(screen: Screen, url: str, bus: str, name: str, replay: "Replay") -> "Replay":
    """The replay when it has ended. The server is waited for however long it is away."""
    try:
        with connect(url, attempts_max=sys.maxsize, wait_s_max=WAIT_S_MAX) as client, progress(screen) as advance:
            while not replay.is_ended:
                advance(*_progress(replay))
                time.sleep(POLL_S)
                replay = client.replay(name, replay.run, bus=bus)
    except KeyboardInterrupt:
        screen.note(
            f"the replay goes on; eventyard replay show {name} {replay.run}, or: eventyard replay cancel {name} {replay.run}"
        )
        raise
    return replay


def _progress(replay: "Replay") -> tuple[str, int, int]:
    """What is read counts half, what is settled of it the other half, since neither alone tells how far it is."""
    total = replay.last + 1 - replay.first
    read = replay.next_position - replay.first
    ended = replay.delivered + replay.dead + replay.discarded
    settled = read * ended // (ended + replay.pending) if ended + replay.pending else read
    return "replaying", read + settled, 2 * total


def _read_share(replay: "Replay") -> str:
    return f"{100 * (replay.next_position - replay.first) // (replay.last + 1 - replay.first)} %"


def _code(replay: "Replay") -> int:
    """A no where it was cancelled, or something of it is dead."""
    return Exit.NO if replay.state == "cancelled" or replay.dead else Exit.OK


def _tell(screen: Screen, name: str, replay: "Replay") -> None:
    screen.document(replay)
    screen.pairs(
        [
            ("replay", str(replay.run)),
            ("state", replay.state),
            ("stretch", f"positions {replay.first} to {replay.last}, {_read_share(replay)} read"),
            ("pattern", None if replay.pattern_json == b"null" else replay.pattern_json.decode()),
            ("pace", replay.pace or (f"{replay.per_s:g} a second" if replay.per_s else None)),
            ("pending", replay.pending),
            ("delivered", replay.delivered),
            ("dead", replay.dead),
            ("discarded", replay.discarded),
            ("created", replay.created),
            ("ended", replay.ended),
        ]
    )
    if replay.dead:
        screen.advise(f"eventyard dead-letters list {name}")
