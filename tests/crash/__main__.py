"""`python -m tests.crash --kills 100`: kill the real server, balance the books, tell what came out."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.campaign import Campaign, run
from tests.crash.weather import bad_weather, lose_store


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="Kill the real server again and again.")
    parser.add_argument("--kills", type=int, default=100, help="how many times (default 100)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="chooses when and where to kill (default: the time)")
    parser.add_argument("--engine", choices=["sqlite", "nats"], default="sqlite", help="what keeps the bus (default sqlite)")
    arguments = parser.parse_args()
    _say(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as folder:
        play = _play_on_nats if arguments.engine == "nats" else _play
        campaign = play(Path(folder), arguments.kills, arguments.seed)
    account = campaign.account
    _say(
        f"{campaign.kills} kills, {campaign.at_calls} of them at a chosen call to the disk\n"
        f"{account.events} events in the log, dense; {account.acknowledged} answers, {account.answered_again} of them as duplicates\n"
        f"{account.delivered} deliveries taken, none missing, none to the wrong rule; {account.twice} taken more than once\n"
        f"{campaign.seeks} seeks and {campaign.replays} replays; of a bus that keeps little {campaign.floor - 1} events are gone\n"
        f"{campaign.replies} events brought to another bus, each there once with one reply of its target\n"
        f"{campaign.told.turned} turns of state told at once, {campaign.told.lasted} that had to last, {campaign.told.expected} ends of expectations, {campaign.told.struck} instants of schedules, each once\n"
        f"a target that had to agree was pushed to only then, no faster than it allowed; its breaker opened {campaign.openings} times\n"
        f"{campaign.tokens} tokens fetched; a service on the client died {campaign.work.deaths} times: {campaign.work.made} rows of its outbox published "
        f"once, {campaign.work.worked} worked once\n"
        "the books balance"
    )
    return 0


def _play(folder: Path, kills: int, seed: int) -> Campaign:
    return run(folder / "data", kills, seed, _say)


def _play_on_nats(folder: Path, kills: int, seed: int) -> Campaign:
    """The journal's server is killed all the while, and every other life begins without a store."""
    data = folder / "data"
    with bad_weather(folder / "nats") as weather:

        def meanwhile(number: int) -> None:
            if number % 2:
                lose_store(data)
            if number == kills:
                weather.stop()

        campaign = run(data, kills, seed, _say, engine=weather.url, meanwhile=meanwhile)
    _say(f"the journal's server was killed {weather.deaths} times")
    return campaign


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - progress for whoever waits


if __name__ == "__main__":
    sys.exit(main())
