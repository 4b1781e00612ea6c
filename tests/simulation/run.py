"""One run: a seed becomes a story of some hundreds of acts, then the world heals and the books are held against the store."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any
from unittest import mock

import msgspec

from eventyard import retaining
from eventyard.core import limits
from eventyard.engines.sqlite import connection as sqlite_connection
from eventyard.engines.sqlite import engine as sqlite_engine
from eventyard.engines.sqlite import forgetting
from tests.simulation.books import Books
from tests.simulation.house import EngineName, House, Parts
from tests.simulation.story import Story
from tests.simulation.world import HOUR_MS, World

TRACE_SHOWN = 40


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended. `digest` stands for everything that happened in it."""

    seed: int
    digest: str
    acknowledged: int
    handed: int
    lives: int
    failure: str = ""
    trace: tuple[str, ...] = ()


def run(seed: int, steps: int, engine: EngineName, parts: Parts | None = None) -> Outcome:
    """Play one seed. What breaks is told in the outcome, with the last lines of the trace."""
    world = World(seed)
    books = Books()
    house = House(world, books, engine, parts or Parts())
    failure = ""
    with _small_limits(world):
        try:
            _play(house, steps)
        except Exception as error:  # noqa: BLE001 - whatever falls out of the house is a finding
            failure = f"{type(error).__name__}: {error}"
        finally:
            house.crash()
    handed = sum(len(handed) for handed in books.handed.values())
    return Outcome(seed, world.digest, len(books.acknowledged), handed, world.life, failure, tuple(world.trace[-TRACE_SHOWN:]))


@contextlib.contextmanager
def _small_limits(world: World) -> Iterator[None]:
    """Limits drawn from the seed, so that a log of some hundred events meets every one of them."""
    rng = world.rng
    # Every trimming is told by an event, which may be parked itself for each of five rules: it takes more than it brings.
    parked, rows = rng.choice(((3, 8), (10_000, 1), (10_000, 4), (10_000, 500)))
    small: dict[str, Any] = {
        "STEP_EVENTS_MAX": rng.choice((3, 10, 2_000)),
        "STEP_CHANGES_MAX": rng.choice((5, 40, 20_000)),
        "SHARE_BESIDE_PUBLISHERS": rng.choice((1, 2, 100)),
        "SHARE_PER_EVENT": rng.choice((1, 4)),
        "BACKFILL_EVENTS_PER_STEP": rng.choice((3, 20)),
        "BACKFILL_UNSETTLED_MAX": rng.choice((4, 10_000)),
        "LIVE_BACKLOG_MAX": rng.choice((2, 8, 100_000)),
        "BACKFILL_LAST_STRETCH": rng.choice((1, 5, 30)),
        "INTENT_ROWS_PER_STEP": rows,
        "LEASES_PER_STEP_MAX": rng.choice((1, 3, 5_000)),
        "PARKED_BEHIND_MAX": parked,
        "PARKED_KEYS_MAX": rng.choice((2, 100_000)),
        "RULE_VERSIONS_PER_REMOVAL": 2,
        "RETAIN_POSITIONS_PER_STEP": rng.choice((1, 5, 1_000)),
        "TOMBSTONE_S": rng.choice((60, 3_600, 2_592_000)),
        "TOMBSTONES_MAX": rng.choice((1, 10_000)),
        "REPLAYS_PER_RULE_MAX": rng.choice((1, 10)),
        "REPLAYS_KEPT_MAX": rng.choice((1, 20)),
        "PUSHES_UNDER_WAY_MAX": rng.choice((3, 4_096)),
        "INBOX_COMMANDS_MAX": rng.choice((8, 10_000)),
        "SCRUB_EVENTS_PER_STEP": rng.choice((1, 7, 500)),
        "SCRUB_REST_MS": rng.choice((1_000, 24 * HOUR_MS)),
        "DEDUP_WINDOW_IDS": rng.choice((40, 10_000_000)),
        "DEDUP_WINDOW_MS": rng.choice((HOUR_MS // 2, 24 * HOUR_MS)),
        "TROUBLE_TOLD_EVERY_MS": rng.choice((1_000, 30_000)),
        "DEAD_LETTERS_TOLD_EACH": rng.choice((1, 2, 10)),
        "DEAD_LETTERS_TOLD_EVERY_MS": rng.choice((5_000, 60_000)),
        "TROUBLE_EVENTS_PER_STEP": rng.choice((1, 3, 100)),
        **_limits_of_watching(world.seed),
        "REPLY_BYTES_MAX": 2_000,
        "REPLIES_REFUSED_TOLD_EACH": rng.choice((1, 2, 10)),
        "REPLIES_REFUSED_TOLD_EVERY_MS": rng.choice((5_000, 60_000)),
        "REPLIES_PER_STEP_BYTES": rng.choice((100, 8 * 1024 * 1024)),
        "HANDSHAKES_UNDER_WAY_MAX": rng.choice((1, 64)),
    }
    with (
        mock.patch.multiple(limits, **small),
        mock.patch.object(retaining, "FLOOR_EVERY_MS", rng.choice((1_000, 5_000))),
        mock.patch.object(retaining, "RULES_EVERY_MS", rng.choice((2_000, 60_000))),
        mock.patch.object(forgetting, "STUBS_PER_REMOVAL", rng.choice((2, 4_000))),
        mock.patch.object(sqlite_engine, "WAL_BYTES", rng.choice((20_000, 200_000))),
        mock.patch.object(sqlite_connection, "WRITER_CACHE_KIB", rng.choice((32, 16 * 1024))),
    ):
        yield


def _limits_of_watching(seed: int) -> dict[str, Any]:
    rng = random.Random(f"limits of watching {seed}")
    return {
        "SCHEDULE_MISSED_MAX": rng.choice((3, 50)),
        "SCHEDULE_INSTANTS_PER_STEP": rng.choice((1, 5, 100)),
        "TIMERS_PER_STEP": rng.choice((1, 100)),
        "SWEEP_KEYS_PER_STEP": rng.choice((1, 100)),
        "KEPT_CACHED_MAX": rng.choice((1, 50_000)),
    }


def _play(house: House, steps: int) -> None:
    story = Story(house)
    story.start()
    for _ in range(steps):
        story.act()
    story.rest()
    house.audit(is_at_rest=True)
    house.check_reload()
