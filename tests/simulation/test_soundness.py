"""What a backup checks of a store holds in every store that the simulated house leaves, wherever it stops."""

from pathlib import Path
from unittest import mock

import pytest

from eventyard.engines.sqlite.backup import back_up
from tests.simulation.house import House
from tests.simulation.run import run

SEEDS = range(5)
STEPS = 200


@pytest.mark.parametrize("seed", SEEDS)
def test_no_sound_store_is_taken_for_a_damaged_one(seed: int, tmp_path: Path) -> None:
    """Between two of its steps the house is always in order: there each life's files are backed up, its last one's too."""
    checked: list[tuple[str, ...]] = []
    crash = House.crash

    def backed_up_and_crashed(house: House) -> None:
        if house.is_up and house.disk.fault is None:
            checked.append(faults(house, tmp_path))
        crash(house)

    with mock.patch.object(House, "crash", backed_up_and_crashed):
        outcome = run(seed, STEPS, "sqlite")
    assert not outcome.failure
    assert set(checked) == {()}


def faults(house: House, folder: Path) -> tuple[str, ...]:
    for name in ("bus.db", "bus.db-wal", "bus.db-shm"):
        (folder / name).unlink(missing_ok=True)
        if name in house.disk.files:
            (folder / name).write_bytes(house.disk.files[name].content)
    contents = back_up(folder / "bus.db", folder / "copy.db", lambda *_: None, is_replacing=True, is_damage_kept=True)
    return contents.faults
