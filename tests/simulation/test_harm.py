"""Whatever state the simulated house is in when it dies, harm to its files is found, told, and repaired without a position given twice."""

import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from eventyard.core.changes import StoredEvent
from eventyard.core.errors import Damaged, StoreBehind
from eventyard.engines.sqlite import SqliteEngine, examining, files, repairing
from eventyard.engines.sqlite.marks import Standing, standings
from eventyard.engines.sqlite.soundness import examine as check_sound
from tests.simulation.house import House
from tests.simulation.run import run
from tests.support.harm import cut, flip

SEEDS = range(6)
STEPS = 150
LIVES_MAX = 8
"""Deaths of one story that are looked at: each costs some opened files."""

Truth = dict[tuple[int, int], StoredEvent]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Damage done on purpose is no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def lose(log: Path, rng: random.Random) -> None:  # noqa: ARG001 - as the other harms
    log.unlink()


HARMS: list[Callable[[Path, random.Random], object]] = [lose, cut, flip]


class Death:
    """What a house leaves in its files, and what stands in them for certain."""

    def __init__(self, house: House, folder: Path, number: int) -> None:
        assert house._sqlite is not None
        self.folder = folder / f"death{number}"
        self.folder.mkdir()
        self.database = self.folder / files.DATABASE
        self.standings = {bus.number: bus for bus in standings(house._sqlite._connection)}
        self.truth = self._read(house._sqlite)
        names = {"bus.db": self.database, "bus.db-wal": files.log(self.database), "bus.marks": files.marks(self.database)}
        for name, path in names.items():
            if name in house.disk.files:
                path.write_bytes(house.disk.files[name].content)

    def _read(self, engine: SqliteEngine) -> Truth:
        return {
            (bus.number, event.position): event
            for bus in self.standings.values()
            if not bus.is_deleted
            for event in engine.view.events(bus.number, 1, bus.mark.head, bus.mark.head)
        }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_harm_to_the_log_is_found_and_repaired_in_every_state(
    seed: int, harm: Callable[[Path, random.Random], object], tmp_path: Path
) -> None:
    deaths: list[Death] = []
    crash = House.crash

    def left_and_crashed(house: House) -> None:
        if house.is_up and house.disk.fault is None and len(deaths) < LIVES_MAX:
            deaths.append(Death(house, tmp_path, len(deaths)))
        crash(house)

    with mock.patch.object(House, "crash", left_and_crashed):
        outcome = run(seed, STEPS, "sqlite")
    assert not outcome.failure
    assert deaths
    for number, death in enumerate(deaths):
        if files.log(death.database).exists() and files.log(death.database).stat().st_size:
            harm(files.log(death.database), random.Random(seed * 100 + number))
            check(death)


def check(death: Death) -> None:
    if not check_found(death):
        assert not examining.examine(death.database, lambda *_: None).is_sound
    if examining.examine(death.database, lambda *_: None).is_sound:
        return
    repairing.repair(death.database, lambda *_: None, now_ms=2_000_000_000_000).apply()
    check_repaired(death)


def check_found(death: Death) -> bool:
    """Whether the store could be opened: then all is there, or what is not is told."""
    try:
        engine = SqliteEngine(str(death.database))
        engine.load()
    except (StoreBehind, Damaged):
        return False
    found = {bus.number: bus for bus in standings(engine._connection)}
    if engine.losses is None:
        assert {number: bus.mark for number, bus in found.items()} == {n: bus.mark for n, bus in death.standings.items()}
        for (bus, position), event in death.truth.items():
            assert engine.view.event(bus, position) == event or engine.is_damaged(bus, position)
    engine._connection.close()
    return True


def check_repaired(death: Death) -> None:
    assert check_sound(str(death.database), lambda *_: None).faults == ()
    engine = SqliteEngine(str(death.database))
    assert engine.losses is None
    loaded = {bus.record.number: bus for bus in engine.load()}
    for number, before in death.standings.items():
        if not before.is_deleted and number in loaded:
            assert loaded[number].head >= before.mark.head
    for (number, position), event in death.truth.items():
        if number not in loaded:
            continue  # Created in what was lost, and not even its name is left; its number is not given again.
        found = engine.view.event(number, position)
        gaps = loaded[number].gaps
        assert found == event or (found is None and any(gap.first <= position <= gap.last for gap in gaps))
    assert 0 in loaded
    assert loaded[0].head >= max(_numbers(death.standings))
    engine.close()


def _numbers(found: dict[int, Standing]) -> list[int]:
    return list(found)
