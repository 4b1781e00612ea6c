"""`eventyard rules backtest`: what a rule would have matched, before it is saved."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventyard.cli import backtested, completing
from eventyard.cli.backtested import Result
from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.places import moment
from eventyard.cli.progress import progress
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventyard.cli.trials import Trial
    from eventyard.client import Client
    from eventyard.client.building import Moment

SAMPLES = 5


def backtest(
    file: Annotated[
        str, typer.Argument(metavar="FILE|DIR|-", help="A pattern, or rules as `rules put` and `apply` take them.")
    ],
    *,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            metavar="RULE",
            help="Hold it against this rule as it is in force; of several rules, only this one.",
            autocompletion=completing.rules,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Accepted since: RFC 3339, or 90s, 15m, 2h, 3d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Accepted before: as --since.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="NUMBER", min=0, max=100, help="Show so many events of each kind.")
    ] = SAMPLES,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Try a rule on the log before you put it: how many events a day, and which.

    Nothing is changed. Where the rule is there already it says what the new
    one adds and loses. Ctrl-C shows what was found until then.

    Example:
      eventyard rules backtest rewards.json --rule rewards --since 3d
      eventyard rules backtest '{"type": ["order.paid"]}'

    Next: eventyard rules put RULE rewards.json

    """
    from eventyard.cli import trials  # noqa: PLC0415 - heavy, see the package

    screen = Screen(as_json=as_json)
    wanted = trials.read(file, bus=bus, rule=rule or "")
    times = moment(since), moment(until)
    with connect(url) as client:
        for trial in wanted:
            if trial.name and not trial.is_named:
                client.rule(trial.name, bus=trial.bus)  # A name that was mistyped would be compared with nothing.
        results, ended = _results(screen, client, list(trials.batches(wanted)), times, limit)
        backtested.show(screen, client, results, ended)
    if ended is not None:
        raise ended
    return Exit.OK if all(result.tried.matched for result in results) else Exit.NO


def _results(
    screen: Screen, client: "Client", batches: "Sequence[list[Trial]]", times: "tuple[Moment | None, Moment | None]", limit: int
) -> tuple[list[Result], BaseException | None]:
    """What was found, and what ended it before its time."""
    from eventyard.client import Backtest, ClientError, Tried  # noqa: PLC0415 - heavy, see the package

    results: list[Result] = []
    for batch in batches:
        found: Backtest | None = None
        ended: BaseException | None = None
        bus = batch[0].bus
        tried = [Tried(trial.pattern, trial.name) for trial in batch]
        try:
            with progress(screen) as advance:
                for found in client.backtest(*tried, bus=bus, from_=times[0], until=times[1], samples=limit):
                    advance(f"looking at the events of bus {bus}", found.looked_at, found.positions)
        except (KeyboardInterrupt, ClientError) as error:
            ended = error
        if found is not None:
            results += [Result(trial, found, one) for trial, one in zip(batch, found.rules, strict=True)]
        if ended is not None:
            return results, ended
    return results, None
