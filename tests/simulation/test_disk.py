import random
from typing import Any

import apsw

from tests.simulation.disk import Disk, DiskVFS


class FixedChance(random.Random):
    """Every write lands or is lost sector by sector, evenly."""

    def choice(self, seq: Any) -> Any:  # noqa: ARG002
        return 0.5


def connect(disk: Disk, name: str, synchronous: str) -> tuple[DiskVFS, apsw.Connection]:
    vfs = DiskVFS(name, disk)
    connection = apsw.Connection("bus.db", vfs=name)
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", synchronous)
    return vfs, connection


def survivors(synchronous: str, seed: int) -> int:
    """Rows left of ten committed ones after a power cut."""
    disk = Disk()
    vfs, connection = connect(disk, f"test-{synchronous}-{seed}", synchronous)
    connection.execute("CREATE TABLE row (number INTEGER)")
    for number in range(10):
        connection.execute("INSERT INTO row VALUES (?)", (number,))
    vfs.unplug()
    connection.close(force=True)
    disk.power_cut(random.Random(seed))
    _, after = connect(disk, f"test-{synchronous}-{seed}-after", synchronous)
    assert after.pragma("integrity_check") == "ok"
    if not after.execute("SELECT count(*) FROM sqlite_schema").get:
        return 0
    return int(after.execute("SELECT count(*) FROM row").get)


def test_full_keeps_every_committed_row_over_a_power_cut() -> None:
    assert [survivors("FULL", seed) for seed in range(10)] == [10] * 10


def test_normal_loses_committed_rows_at_a_power_cut() -> None:
    assert min(survivors("NORMAL", seed) for seed in range(10)) < 10


def test_a_process_that_dies_without_a_power_cut_loses_nothing() -> None:
    disk = Disk()
    vfs, connection = connect(disk, "test-killed", "NORMAL")
    connection.execute("CREATE TABLE row (number INTEGER)")
    vfs.unplug()
    connection.close(force=True)
    _, after = connect(disk, "test-killed-after", "NORMAL")
    assert after.execute("SELECT count(*) FROM row").get == 0


def test_what_is_left_of_unsynced_writes_is_torn_at_sectors() -> None:
    disk = Disk()
    file = disk.open("file")
    disk.sync("file", file)
    file.write(0, b"x" * 512 * 64)
    file.lose_power(FixedChance(5))
    sectors = [bytes(file.content[at : at + 512]) for at in range(0, len(file.content), 512)]
    assert set(sectors) == {b"x" * 512, bytes(512)}
