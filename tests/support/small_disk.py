"""A disk that is really small: a tmpfs of some megabytes, filled and freed by a test. Needs the right to mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """`path` is where it is mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, *, but: int = 0) -> None:
        """Leave `but` bytes free, or none."""
        with self._ballast.open("ab") as file:
            while (free := self.free) > but:
                try:
                    file.write(bytes(max(1, min(1 << 20, free - but))))
                    file.flush()
                except OSError:
                    break

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


@contextmanager
def small_disk(path: Path, mib: int) -> Iterator[SmallDisk]:
    """Skips the test, and says so, where it cannot be mounted."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "eventyard-test", str(path)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)  # noqa: S607
