"""The workload of rule scale: what `gen_scale.py` writes, 1,276-byte events of a shop and of repositories, and up to 100,000 rules.

The generator and the results of another engine for 1,000 and 10,000 rules stand beside this checkout, in `../shared/bench`, or
where `--scale-folder` or EVENTYARD_SCALE_FOLDER say. The rules are shaped for EventBridge; the core matches any JSON object.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.support.progress import announce
from eventyard.core.pattern.language import Pattern, parse

BESIDE = Path(__file__).parents[3] / "shared" / "bench"
RULES = 100_000
"""Whatever is measured so many are generated: the events come after them out of the same stream of chance."""
NEWCOMERS, NEWCOMERS_SEED = 2_000, 8
"""Rules of another seed, to be added to those."""


class Workload(msgspec.Struct, frozen=True):
    rules: Path
    newcomers: Path
    events: Path
    tables: Path


def found_folder(asked: str | None) -> Path | None:
    """Where the generator stands; None where it does not."""
    folder = Path(asked or os.environ.get("EVENTYARD_SCALE_FOLDER") or BESIDE)
    return folder if (folder / "gen_scale.py").exists() else None


@contextmanager
def generated(folder: Path) -> Iterator[Workload]:
    """Generated into a temporary folder."""
    with tempfile.TemporaryDirectory() as made:
        announce(f"generating {RULES:,} rules and their events")
        many, more = Path(made) / "many", Path(made) / "more"
        _generate(folder, many, RULES)
        _generate(folder, more, NEWCOMERS, 1, NEWCOMERS_SEED)
        yield Workload(many / "rules.jsonl", more / "rules.jsonl", many / "events.jsonl", folder)


def _generate(folder: Path, made: Path, *numbers: int) -> None:
    command = [sys.executable, str(folder / "gen_scale.py"), str(made), *map(str, numbers)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def read_rules(path: Path, count: int) -> Iterator[tuple[str, Pattern]]:
    """The first so many names and patterns, one at a time: what is measured keeps no texts."""
    with path.open("rb") as lines:
        for line in itertools.islice(lines, count):
            rule: dict[str, Any] = msgspec.json.decode(line)
            yield rule["name"], parse(msgspec.json.encode(rule["pattern"]))
